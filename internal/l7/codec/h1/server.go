package h1

import (
	"bytes"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A ServerConnection is the codec of a connection that a client opened. It serves
// one request at a time: Dispatch returns after each, and leaves what the client
// sent behind it in data until the response is complete.
//
// The owner closes the network connection
//   - when Dispatch returned an error and the answer, if any, is encoded;
//   - when a response is complete, or a stream reset, and Reusable is false.
//
// The response says "connection: close" whenever the codec knows in time: after
// GoAway, when the request asked for it, for HTTP/1.0, when the request is not
// complete yet, and when the headers passed to EncodeHeaders say so. Bytes that
// come after the last response are dropped.
//
// The codec calls the decoder no more once the response is complete, even if the
// request was not.
type ServerConnection struct {
	callbacks codec.ServerCallbacks
	stats     *Stats
	shard     int

	in  reader
	out writer

	// The stream; decoder is nil between streams.
	stream    responseStream
	decoder   codec.RequestDecoder
	version   protocol
	connect   bool // the request is CONNECT
	head      bool // the request is HEAD
	tunnel    bool // the request asks for an upgrade or CONNECT
	responded bool // the response has begun
	keepAlive bool // an HTTP/1.0 client asked to keep the connection
	lastOne   bool // the client sends no further request
	unsized   bool // the response is for HTTP/1.0 and does not say how long it is

	closing bool // no further request is served
	awaited bool // the client waits for the end of the connection
}

var (
	_ codec.Connection      = (*ServerConnection)(nil)
	_ codec.ResponseEncoder = (*responseStream)(nil)
)

// NewServer returns the codec of a new connection. It appends its output to out,
// which the owner sends. shard is the loop's, for stats.
func NewServer(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) *ServerConnection {
	c := new(ServerConnection)
	c.Init(callbacks, flow, settings, stats, shard, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another
// one. It must not be called from inside Dispatch.
func (c *ServerConnection) Init(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) {
	*c = ServerConnection{callbacks: callbacks, stats: stats, shard: shard}
	c.stream.c = c
	c.in.init(settings, flow, c, fieldParser{settings.MaxHeaders, settings.Underscores, true})
	c.out = writer{out: out, settings: settings, stream: c}
	c.version = http11
}

// Dispatch implements codec.Connection. The owner calls it whenever bytes come,
// also when WantsRead is false, so that the codec can stop the reading. It returns
// after one request at the latest: the owner calls it again while bytes are left
// and WantsRead is true.
func (c *ServerConnection) Dispatch(data *buffer.Buffer) error {
	err := c.dispatch(data)
	if err != nil {
		data.Drain(data.Len())
	}
	c.in.settle(data)
	if err != nil {
		return err
	}
	return nil
}

func (c *ServerConnection) dispatch(data *buffer.Buffer) *codec.Error {
	if data.Len() > 0 && c.decoder == nil && c.in.state == inHead && c.in.wantsRead() {
		c.version, c.connect, c.head, c.tunnel = http11, false, false, false
		c.keepAlive, c.lastOne, c.unsized = false, false, false
		c.decoder, c.in.counted = c.callbacks.NewStream(&c.stream), 0
	}
	if c.decoder != nil && c.in.wantsRead() {
		c.in.count(data)
	}
	if c.in.state == inHead && c.in.partial == nil && c.in.wantsRead() {
		skipEmptyLines(data)
	}
	if err := c.in.run(data); err != nil {
		return c.fail(err)
	}
	return nil
}

// skipEmptyLines drops the line ends before a request.
func skipEmptyLines(data *buffer.Buffer) {
	for data.Len() > 0 {
		front := data.Front()
		n := 0
		for n < len(front) && (front[n] == '\r' || front[n] == '\n') {
			n++
		}
		data.Drain(n)
		if n < len(front) {
			return
		}
	}
}

// fail ends the connection: the decoder may still answer.
func (c *ServerConnection) fail(err *codec.Error) *codec.Error {
	c.in.state, c.closing = inDead, true
	if err.Detail == "http1.unexpected_underscore" {
		c.stats.RequestsRejectedForUnderscores.Inc(c.shard)
	}
	c.decoder.OnProtocolError(err)
	return err
}

// WantsRead reports whether Dispatch would take bytes now.
func (c *ServerConnection) WantsRead() bool { return c.in.wantsRead() }

// Reusable reports whether the connection may serve another request when the
// current response is complete.
func (c *ServerConnection) Reusable() bool { return !c.closing }

// Awaited reports, when Reusable is false, whether the client waits for the end of the
// connection: it asked for it, with a request that it has sent completely, or finds the
// end of an HTTP/1.0 response by it. The owner closes at once then, where others get time
// to read an answer that they do not expect.
func (c *ServerConnection) Awaited() bool { return c.awaited }

// Version implements codec.Connection; it is the current request's.
func (c *ServerConnection) Version() httpmsg.Version { return c.version.version() }

// GoAway implements codec.Connection.
func (c *ServerConnection) GoAway() { c.closing = true }

// OnWriteBufferHigh implements codec.Connection. No new request begins before
// OnWriteBufferLow.
func (c *ServerConnection) OnWriteBufferHigh() {
	c.in.blocked = true
	if c.decoder != nil {
		c.decoder.OnWriteBufferHigh()
	}
}

// OnWriteBufferLow implements codec.Connection.
func (c *ServerConnection) OnWriteBufferLow() {
	c.in.blocked = false
	if c.decoder != nil {
		c.decoder.OnWriteBufferLow()
	}
	c.in.resume()
}

// OnClose tells the codec that the network connection is gone. A stream that is
// not complete gets OnReset.
func (c *ServerConnection) OnClose(reason httpmsg.ResetReason) {
	if decoder := c.decoder; decoder != nil {
		c.drop()
		decoder.OnReset(reason)
	}
}

// drop ends the stream and the use of the connection.
func (c *ServerConnection) drop() {
	c.decoder, c.closing = nil, true
	c.in.state, c.in.disabled = inDead, 0
	c.in.resume()
}

func (c *ServerConnection) meter() *streaminfo.Meter { return c.decoder.Meter() }

func (c *ServerConnection) begins(p []byte) *codec.Error { return beginsRequest(p, c.in.settings) }

func (c *ServerConnection) onHead(block []byte) *codec.Error {
	h := c.decoder.RequestHeaders()
	if s := c.in.settings; s.NewFormatter != nil {
		h.SetFormatter(s.NewFormatter())
	}
	body, err := c.readHead(block, h)
	if err != nil {
		return err
	}
	hasBody := c.in.setBody(&body)
	if c.tunnel {
		c.in.state = inHeld
	}
	c.decoder.DecodeHeaders(!hasBody && !c.tunnel)
	return nil
}

// readHead parses a request head into h and decides what it means for the
// connection.
func (c *ServerConnection) readHead(block []byte, h *httpmsg.Headers) (body framing, err *codec.Error) {
	s := c.in.settings
	lineEnd := bytes.IndexByte(block, '\n')
	line, err := parseRequestLine(trimCR(block[:lineEnd]), s)
	if err != nil {
		if line.bare {
			countHead(c.meter(), &body)
		}
		return body, err
	}
	c.version, c.connect, c.head = line.version, line.method == "CONNECT", line.method == "HEAD"
	to, err := parseTarget(&line, s)
	if err != nil {
		return body, err
	}
	h.SetArena(block[len(block):cap(block):cap(block)])
	addPseudoHeaders(h, line.method, &to)
	err = c.in.fields.parse(h, block, lineEnd+1, &body)
	if body.dropped > 0 && c.in.fields.underscores == DropUnderscores {
		c.stats.DroppedHeadersWithUnderscores.Add(c.shard, uint64(body.dropped))
	}
	if err == nil {
		countHead(c.meter(), &body)
		err = c.checkVersion(&body)
	}
	if err == nil {
		err = c.checkTunnel(h, &body)
	}
	if err == nil {
		err = checkFraming(h, &body, s.AllowChunkedLength)
	}
	if err == nil && !c.tunnel && h.Has(httpmsg.Connection) && !removeNominated(h) {
		err = badRequest("http1.connection_header_rejected", "")
	}
	if err != nil {
		return body, err
	}
	return body, c.setAuthority(h, to.authority, &body)
}

// addPseudoHeaders adds them before all other fields. The host header, if there is
// one, replaces :authority in its place.
func addPseudoHeaders(h *httpmsg.Headers, method string, to *target) {
	h.AddID(httpmsg.Authority, "")
	if to.scheme != "" {
		h.AddID(httpmsg.Scheme, to.scheme)
	}
	if to.path != "" {
		h.AddID(httpmsg.Path, to.path)
	}
	h.AddID(httpmsg.Method, method)
}

func (c *ServerConnection) checkVersion(f *framing) *codec.Error {
	if c.version != http11 {
		if !c.in.settings.AcceptHTTP10 {
			return lowVersion()
		}
		if f.encoding != noCoding {
			return badRequest("http1.transfer_encoding_not_allowed", "HTTP/1.0")
		}
		c.keepAlive = f.persist.keepAlive
	}
	if f.persist.close || c.version != http11 && !c.keepAlive {
		c.closing, c.lastOne = true, true
	}
	return nil
}

// checkTunnel finds out whether the request asks for another protocol than HTTP.
func (c *ServerConnection) checkTunnel(h *httpmsg.Headers, f *framing) *codec.Error {
	if c.connect {
		if f.encoding != noCoding {
			return invalidTransferEncoding()
		}
		if f.sized && h.Get(httpmsg.ContentLength) != "0" {
			return badRequest("http1.body_disallowed", "CONNECT with a body")
		}
		h.Remove(httpmsg.ContentLength)
		c.tunnel = true
		return nil
	}
	if !f.persist.upgrade || !h.Has(httpmsg.Upgrade) {
		return nil
	}
	if c.ignoresUpgrade(h) {
		h.Remove(httpmsg.Upgrade)
		h.Remove(httpmsg.HTTP2Settings)
		return nil
	}
	if f.encoding != noCoding || f.length > 0 {
		return badRequest("http1.body_disallowed", "upgrade with a body")
	}
	c.tunnel = true
	return nil
}

// ignoresUpgrade takes the protocols out of the upgrade header that are to be
// ignored, and reports whether none is left. Upgrades to h2c are always ignored.
func (c *ServerConnection) ignoresUpgrade(h *httpmsg.Headers) bool {
	protocols, _ := h.Joined("upgrade")
	if httpmsg.EqualFold(protocols, "h2c") {
		return true
	}
	ignore := c.in.settings.IgnoreUpgrade
	if ignore == nil {
		return false
	}
	left := make([]string, 0, 4)
	for rest := protocols; rest != ""; {
		var protocol string
		if protocol, rest = httpmsg.NextToken(rest); !ignore(protocol) {
			left = append(left, protocol)
		}
	}
	h.Set(httpmsg.Upgrade, strings.Join(left, ","))
	return len(left) == 0
}

// setAuthority lets the target's authority win over the host header, and checks
// it. A request that has none has no :authority.
func (c *ServerConnection) setAuthority(h *httpmsg.Headers, authority string, f *framing) *codec.Error {
	switch {
	case authority != "":
		h.Set(httpmsg.Authority, authority)
	case f.hosts == 0 && c.version != http11 && c.in.settings.DefaultHost != "":
		h.Set(httpmsg.Authority, c.in.settings.DefaultHost)
	case f.hosts == 0:
		h.Remove(httpmsg.Authority)
	}
	if !isAuthority(h.Get(httpmsg.Authority)) {
		return badRequest("http.invalid_authority", "invalid character in the host")
	}
	return nil
}

func (c *ServerConnection) onData(data *buffer.Buffer, last bool) { c.decoder.DecodeData(data, last) }

func (c *ServerConnection) onTrailers(trailers *httpmsg.Headers) { c.decoder.DecodeTrailers(trailers) }
