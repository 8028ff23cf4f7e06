package hcm

import (
	"math/bits"
	"time"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/http2config"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
)

// readHTTP2 takes the settings of HTTP/2, and when it is spoken.
func (c *config) readHTTP2(m *hcmv3.HttpConnectionManager, path conf.Path, errs *conf.Errors) {
	switch m.GetCodecType() {
	case hcmv3.HttpConnectionManager_AUTO:
		c.codecType = autoCodec
	case hcmv3.HttpConnectionManager_HTTP1:
		c.codecType = http1Codec
	case hcmv3.HttpConnectionManager_HTTP2:
		c.codecType = http2Codec
	default:
		errs.Add(path.Field("codec_type"), "%v is not implemented", m.GetCodecType())
	}
	c.http2 = h2.ServerDefaults()
	c.http2.MaxHeadersKB, c.http2.MaxHeaders = c.http1.MaxHeadersKB, c.http1.MaxHeaders
	c.http2.Underscores = h2.UnderscoreAction(c.http1.Underscores)
	c.http2.StreamErrorOnInvalidMessaging = m.GetStreamErrorOnInvalidHttpMessage().GetValue()
	http2config.Parse(m.GetHttp2ProtocolOptions(), &c.http2, path.Field("http2_protocol_options"), errs)
	c.keepAlive = http2config.KeepAlive(m.GetHttp2ProtocolOptions())
}

// http2 is the codec of a connection that speaks HTTP/2, with what the manager keeps
// for it.
type http2 struct {
	h2.ServerConnection
	m          *manager
	redispatch func() // kept because a method value costs an allocation
	keepAlive  keepalive.KeepAlive

	// Requests that are over, and those of them that the client gave up at once.
	over, premature uint64
	abused          bool // too many of those

	resets  uint64    // RST_STREAM that the client may send
	counted time.Time // when resets grew
}

var (
	_ h2.ServerCallbacks = (*http2)(nil)
	_ h2.FlushedDecoder  = (*decoder)(nil)
	_ h2.MetadataDecoder = (*decoder)(nil)

	_ httpfilter.MetadataSender = (*activeFilter)(nil)
	_ h2.Flow                   = (*http2)(nil)
)

func newHTTP2(m *manager) *http2 {
	x := &http2{m: m}
	x.redispatch = x.dispatchAgain
	x.resets, x.counted = m.cfg.http2.StreamResetBurst, m.d.Now()
	x.Init(x, x, &m.cfg.http2, m.cfg.http2Stats(), m.shard, &m.w.http2, &m.out)
	x.keepAlive.Start(m.d, m.cfg.keepAlive, pinger{x}, x.onKeepAliveTimeout)
	return x
}

// AllowsReset implements h2.ServerCallbacks. As with nghttp2 whole seconds count.
func (x *http2) AllowsReset() bool {
	s := &x.m.cfg.http2
	if seconds := x.m.d.Now().Sub(x.counted) / time.Second; seconds > 0 {
		x.counted = x.counted.Add(seconds * time.Second)
		if high, gained := bits.Mul64(uint64(seconds), s.StreamResetRate); high > 0 || gained >= s.StreamResetBurst-x.resets {
			x.resets = s.StreamResetBurst
		} else {
			x.resets += gained
		}
	}
	if x.resets == 0 {
		return false
	}
	x.resets--
	return true
}

// A pinger pings the client.
type pinger struct{ *http2 }

// Ping implements keepalive.Pinger.
func (p pinger) Ping() {
	p.ServerConnection.Ping(p.m.d.Random())
	p.m.flush()
}

func (x *http2) onKeepAliveTimeout() {
	x.m.cfg.http2Stats().KeepaliveTimeout.Inc(x.m.shard)
	x.m.close(network.NoFlush, "http2_ping_timeout")
}

// Dispatch implements codec.Connection.
func (x *http2) Dispatch(data *buffer.Buffer) error {
	if data.Len() > 0 {
		x.keepAlive.OnData()
	}
	return x.ServerConnection.Dispatch(data)
}

