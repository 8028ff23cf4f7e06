package h2

import (
	"slices"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A ClientConnection is the codec of a connection to an upstream host. The owner
// closes the network connection when Dispatch returned an error.
type ClientConnection struct {
	connection
	callbacks ClientCallbacks

	nextID   uint32
	unopened []*stream // that have sent no headers yet
	goneAway bool      // the peer sent GOAWAY
}

var (
	_ codec.Connection     = (*ClientConnection)(nil)
	_ codec.RequestEncoder = requestEncoder{}
	_ Stream               = requestEncoder{}
)

// NewClient returns the codec of a new connection. It appends its output, which begins
// with the connection preface, to out, which the owner sends. shard is the loop's, for
// stats, and so are spares.
func NewClient(callbacks ClientCallbacks, settings *Settings, stats *Stats, shard int, spares *Streams, out *buffer.Buffer) *ClientConnection {
	c := new(ClientConnection)
	c.Init(callbacks, settings, stats, shard, spares, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another one.
// It must not be called from inside Dispatch.
func (c *ClientConnection) Init(callbacks ClientCallbacks, settings *Settings, stats *Stats, shard int, spares *Streams, out *buffer.Buffer) {
	*c = ClientConnection{callbacks: callbacks, nextID: 1}
	c.init((*clientSide)(c), callbacks, settings, stats, shard, spares, out)
	stats.UpstreamConnections.Inc(shard)
	out.AppendString(preface)
	c.writer.pending.put += uint64(len(preface))
	c.writer.settings(settings, true)
}

// NewStream begins a request, whose response decoder gets. It may be called when
// CanOpen is true. The encoder is a Stream; it is good until OnStreamEnd.
func (c *ClientConnection) NewStream(decoder codec.ResponseDecoder) codec.RequestEncoder {
	s := c.newStream()
	s.response, s.decoder, s.open = decoder, decoder, true
	c.unopened = append(c.unopened, s)
	return requestEncoder{s}
}

// CanOpen reports whether NewStream may be called: less than MaxStreams are active,
// and the connection is not Exhausted.
func (c *ClientConnection) CanOpen() bool { return !c.Exhausted() && c.Active() < c.MaxStreams() }

// Exhausted reports whether no further stream will ever be opened: there was a GOAWAY
// from either side or an error, or no stream ids are left.
func (c *ClientConnection) Exhausted() bool {
	return c.dead || c.goneAway || c.goAwaySent || int64(c.nextID)+2*int64(len(c.unopened)) > maxStreamID
}

// MaxStreams is how many streams may be active at once: what the peer's settings say,
// and ours at most.
func (c *ClientConnection) MaxStreams() int {
	return int(min(c.peer.maxStreams, c.settings.MaxConcurrentStreams))
}

// AllowsConnect reports whether the peer's settings allow extended CONNECT.
func (c *ClientConnection) AllowsConnect() bool { return c.peer.connect }

// Active is the number of streams that are open.
func (c *ClientConnection) Active() int { return len(c.streams) + len(c.unopened) }

// OnClose tells the codec that the network connection is gone. Streams whose response
// is not complete get OnReset.
func (c *ClientConnection) OnClose(reason httpmsg.ResetReason) { (*clientSide)(c).end(reason) }

// clientSide is a ClientConnection as its connection sees it.
type clientSide ClientConnection

var _ side = (*clientSide)(nil)

// end implements side.
func (c *clientSide) end(reason httpmsg.ResetReason) {
	c.connection.OnClose(reason)
	for len(c.unopened) > 0 {
		c.abort(c.unopened[0], reason)
	}
}

// beginHeaders implements side: a server opens no streams.
func (c *clientSide) beginHeaders(id uint32) (*stream, *codec.Error) {
	if c.isIdle(id) {
		return nil, c.silentError("HEADERS: stream in idle")
	}
	return nil, c.checkClosed("HEADERS")
}

// onHeaders implements side.
func (c *clientSide) onHeaders(s *stream, f *section, endStream bool) *codec.Error {
	h := f.to
	code := h.StatusCode()
	if code < 200 {
		s.length = -1
		s.response.DecodeInterim()
		return nil
	}
	switch {
	case s.connect && code < 300:
		s.length = -1
	case s.upgrade && code == 200:
		s.length = -1
		responseFromConnect(h, s.protocol)
	case s.bodiless || code == 204 || code == 304:
		s.length = 0
	case endStream && s.length > 0:
		return c.invalid(s, detailMessaging, "content-length without a body")
	}
	s.headersIn, s.delivered = true, endStream
	s.response.DecodeHeaders(endStream)
	if s.open && endStream {
		s.endStream()
	}
	return nil
}

// responseFromConnect makes the acceptance of an extended CONNECT look as in HTTP/1.
func responseFromConnect(h *httpmsg.Headers, protocol string) {
	h.Set(httpmsg.Status, "101")
	h.Set(httpmsg.Upgrade, protocol)
	h.Set(httpmsg.Connection, "upgrade")
}

// isIdle implements side.
func (c *clientSide) isIdle(id uint32) bool { return id%2 == 0 || id >= c.nextID }

// lastStream implements side: a server opens no streams.
func (c *clientSide) lastStream() uint32 { return 0 }

// onGoAway implements side.
func (c *clientSide) onGoAway(last uint32, code ErrorCode) {
	if !c.goneAway {
		c.goneAway = true
		c.callbacks.OnGoAway(last, code)
	}
	for s := c.after(last); s != nil; s = c.after(s.id) {
		s.details = detailRemoteRefused
		c.abort(s, httpmsg.ResetRemoteRefusedStream)
	}
	for len(c.unopened) > 0 {
		c.abort(c.unopened[0], httpmsg.ResetRemoteRefusedStream)
	}
}

// onSettings implements side.
func (c *clientSide) onSettings() { c.callbacks.OnSettings() }

// onPingAck implements side.
func (c *clientSide) onPingAck(data uint64) { c.callbacks.OnPingAck(data) }

// allowsReset implements side.
func (c *clientSide) allowsReset() bool { return true }

// onEnd implements side.
func (c *clientSide) onEnd(s *stream) {
	if i := slices.Index(c.unopened, s); i >= 0 {
		c.unopened = slices.Delete(c.unopened, i, i+1)
	}
	c.callbacks.OnStreamEnd(s.response)
}

// onFault implements side: the stream gets its reset with all others.
func (c *clientSide) onFault(*stream, string) {}

// A requestEncoder is a stream as a client's user sees it.
type requestEncoder struct{ *stream }

// EncodeHeaders implements codec.RequestEncoder. On an error nothing is sent.
func (e requestEncoder) EncodeHeaders(h *httpmsg.Headers, endStream bool) error {
	s := e.stream
	c := s.c
	if !s.open || s.headersOut || c.dead {
		return nil
	}
	method, path, authority := h.Get(httpmsg.Method), h.Get(httpmsg.Path), h.Get(httpmsg.Authority)
	s.connect = method == "CONNECT"
	if !isToken(method) || !s.connect && !isPath(path) || (s.connect || authority != "") && !isAuthority(authority) {
		return codec.RequestError(method, path)
	}
	if !s.connect && h.Has(httpmsg.Upgrade) && httpmsg.HasToken(h.Get(httpmsg.Connection), "upgrade") {
		s.upgrade, s.protocol = true, h.Get(httpmsg.Upgrade)
	}
	s.bodiless = method == "HEAD"
	c.side.(*clientSide).begin(s)
	s.headersOut, s.localDone, s.localEnd = true, endStream, endStream
	s.sendRequest(h, endStream)
	s.tell()
	c.checkOutbound()
	return nil
}

// begin gives a stream its id.
func (c *clientSide) begin(s *stream) {
	if i := slices.Index(c.unopened, s); i >= 0 {
		c.unopened = slices.Delete(c.unopened, i, i+1)
	}
	c.open(s, c.nextID)
	c.nextID += 2
	c.inbound.streamOpened()
}
