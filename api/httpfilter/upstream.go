package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// UpstreamFilters are the filters between a router and its hosts, as
// upstream_http_filters of the router or http_filters of a cluster configure them. They
// are immutable. Any worker.
type UpstreamFilters interface {
	// NewChain makes the filters of one attempt to send a request. They use the callbacks
	// of the router, for all but what concerns the chain itself; an answer of theirs goes
	// to its SendLocalReply. h receives the response behind the filters.
	NewChain(router Callbacks, h upstream.ResponseHandler) UpstreamChain
}

// An UpstreamChain is the chain of one attempt, on the worker of its stream. To the
// router it is the stream that the request is sent to, to the stream of the upstream it
// is the handler of the response.
//
// The router sends the headers at once, whether there is a stream or not; what passes
// the filters waits for Ready. Headers that cannot be sent are answered by the chain: its
// EncodeHeaders returns no error. Connection may be called after Ready only. Reset ends
// the filters, and the stream unless that has ended; it must be called once, also when
// there was no stream.
type UpstreamChain interface {
	upstream.RequestStream
	upstream.ResponseHandler
	// Ready gives the stream, unless the chain has ended.
	Ready(s upstream.RequestStream)
}

// A ClusterOptions is a cluster that tells the router more than an upstream.Cluster has
// to.
type ClusterOptions interface {
	// HTTPFilters are nil if the cluster has none: those of the router serve then.
	HTTPFilters() UpstreamFilters
	// Policies take the place of those of the route, as far as the cluster has them.
	Policies() *route.Policies
}