// NewStream implements codec.ServerCallbacks.
func (x *http2) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder { return x.m.NewStream(enc) }

// OnPingAck implements h2.ServerCallbacks.
func (x *http2) OnPingAck(uint64) { x.keepAlive.OnAck() }

// Unsent implements h2.Flow.
func (x *http2) Unsent() int { return x.m.conn.Unsent() }

// Redispatch implements h2.Flow.
func (x *http2) Redispatch() { x.m.d.Defer(x.redispatch) }

func (x *http2) dispatchAgain() {
	if m := x.m; !m.closed && m.conn.State() == network.Open {
		var nothing buffer.Buffer
		m.dispatch(&nothing)
	}
}

// streamEnds is called when the manager is done with s.
func (x *http2) streamEnds(s *stream) {
	if !s.continued {
		x.over++
		x.watchResets(s)
	}
}

// awaitFlush leaves the stream open, since the client has not made room for the end of
// the response. It only waits for that, or for the flush timeout.
func (s *stream) awaitFlush() {
	s.unsent = true
	s.disarmTimers()
	s.idleArmed = false
	s.request.Kill()
	if t := s.flushTimeout; t > 0 {
		s.idleTimer.Enable(t)
		s.idleArmed = true
	}
}

// OnResponseSent implements h2.FlushedDecoder.
func (s *stream) OnResponseSent() {
	if !s.ended {
		s.unsent = false
		s.finish()
	}
}

// DecodeMetadata implements h2.MetadataDecoder.
func (s *stream) DecodeMetadata(metadata *httpmsg.Headers) {
	if s.ended || len(s.filters) == 0 {
		return
	}
	s.touch()
	if f, ok := s.filters[len(s.filters)-1].filter.(httpfilter.MetadataFilter); ok {
		f.DecodeMetadata(metadata)
	}
}

// SendResponseMetadata implements httpfilter.MetadataSender.
func (f *activeFilter) SendResponseMetadata(metadata *httpmsg.Headers) {
	s := f.s
	if s.ended {
		return
	}
	x, ok := s.enc.(h2.Stream)
	if !ok {
		s.m.cfg.codecStats.MetadataNotSupported.Inc(s.m.shard)
		return
	}
	s.touch()
	x.EncodeMetadata(metadata)
	s.m.flush()
}

// onFlushTimeout gives up a response that the client does not take.
func (s *stream) onFlushTimeout() {
	m := s.m
	s.unsent = false // it is told as if it was: it went to the codec
	if x, ok := s.enc.(h2.Stream); ok {
		x.ExpireFlush()
	}
	m.flush()
	s.finish()
	m.closeIfDone()
}

// The runtime keys that tell what an abuse of resets is, with Envoy's defaults: that
// many requests, half of them given up before they are older than that.
const (
	prematureResetCountKey    = "overload.premature_reset_total_stream_count"
	prematureResetLifetimeKey = "overload.premature_reset_min_stream_lifetime_seconds"
	prematureResetCount       = 500
	prematureResetLifetime    = 1
)

// watchResets ends a connection whose client opens requests to give them up.
func (x *http2) watchResets(s *stream) {
	m := x.m
	if s.info.ResponseCode != 0 || m.closed {
		return
	}
	runtime := m.cfg.runtime.Snapshot()
	if uint64(s.info.End.Sub(s.info.Start)/time.Second) > runtime.Integer(prematureResetLifetimeKey, prematureResetLifetime) {
		return
	}
	x.premature++
	// Even if all further requests are good, half of them may be bad in the end.
	enough := runtime.Integer(prematureResetCountKey, prematureResetCount)
	if 2*x.premature < max(enough, x.over) || x.abused {
		return
	}
	m.cfg.stats.rqTooManyPrematureResets.Inc(m.shard)
	x.abused = true
	x.Fail(&codec.Error{Detail: "codec_error:Connection_was_closed_while_dispatching_frames", Cause: "too many requests are reset early"})
}
