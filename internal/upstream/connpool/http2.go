package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
)

// maxSpareStreams bounds the streams that a worker keeps for later.
const maxSpareStreams = 1024

// http2 is a connection that speaks HTTP/2 and carries many requests at a time. It
// stays on its worker.
type http2 struct {
	*client
	codec       h2.ClientConnection
	ended       []*http2Stream // free at the end of the turn
	dispatching bool
	// finished is set when the last stream of a connection that gets no more has ended as
	// it should.
	finished  bool
	keepAlive keepalive.KeepAlive

	redispatch, recycle func() // kept because a method value costs an allocation
}

var (
	_ protocol           = (*http2)(nil)
	_ h2.ClientCallbacks = (*http2)(nil)
)

func newHTTP2(c *client) *http2 {
	p := &http2{client: c}
	p.redispatch, p.recycle = p.dispatchAgain, p.recycleEnded
	config, shard := c.pool.config, c.worker.d.Shard()
	config.Stats.UpstreamCxHTTP2Total.Inc(shard)
	p.codec.Init(p, config.HTTP2, config.HTTP2Stats(), shard, &c.worker.codecStreams, &c.out)
	return p
}

// greet implements protocol: the codec has made the preface.
func (p *http2) greet() {
	p.keepAlive.Start(p.worker.d, p.pool.config.KeepAlive, pinger{p}, p.onKeepAliveTimeout)
	p.write()
}

// A pinger pings the host.
type pinger struct{ *http2 }

// Ping implements keepalive.Pinger.
func (p pinger) Ping() {
	p.codec.Ping(p.worker.d.Random())
	p.write()
}

func (p *http2) onKeepAliveTimeout() {
	p.pool.config.HTTP2Stats().KeepaliveTimeout.Inc(p.worker.d.Shard())
	p.close("http2_ping_timeout")
}

func (p *http2) begin(h upstream.ResponseHandler) upstream.RequestStream {
	p.keepAlive.OnStreamBegins()
	s := p.worker.takeStream()
	s.p = p
	s.init(p.client, h, httpmsg.HTTP2)
	s.encoder = p.codec.NewStream(s)
	if p.spent() {
		p.pool.config.Stats.UpstreamCxMaxRequests.Inc(p.worker.d.Shard())
		p.retiring = true
	}
	return s
}

func (w *worker) takeStream() *http2Stream {
	n := len(w.streams)
	if n == 0 {
		return new(http2Stream)
	}
	s := w.streams[n-1]
	w.streams = w.streams[:n-1]
	return s
}

func (p *http2) room() int {
	if p.retiring || p.codec.Exhausted() {
		return 0
	}
	return max(p.codec.MaxStreams()-p.codec.Active(), 0)
}

func (p *http2) active() int { return p.codec.Active() }

func (p *http2) closable() bool { return p.active() == 0 && !p.dispatching }

func (p *http2) dispatch(data *buffer.Buffer) error {
	if data.Len() > 0 {
		p.keepAlive.OnData()
	}
	p.dispatching, p.finished = true, false
	err := p.codec.Dispatch(data)
	p.dispatching = false
	p.write()
	if err == nil && p.retiring && p.active() == 0 && p.conn.State() == network.Open {
		if p.finished {
			// Envoy closes it while the codec reads, and takes that for an error.
			p.pool.config.Stats.UpstreamCxProtocolError.Inc(p.worker.d.Shard())
		}
		p.close("")
	}
	return err
}

func (p *http2) OnWriteBufferHigh() { p.codec.OnWriteBufferHigh() }
func (p *http2) OnWriteBufferLow()  { p.codec.OnWriteBufferLow() }

func (p *http2) closed(network.Event) (aborted bool) {
	p.keepAlive.Stop()
	return p.active() > 0
}

func (p *http2) reset(network.Event) { p.codec.OnClose(httpmsg.ResetConnectionTermination) }

// Redispatch implements h2.Flow.
func (p *http2) Redispatch() { p.worker.d.Defer(p.redispatch) }

func (p *http2) dispatchAgain() {
	if p.conn.State() != network.Open {
		return
	}
	var nothing buffer.Buffer
	if err := p.dispatch(&nothing); err != nil {
		p.protocolError()
	}
}

// OnStreamEnd implements h2.ClientCallbacks.
func (p *http2) OnStreamEnd(decoder codec.ResponseDecoder) {
	s, ok := decoder.(*http2Stream)
	if !ok || !s.active {
		return
	}
	p.finished = p.retiring && s.responded && s.requested
	s.end()
	if len(p.ended) == 0 {
		p.worker.d.Defer(p.recycle)
	}
	p.ended = append(p.ended, s)
	if p.conn.State() != network.Open {
		return
	}
	if p.active() == 0 {
		p.beginIdle()
	}
	switch {
	case p.room() > 0:
		p.worker.share(p.client)
		p.worker.match()
	case p.retiring && p.closable():
		p.close("")
	}
}

func (p *http2) recycleEnded() {
	for i, s := range p.ended {
		p.ended[i] = nil
		if w := p.worker; len(w.streams) < maxSpareStreams && len(w.http2) > 0 {
			*s = http2Stream{}
			w.streams = append(w.streams, s)
		}
	}
	p.ended = p.ended[:0]
}

// OnGoAway implements h2.ClientCallbacks.
func (p *http2) OnGoAway(uint32, h2.ErrorCode) {
	p.pool.config.Stats.UpstreamCxCloseNotify.Inc(p.worker.d.Shard())
	p.retiring = true
	p.worker.unshare(p.client)
}

// OnSettings implements h2.ClientCallbacks.
func (p *http2) OnSettings() {
	if p.room() == 0 {
		p.worker.unshare(p.client)
		return
	}
	p.worker.share(p.client)
	p.worker.match()
}

// OnPingAck implements h2.ClientCallbacks.
func (p *http2) OnPingAck(uint64) { p.keepAlive.OnAck() }

// http2Stream is one request of a connection.
type http2Stream struct {
	stream
	p *http2
}

var (
	_ h2.MetadataDecoder      = (*http2Stream)(nil)
	_ upstream.MetadataStream = (*http2Stream)(nil)
)

// Reset implements upstream.RequestStream.
func (s *http2Stream) Reset(reason httpmsg.ResetReason) {
	if s.active {
		s.p.pool.config.Stats.UpstreamRqTxReset.Inc(s.p.worker.d.Shard())
		s.stream.Reset(reason)
	}
}

// EncodeMetadata implements upstream.MetadataStream.
func (s *http2Stream) EncodeMetadata(metadata *httpmsg.Headers) {
	if e, ok := s.encoder.(h2.Stream); ok && s.active {
		e.EncodeMetadata(metadata)
		s.p.write()
	}
}

// DecodeMetadata implements h2.MetadataDecoder.
func (s *http2Stream) DecodeMetadata(metadata *httpmsg.Headers) {
	if h, ok := s.handler.(upstream.MetadataHandler); ok {
		h.OnMetadata(metadata)
	}
}

// OnReset implements codec.StreamCallbacks.
func (s *http2Stream) OnReset(reason httpmsg.ResetReason) {
	stats, shard := s.p.pool.config.Stats, s.p.worker.d.Shard()
	switch reason {
	case httpmsg.ResetConnectionTermination:
		stats.UpstreamRqPendingFailureEject.Inc(shard)
	case httpmsg.ResetLocalReset, httpmsg.ResetProtocolError:
		stats.UpstreamRqTxReset.Inc(shard)
	case httpmsg.ResetRemoteReset:
		stats.UpstreamRqRxReset.Inc(shard)
	}
	s.stream.OnReset(reason)
}
