// Package previoushosts is the retry host predicate
// envoy.retry_host_predicates.previous_hosts: a retry goes to a host that was not
// tried before.
package previoushosts

import (
	"slices"

	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.RetryHostPredicateFactory of the predicate.
type Factory struct{}

var _ extension.RetryHostPredicateFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.retry_host_predicates.previous_hosts" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RetryHostPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &previousv3.PreviousHostsPredicate{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}
}

// BuildRetryHostPredicate implements extension.RetryHostPredicateFactory.
func (Factory) BuildRetryHostPredicate(proto.Message, conf.Path, *conf.Errors) route.RetryHostPredicate {
	return predicate{}
}

type predicate struct{}

// Reject implements route.RetryHostPredicate.
func (predicate) Reject(h upstream.Host, tried []upstream.Host) bool {
	return slices.Contains(tried, h)
}
