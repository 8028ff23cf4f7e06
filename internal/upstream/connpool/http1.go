package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
)

// http1 is a connection that speaks HTTP/1: it carries one request at a time, and its
// stream is used again for the next one.
type http1 struct {
	*client
	codec        h1.ClientConnection
	stream       http1Stream
	stats        *upstream.HTTP1Stats // nil for none
	lastResponse bool                 // the headers said that the connection ends
	malformed    bool                 // the response cannot be read
}

var _ protocol = (*http1)(nil)

func newHTTP1(c *client) *http1 {
	p := &http1{client: c}
	p.stream.p = p
	config, shard := c.pool.config, c.worker.d.Shard()
	config.Stats.UpstreamCxHTTP1Total.Inc(shard)
	if of := config.Stats.HTTP1; of != nil {
		p.stats = of()
	}
	p.codec.Init(p, config.HTTP1, &c.out)
	return p
}

func (p *http1) greet() {}

func (p *http1) begin(h upstream.ResponseHandler) upstream.RequestStream {
	s := &p.stream
	*s = http1Stream{}
	s.p = p
	s.init(p.client, h, httpmsg.HTTP11)
	p.lastResponse, p.malformed = false, false
	s.encoder = p.codec.NewStream(s)
	return s
}

func (p *http1) room() int { return 1 - p.active() }

func (p *http1) active() int {
	if p.stream.active {
		return 1
	}
	return 0
}

func (p *http1) closable() bool { return !p.stream.active }

func (p *http1) dispatch(data *buffer.Buffer) error { return p.codec.Dispatch(data) }

func (p *http1) OnWriteBufferHigh() { p.codec.OnWriteBufferHigh() }
func (p *http1) OnWriteBufferLow()  { p.codec.OnWriteBufferLow() }

// OnStreamEnd implements h1.ClientCallbacks.
func (p *http1) OnStreamEnd() {
	c, s := p.client, &p.stream
	if !s.active {
		return
	}
	if !s.requested || !s.responded {
		c.close("") // counts the request as active
		if s.active {
			s.end()
		}
		return
	}
	s.end()
	if c.conn.State() != network.Open {
		return
	}
	switch stats, shard := c.pool.config.Stats, c.worker.d.Shard(); {
	case p.codec.Reusable() && !c.retiring && !c.spent():
		c.beginIdle()
		c.worker.ready(c)
		return
	case !p.codec.Reusable() && p.lastResponse:
		stats.UpstreamCxCloseNotify.Inc(shard)
	case !p.codec.Reusable(): // more came than the response
		stats.UpstreamCxProtocolError.Inc(shard)
	case c.spent():
		stats.UpstreamCxMaxRequests.Inc(shard)
	}
	c.close("")
}

// closed implements protocol. An end without an error may be that of a response
// without a length.
func (p *http1) closed(e network.Event) (aborted bool) {
	s := &p.stream
	if !s.active || e != network.RemoteClose {
		return s.active
	}
	if p.conn.Info().CloseType == streaminfo.CloseNormal {
		p.codec.OnEOF()
	} else {
		p.codec.OnClose(httpmsg.ResetConnectionTermination)
	}
	if p.malformed {
		p.pool.config.Stats.UpstreamCxProtocolError.Inc(p.worker.d.Shard())
	}
	return !s.requested || !s.responded
}

func (p *http1) reset(e network.Event) {
	p.codec.OnClose(resetReason(e))
	if p.stream.active {
		p.stream.end()
	}
}

// http1Stream is the one request of a connection.
type http1Stream struct {
	stream
	p      *http1
	tunnel bool // see EnableTunnel
}

// DecodeHeaders implements codec.ResponseDecoder.
func (s *http1Stream) DecodeHeaders(endStream bool) {
	s.p.lastResponse = !s.p.codec.Reusable()
	s.connection.Version = s.p.codec.Version()
	s.stream.DecodeHeaders(endStream)
}

// OnReset implements codec.StreamCallbacks.
func (s *http1Stream) OnReset(reason httpmsg.ResetReason) {
	s.p.malformed = reason == httpmsg.ResetProtocolError
	s.stream.OnReset(reason)
}

// EncodeMetadata implements upstream.MetadataStream: HTTP/1 has no METADATA.
func (s *http1Stream) EncodeMetadata(*httpmsg.Headers) {
	if stats := s.p.stats; stats != nil && s.active {
		stats.MetadataNotSupported.Inc(s.p.worker.d.Shard())
	}
}
