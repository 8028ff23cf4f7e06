package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A ServerConnection is the codec of a connection that a client opened. The owner
// closes the network connection
//   - when Dispatch returned an error and the output is sent;
//   - when Reusable is false, and Active is 0.
//
// A response encoder is good until the response is complete or the stream is reset;
// calls after that have no effect until another stream begins. The codec calls the
// decoder no more once the response is complete, but for FlushedDecoder's call or
// OnReset while it is not Sent: if the request was not complete, it resets the stream
// with NO_ERROR behind the response.
type ServerConnection struct {
	connection
	callbacks codec.ServerCallbacks

	last    uint32 // the largest stream id that came
	served  uint32 // the largest one that was served
	skipped idRange
}

// An idRange is the last range of stream ids that the client left out.
type idRange struct{ from, to uint32 }

var (
	_ codec.Connection      = (*ServerConnection)(nil)
	_ codec.ResponseEncoder = responseEncoder{}
	_ Stream                = responseEncoder{}
)

// NewServer returns the codec of a new connection. It appends its output, which begins
// with its SETTINGS, to out, which the owner sends. shard is the loop's, for stats, and
// so are spares.
func NewServer(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, spares *Streams, out *buffer.Buffer) *ServerConnection {
	c := new(ServerConnection)
	c.Init(callbacks, flow, settings, stats, shard, spares, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another one.
// It must not be called from inside Dispatch.
func (c *ServerConnection) Init(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, spares *Streams, out *buffer.Buffer) {
	*c = ServerConnection{callbacks: callbacks}
	c.init((*serverSide)(c), flow, settings, stats, shard, spares, out)
	c.server = true
	stats.DownstreamConnections.Inc(shard)
	c.writer.settings(settings, false)
}

// Reusable reports whether further requests are served: until GoAway, or an error.
func (c *ServerConnection) Reusable() bool { return !c.dead && !c.goAwaySent }

// Awaited reports, when Reusable is false, whether the client waits for the end of the
// connection. It never does: it has the GOAWAY.
func (c *ServerConnection) Awaited() bool { return false }

// ShutdownNotice begins a graceful end: it tells the client to open no further
// stream, and serves those that are on their way until GoAway.
func (c *ServerConnection) ShutdownNotice() {
	if !c.dead && !c.goAwaySent {
		c.writer.goAway(maxStreamID, NoError, "")
	}
}

// serverSide is a ServerConnection as its connection sees it.
type serverSide ServerConnection

var _ side = (*serverSide)(nil)

// beginHeaders implements side.
func (c *serverSide) beginHeaders(id uint32) (*stream, *codec.Error) {
	switch {
	case id%2 == 0:
		return nil, c.silentError("HEADERS: invalid stream_id")
	case id > c.last:
		if id > c.last+2 {
			c.skipped = idRange{from: c.last + 1, to: id - 1}
		}
		c.last = id
	case c.closed.has(id):
		return nil, c.goAwayError(StreamClosed, "HEADERS: stream closed")
	case c.skipped.from <= id && id <= c.skipped.to:
		return nil, c.goAwayError(ProtocolError, "HEADERS: stream_id is not increasing")
	default:
		return nil, nil // trailers of a stream that was reset
	}
	if c.goAwaySent {
		return nil, nil
	}
	if len(c.streams) >= int(c.settings.MaxConcurrentStreams) {
		c.stats.StreamRefusedErrors.Inc(c.shard)
		c.stats.TxReset.Inc(c.shard)
		c.writer.rstStream(id, RefusedStream)
		return nil, c.writer.pending.check(c.stats, c.shard)
	}
	c.served = id
	s := c.newStream()
	c.open(s, id)
	c.inbound.streamOpened()
	s.request = c.callbacks.NewStream(responseEncoder{s})
	s.decoder = s.request
	return s, nil
}

// onHeaders implements side.
func (c *serverSide) onHeaders(s *stream, f *section, endStream bool) *codec.Error {
	h := f.to
	s.headersIn, s.delivered = true, endStream
	switch h.Get(httpmsg.Method) {
	case "HEAD":
		s.bodiless = true
	case "CONNECT":
		s.length = -1
		if protocol := h.Get(httpmsg.Protocol); protocol != "" && protocol != "bytestream" {
			s.upgrade = true
			requestFromConnect(h, protocol)
		} else {
			s.connect = true
		}
	}
	s.request.DecodeHeaders(endStream)
	if s.open {
		s.tell()
	}
	if s.open && endStream {
		s.endStream()
	}
	return nil
}

// requestFromConnect makes an extended CONNECT look like an upgrade in HTTP/1.
func requestFromConnect(h *httpmsg.Headers, protocol string) {
	h.Set(httpmsg.Method, "GET")
	h.Remove(httpmsg.Protocol)
	h.Set(httpmsg.Upgrade, protocol)
	h.Set(httpmsg.Connection, "upgrade")
}

// isIdle implements side.
func (c *serverSide) isIdle(id uint32) bool { return id%2 == 0 || id > c.last }

// lastStream implements side.
func (c *serverSide) lastStream() uint32 { return c.served }

// onGoAway implements side: a client that opens no more streams.
func (c *serverSide) onGoAway(uint32, ErrorCode) {}

// onSettings implements side.
func (c *serverSide) onSettings() {}

// onPingAck implements side.
func (c *serverSide) onPingAck(data uint64) {
	if cb, ok := c.callbacks.(ServerCallbacks); ok {
		cb.OnPingAck(data)
	}
}

// allowsReset implements side.
func (c *serverSide) allowsReset() bool {
	cb, ok := c.callbacks.(ServerCallbacks)
	return !ok || cb.AllowsReset()
}

// onEnd implements side.
func (c *serverSide) onEnd(*stream) {}

// end implements side.
func (c *serverSide) end(reason httpmsg.ResetReason) { c.connection.OnClose(reason) }

// onFault implements side.
func (c *serverSide) onFault(s *stream, detail string) {
	s.decoder = nil
	s.request.OnProtocolError(&codec.Error{Detail: detail})
}

// A responseEncoder is a stream as a server's user sees it.
type responseEncoder struct{ *stream }

// EncodeInterim implements codec.ResponseEncoder.
func (e responseEncoder) EncodeInterim(h *httpmsg.Headers) {
	if e.open && !e.headersOut && !e.localDone && !e.c.dead {
		e.sendResponse(h, false)
	}
}

// EncodeHeaders implements codec.ResponseEncoder.
func (e responseEncoder) EncodeHeaders(h *httpmsg.Headers, endStream bool) {
	if !e.open || e.headersOut || e.localDone || e.c.dead {
		return
	}
	e.headersOut, e.localDone, e.localEnd = true, endStream, endStream
	switch code := h.StatusCode(); {
	case code == 204 || code == 304:
		e.bodiless = true
	case code/100 == 2:
		e.connect = false
	}
	e.sendResponse(h, endStream)
	if endStream {
		e.endEncoding()
	}
	e.c.checkOutbound()
}
