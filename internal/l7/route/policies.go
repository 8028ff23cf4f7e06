package route

import (
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// Policies implements extension.RoutePolicies.
type Policies struct{}

// Build implements extension.RoutePolicies. As in Envoy the clusters that mirrors name
// need not exist.
func (Policies) Build(cfg *httpv3.HttpProtocolOptions, ctx extension.Context, path conf.Path, errs *conf.Errors) route.Policies {
	b := &builder{BuildContext: BuildContext{HTTPContext: extension.HTTPContext{Context: ctx}}, errs: errs}
	p := route.Policies{
		Mirrors: b.mirrors(cfg.GetRequestMirrorPolicies(), nil, path.Field("request_mirror_policies")),
		Hash:    b.hashPolicy(cfg.GetHashPolicy(), path.Field("hash_policy")),
	}
	if r := cfg.GetRetryPolicy(); r != nil {
		p.Retry = b.retryPolicy(r, path.Field("retry_policy"))
	}
	return p
}
