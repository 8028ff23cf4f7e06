package router

import (
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// newChain makes the filters between this router and the host, if there are any: the
// cluster's, or else the router's. It returns what receives the response.
func (u *upstreamRequest) newChain() upstream.ResponseHandler {
	f := u.f
	filters := f.cfg.upstreamFilters
	if o, ok := f.cluster.(httpfilter.ClusterOptions); ok {
		if own := o.HTTPFilters(); own != nil {
			filters = own
		}
	}
	if filters == nil {
		return u
	}
	u.chain = filters.NewChain(chainCallbacks{f.cb, u}, u)
	return u.chain
}

// filterEarly sends the request into the filters while the attempt waits for its stream.
func (u *upstreamRequest) filterEarly() {
	if u.chain == nil {
		return
	}
	u.filtered, u.stream = true, u.chain
	_ = u.chain.EncodeHeaders(u.f.headers, u.headersOnly) // the chain answers by itself
	u.sendHeldMetadata()
	switch {
	case u.phase != waiting:
	case u.headersOnly:
		u.requestSent()
	case u.upgrade == noUpgrade:
		u.sendRest()
	}
}

// endChain ends the filters with the attempt, and the stream if that is under way.
func (u *upstreamRequest) endChain() {
	if c := u.chain; c != nil {
		u.chain = nil
		c.Reset(httpmsg.ResetLocalReset)
	}
}

// chainCallbacks are what filters behind the router may do: that of the router, which
// takes its part in an answer of theirs.
type chainCallbacks struct {
	httpfilter.Callbacks
	u *upstreamRequest
}

// SendLocalReply answers the request in place of a host. As in Envoy it is not tried
// again.
func (c chainCallbacks) SendLocalReply(reply httpfilter.LocalReply) {
	u := c.u
	if u.f.over {
		return
	}
	if !u.gotHeaders {
		u.f.failed(u, "a filter behind the router answered", decision{})
	}
	u.reset()
	u.f.stop()
	c.Callbacks.SendLocalReply(reply)
}
