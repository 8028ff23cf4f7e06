package hcm

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
)

// readFilters builds a chain of HTTP filters: the last one, and only that, is
// terminal.
func readFilters(filters []*hcmv3.HttpFilter, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) (chain []filterConfig) {
	if len(filters) == 0 {
		errs.Add(path, "must end with a terminal filter such as envoy.filters.http.router")
	}
	for i, f := range filters {
		at := path.Index(i)
		build, factory := filterchain.BuildFilter(f, filterchain.Downstream, ctx, at, errs)
		if build == nil {
			continue
		}
		terminal := factory.Terminal()
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
