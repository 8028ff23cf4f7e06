// Package cors is the filter envoy.filters.http.cors: it answers preflight
// requests and marks responses by the policy of the route.
package cors

import (
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.cors" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &corsv3.Cors{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &corsv3.CorsPolicy{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.http.cors.v3.Cors"}, policyFields()}
}

func policyFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.cors.v3.CorsPolicy",
		Names: []string{"allow_origin_string_match", "allow_methods", "allow_headers", "expose_headers", "max_age",
			"allow_credentials", "filter_enabled", "shadow_enabled", "allow_private_network_access",
			"forward_not_matching_preflights"},
	}
}

// config is shared by the filters of a chain. It is immutable.
type config struct {
	runtime                    runtimeconf.Loader
	originValid, originInvalid *stats.Counter
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(_ proto.Message, ctx extension.HTTPContext, _ conf.Path, _ *conf.Errors) httpfilter.Builder {
	scope := ctx.Stats.Scope("cors.")
	cfg := &config{ctx.Runtime, scope.Counter("origin_valid"), scope.Counter("origin_invalid")}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

// A policy is the policy of a route, virtual host or table. It is immutable.
type policy struct {
	origins                                           []*match.String
	allowMethods, allowHeaders, exposeHeaders, maxAge string
	credentials, privateNetwork, forwardPreflights    choice
	enabled, shadow                                   runtimeconf.Fraction
}

// A choice is a BoolValue.
type choice uint8

const (
	unset choice = iota
	no
	yes
)

func newChoice(v *wrapperspb.BoolValue) choice {
	switch {
	case v == nil:
		return unset
	case v.GetValue():
		return yes
	default:
		return no
	}
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	m, before := msg.(*corsv3.CorsPolicy), len(*errs)
	conf.Check(m, policyFields(), path, errs)
	p := &policy{
		allowMethods:      m.GetAllowMethods(),
		allowHeaders:      m.GetAllowHeaders(),
		exposeHeaders:     m.GetExposeHeaders(),
		maxAge:            m.GetMaxAge(),
		credentials:       newChoice(m.GetAllowCredentials()),
		privateNetwork:    newChoice(m.GetAllowPrivateNetworkAccess()),
		forwardPreflights: newChoice(m.GetForwardNotMatchingPreflights()),
		enabled:           runtimeconf.NewFraction(m.GetFilterEnabled()),
		shadow:            runtimeconf.NewFraction(m.GetShadowEnabled()),
	}
	if m.GetFilterEnabled() == nil {
		p.enabled.Millionths = 1_000_000
	}
	for i, origin := range m.GetAllowOriginStringMatch() {
		p.origins = append(p.origins, match.NewString(origin, path.Field("allow_origin_string_match").Index(i), errs))
	}
	if len(*errs) > before {
		return nil
	}
	return p
}
