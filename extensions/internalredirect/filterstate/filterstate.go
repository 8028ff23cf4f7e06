// Package filterstate is the internal redirect predicate
// envoy.internal_redirect_predicates.filter_state: a boolean in the filter state
// decides.
package filterstate

import (
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/filter_state/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factory is the extension.RedirectPredicateFactory of the predicate.
type Factory struct{}

var _ extension.RedirectPredicateFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.internal_redirect_predicates.filter_state" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RedirectPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &statev3.FilterStateConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig",
		Names:   []string{"redirect_enabled_key", "redirect_if_absent"},
	}}
}

// BuildRedirectPredicate implements extension.RedirectPredicateFactory.
func (Factory) BuildRedirectPredicate(msg proto.Message, path conf.Path, errs *conf.Errors) route.RedirectPredicate {
	m := msg.(*statev3.FilterStateConfig)
	if m.GetRedirectEnabledKey() == "" {
		errs.Add(path.Field("redirect_enabled_key"), "must not be empty")
		return nil
	}
	return &predicate{m.GetRedirectEnabledKey(), m.GetRedirectIfAbsent()}
}

type predicate struct {
	key      string
	ifAbsent bool
}

// Accept implements route.RedirectPredicate. What is no boolean accepts nothing.
func (p *predicate) Accept(info *streaminfo.Stream, _, _ *route.Route, _, _ bool) bool {
	value := match.FilterStateObject(info, p.key)
	if value == nil {
		return p.ifAbsent
	}
	enabled, _ := value.(filterstate.Bool)
	return bool(enabled)
}
