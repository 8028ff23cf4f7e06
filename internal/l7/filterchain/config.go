package filterchain

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Fields are the implemented fields of an entry in a list of filters.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
		Names:   []string{"name", "typed_config", "is_optional", "disabled"},
	}
}

// A Side says where a filter stands.
type Side uint8

// The sides of a router.
const (
	Downstream Side = iota
	Upstream
)

// BuildFilter builds one filter of a chain. The builder is nil if it reported an error,
// or if the filter is optional and unknown.
func BuildFilter(f *hcmv3.HttpFilter, side Side, ctx extension.HTTPContext, at conf.Path, errs *conf.Errors) (httpfilter.Builder, extension.HTTPFilterFactory) {
	conf.Check(f, Fields(), at, errs)
	at = at.Field("typed_config")
	var unknown conf.Errors
	msg := extension.Unpack(f.GetTypedConfig(), at, &unknown)
	var factory extension.HTTPFilterFactory
	if msg != nil {
		factory = find(msg, side, ctx, at, &unknown)
	}
	if factory == nil {
		if !f.GetIsOptional() {
			*errs = append(*errs, unknown...)
		}
		return nil, nil
	}
	return factory.BuildHTTPFilter(msg, ctx, at, errs), factory
}

func find(msg proto.Message, side Side, ctx extension.HTTPContext, at conf.Path, unknown *conf.Errors) extension.HTTPFilterFactory {
	name := msg.ProtoReflect().Descriptor().FullName()
	if side == Upstream {
		if f, ok := ctx.Registry.ForMessage(extension.UpstreamHTTPFilters, msg).(extension.HTTPFilterFactory); ok {
			return f
		}
	}
	f, ok := ctx.Registry.ForMessage(extension.HTTPFilters, msg).(extension.HTTPFilterFactory)
	if !ok {
		unknown.Add(at, "no HTTP filter is registered for type %s", name)
		return nil
	}
	if _, ok := f.(extension.UpstreamHTTPFilterFactory); !ok && side == Upstream {
		unknown.Add(at, "%s cannot stand between a router and its hosts", f.Name())
		return nil
	}
	return f
}

// Filters implements extension.UpstreamFilters.
type Filters struct{}

// Build implements extension.UpstreamFilters.
func (Filters) Build(filters []*hcmv3.HttpFilter, ctx extension.Context, path conf.Path, errs *conf.Errors) httpfilter.UpstreamFilters {
	before := len(*errs)
	http := extension.HTTPContext{Context: ctx, Root: ctx.Stats}
	var chain []upstreamFilter
	for i, f := range filters {
		at := path.Index(i)
		build, factory := BuildFilter(f, Upstream, http, at, errs)
		if build == nil {
			continue
		}
		switch last := i == len(filters)-1; {
		case factory.Terminal() && !last:
			errs.Add(at, "terminal filter %s must be the last one", f.GetName())
		case !factory.Terminal() && last:
			errs.Add(at, "%s is not a terminal filter: the last filter must be envoy.filters.http.upstream_codec", f.GetName())
		case factory.Terminal() && f.GetDisabled():
			errs.Add(at.Field("disabled"), "a terminal filter cannot be disabled")
		}
		chain = append(chain, upstreamFilter{f.GetName(), build, f.GetDisabled()})
	}
	if len(*errs) > before {
		return nil
	}
	return upstreamFilters(chain)
}
