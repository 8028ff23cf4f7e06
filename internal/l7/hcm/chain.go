package hcm

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

var httpFilterFields = conf.Fields{
	Message: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
	Names:   []string{"name", "typed_config", "is_optional", "disabled"},
}

// readFilters builds a chain of HTTP filters: the last one, and only that, is
// terminal.
func readFilters(filters []*hcmv3.HttpFilter, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) (chain []filterConfig) {
	if len(filters) == 0 {
		errs.Add(path, "must end with a terminal filter such as envoy.filters.http.router")
	}
	for i, f := range filters {
		at := path.Index(i)
		conf.Check(f, httpFilterFields, at, errs)
		build, terminal := buildFilter(f, ctx, at, errs)
		if build == nil {
			continue
		}
		switch last := i == len(filters)-1; {
		case terminal && !last:
			errs.Add(at, "terminal filter %s must be the last one", f.GetName())
		case !terminal && last:
			errs.Add(at, "%s is not a terminal filter: the last filter must be one, such as envoy.filters.http.router", f.GetName())
		case terminal && f.GetDisabled():
			errs.Add(at.Field("disabled"), "a terminal filter cannot be disabled")
		}
		chain = append(chain, filterConfig{f.GetName(), build, f.GetDisabled()})
	}
	return chain
}

// buildFilter returns nil if it reported an error, or if the filter is optional and
// unknown.
func buildFilter(f *hcmv3.HttpFilter, ctx extension.HTTPContext, at conf.Path, errs *conf.Errors) (httpfilter.Builder, bool) {
	at = at.Field("typed_config")
	var unknown conf.Errors
	msg := extension.Unpack(f.GetTypedConfig(), at, &unknown)
	var factory extension.HTTPFilterFactory
	if msg != nil {
		factory, _ = ctx.Registry.ForMessage(extension.HTTPFilters, msg).(extension.HTTPFilterFactory)
		if factory == nil {
			unknown.Add(at, "no HTTP filter is registered for type %s", msg.ProtoReflect().Descriptor().FullName())
		}
	}
	if factory == nil {
		if !f.GetIsOptional() {
			*errs = append(*errs, unknown...)
		}
		return nil, false
	}
	return factory.BuildHTTPFilter(msg, ctx, at, errs), factory.Terminal()
}
