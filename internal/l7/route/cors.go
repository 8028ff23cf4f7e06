package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// corsPolicy builds the deprecated policy of a route or virtual host with the factory of
// the filter that took it over in typed_per_filter_config.
func (b *builder) corsPolicy(cfg *routev3.CorsPolicy, path conf.Path) []route.FilterConfig {
	if cfg == nil {
		return nil
	}
	conf.Check(cfg, CorsFields(), path, b.errs)
	policy := &corsv3.CorsPolicy{
		AllowOriginStringMatch:       cfg.GetAllowOriginStringMatch(),
		AllowMethods:                 cfg.GetAllowMethods(),
		AllowHeaders:                 cfg.GetAllowHeaders(),
		ExposeHeaders:                cfg.GetExposeHeaders(),
		MaxAge:                       cfg.GetMaxAge(),
		AllowCredentials:             cfg.GetAllowCredentials(),
		FilterEnabled:                cfg.GetFilterEnabled(),
		ShadowEnabled:                cfg.GetShadowEnabled(),
		AllowPrivateNetworkAccess:    cfg.GetAllowPrivateNetworkAccess(),
		ForwardNotMatchingPreflights: cfg.GetForwardNotMatchingPreflights(),
	}
	factory := b.routeFilters[string(policy.ProtoReflect().Descriptor().FullName())]
	if factory == nil {
		b.errs.Add(path, "no HTTP filter takes %q as configuration of a route", policy.ProtoReflect().Descriptor().FullName())
		return nil
	}
	return []route.FilterConfig{{Config: factory.BuildRouteConfig(policy, b.HTTPContext, path, b.errs)}}
}
