// Package allowlistedroutes is the internal redirect predicate
// envoy.internal_redirect_predicates.allow_listed_routes: it accepts the routes of a
// list.
package allowlistedroutes

import (
	listedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factory is the extension.RedirectPredicateFactory of the predicate.
type Factory struct{}

var _ extension.RedirectPredicateFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.internal_redirect_predicates.allow_listed_routes" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RedirectPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &listedv3.AllowListedRoutesConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig",
		Names:   []string{"allowed_route_names"},
	}}
}

// BuildRedirectPredicate implements extension.RedirectPredicateFactory.
func (Factory) BuildRedirectPredicate(msg proto.Message, path conf.Path, errs *conf.Errors) route.RedirectPredicate {
	p := predicate{}
	for i, name := range msg.(*listedv3.AllowListedRoutesConfig).GetAllowedRouteNames() {
		if name == "" {
			errs.Add(path.Field("allowed_route_names").Index(i), "must not be empty")
		}
		p[name] = true
	}
	return p
}

// predicate is the set of the names of the routes.
type predicate map[string]bool

// Accept implements route.RedirectPredicate.
func (p predicate) Accept(_ *streaminfo.Stream, _, to *route.Route, _, _ bool) bool {
	return p[to.Name]
}
