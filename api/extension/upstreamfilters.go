package extension

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// UpstreamHTTPFilters is the category of filters that stand between a router and its
// hosts only. Those that implement UpstreamHTTPFilterFactory may stand there too.
const UpstreamHTTPFilters = "envoy.filters.http.upstream"

// An UpstreamHTTPFilterFactory is an HTTPFilterFactory whose filters may also stand
// between a router and its hosts. The context that they are built with has no listener
// then.
type UpstreamHTTPFilterFactory interface {
	HTTPFilterFactory
	// ServesUpstream does nothing.
	ServesUpstream()
}

// UpstreamFilters makes the filters between a router and its hosts. Main goroutine.
type UpstreamFilters interface {
	// Build checks the list, whose last filter must be terminal. Errors go to errs; the
	// result is nil then.
	Build(filters []*hcmv3.HttpFilter, ctx Context, path conf.Path, errs *conf.Errors) httpfilter.UpstreamFilters
}
