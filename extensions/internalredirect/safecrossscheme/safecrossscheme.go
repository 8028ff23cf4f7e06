// Package safecrossscheme is the internal redirect predicate
// envoy.internal_redirect_predicates.safe_cross_scheme: it keeps a request that came
// without TLS from https targets.
package safecrossscheme

import (
	safev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/safe_cross_scheme/v3"
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
func (Factory) Name() string { return "envoy.internal_redirect_predicates.safe_cross_scheme" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RedirectPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &safev3.SafeCrossSchemeConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig"}}
}

// BuildRedirectPredicate implements extension.RedirectPredicateFactory.
func (Factory) BuildRedirectPredicate(proto.Message, conf.Path, *conf.Errors) route.RedirectPredicate {
	return predicate{}
}

type predicate struct{}

// Accept implements route.RedirectPredicate.
func (predicate) Accept(_ *streaminfo.Stream, _, _ *route.Route, fromTLS, toTLS bool) bool {
	return fromTLS || !toTLS
}
