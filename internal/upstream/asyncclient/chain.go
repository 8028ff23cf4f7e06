package asyncclient

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// filterLimit is how many bytes of a body a filter of the cluster may hold, as in Envoy.
const filterLimit = 64 << 10

// newChain makes the filters of the cluster, if it has some. It returns what receives the
// response.
func (k *call) newChain() upstream.ResponseHandler {
	o, ok := k.cluster.(httpfilter.ClusterOptions)
	if !ok || o.HTTPFilters() == nil {
		return k
	}
	cb := &chainCallbacks{k: k, id: k.d.Random()}
	cb.info.Start = k.d.Now()
	upstream.Describe(&cb.info.Upstream, k.cluster)
	k.filtered, k.chain = &cb.info, o.HTTPFilters().NewChain(cb, k)
	return k.chain
}

// chainCallbacks are what filters of a cluster may do with a call, in the place of a
// router. There is no client, no route, and no filter before them.
type chainCallbacks struct {
	httpfilter.Callbacks // nil: the chain answers all else itself
	k                    *call
	id                   uint64
	info                 streaminfo.Stream
}

func (c *chainCallbacks) Dispatcher() event.Dispatcher   { return c.k.d }
func (c *chainCallbacks) Connection() network.Connection { return nil }
func (c *chainCallbacks) StreamID() uint64               { return c.id }
func (c *chainCallbacks) Stream() *streaminfo.Stream     { return &c.info }
func (c *chainCallbacks) Route() *route.Route            { return nil }
func (c *chainCallbacks) ClearRoute()                    {}
func (c *chainCallbacks) DecoderBufferLimit() int        { return filterLimit }
func (c *chainCallbacks) EncoderBufferLimit() int        { return filterLimit }

// RequestHigh and RequestLow make the sender wait while filters hold what they must.
func (c *chainCallbacks) RequestHigh() { c.k.paused++ }

// RequestLow takes back a RequestHigh.
func (c *chainCallbacks) RequestLow() {
	c.k.paused--
	c.k.release()
}

// SendLocalReply ends the call: a filter answers in the place of the host.
func (c *chainCallbacks) SendLocalReply(r httpfilter.LocalReply) {
	code := httpmsg.GRPCStatusOfHTTP(r.Status)
	if r.HasGRPCStatus {
		code = r.GRPCStatus
	}
	c.k.finish(code, r.Body)
}

// Filters of a cluster do not stand at the end of a chain of requests: these methods are
// for those that do.

func (c *chainCallbacks) EncodeInterim(*httpmsg.Headers)               {}
func (c *chainCallbacks) StartResponse(*httpmsg.Headers, bool, string) {}
func (c *chainCallbacks) SendResponseData(*buffer.Buffer, bool)        {}
func (c *chainCallbacks) SendResponseTrailers(*httpmsg.Headers)        {}
