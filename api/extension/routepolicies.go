package extension

import (
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// RoutePolicies makes the policies of clusters that take the place of those of routes.
// Main goroutine.
type RoutePolicies interface {
	// Build reads retry_policy, request_mirror_policies and hash_policy. Errors go to errs
	// with the path of the field; the result must not be used then.
	Build(cfg *httpv3.HttpProtocolOptions, ctx Context, path conf.Path, errs *conf.Errors) route.Policies
}
