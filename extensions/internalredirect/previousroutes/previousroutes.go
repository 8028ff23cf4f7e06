// Package previousroutes is the internal redirect predicate
// envoy.internal_redirect_predicates.previous_routes: a route redirects a request to
// each target route only once.
package previousroutes

import (
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
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
func (Factory) Name() string { return "envoy.internal_redirect_predicates.previous_routes" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RedirectPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &previousv3.PreviousRoutesConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig"}}
}

// BuildRedirectPredicate implements extension.RedirectPredicateFactory.
func (Factory) BuildRedirectPredicate(proto.Message, conf.Path, *conf.Errors) route.RedirectPredicate {
	return predicate{}
}

type predicate struct{}

// statePrefix begins the name under which the filter state has the targets of a
// route; the name of the route follows.
const statePrefix = "envoy.internal_redirect.previous_routes_predicate_state."

// Accept implements route.RedirectPredicate. The filter state keeps the names of the
// targets over the redirects of a request.
func (predicate) Accept(info *streaminfo.Stream, from, to *route.Route, _, _ bool) bool {
	key := statePrefix + from.Name
	targets, _ := info.FilterState[key].(map[string]bool)
	if targets[to.Name] {
		return false
	}
	if targets == nil {
		targets = map[string]bool{}
		info.SetRequestState(key, targets)
	}
	targets[to.Name] = true
	return true
}
