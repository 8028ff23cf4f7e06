package h1

import (
	"bytes"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// ClientCallbacks is what a ClientConnection asks of the connection pool.
type ClientCallbacks interface {
	Flow
	// OnStreamEnd is called once for every stream, after the last call of its
	// decoder: request and response are complete, or the stream was reset, or the
	// connection failed. When Reusable is false the connection is to be closed;
	// otherwise NewStream may be called, also from inside.
	OnStreamEnd()
}

// A ClientConnection is the codec of a connection to an upstream host. It carries
// one stream at a time.
type ClientConnection struct {
	callbacks ClientCallbacks

	in  reader
	out writer

	// The stream; decoder is nil between streams.
	stream    requestStream
	decoder   codec.ResponseDecoder
	method    string
	upgrade   bool // the request asks for an upgrade
	requested bool // the request is complete
	responded bool // the response is complete

	version protocol
	closing bool // no further request may be sent
}

var (
	_ codec.Connection     = (*ClientConnection)(nil)
	_ codec.RequestEncoder = (*requestStream)(nil)
)

// NewClient returns the codec of a new connection. It appends its output to out,
// which the owner sends.
func NewClient(callbacks ClientCallbacks, settings *Settings, out *buffer.Buffer) *ClientConnection {
	c := new(ClientConnection)
	c.Init(callbacks, settings, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another
// one. It must not be called from inside Dispatch.
func (c *ClientConnection) Init(callbacks ClientCallbacks, settings *Settings, out *buffer.Buffer) {
	*c = ClientConnection{callbacks: callbacks, version: http11}
	c.stream.c = c
	c.in.init(settings, callbacks, c, fieldParser{maxFields: settings.MaxHeaders})
	c.in.state = inDone
	c.out = writer{out: out, settings: settings, stream: c}
}

// NewStream begins a request, whose response decoder gets. It may be called when
// Reusable is true and no stream is active. The encoder is good for this stream
// only.
func (c *ClientConnection) NewStream(decoder codec.ResponseDecoder) codec.RequestEncoder {
	c.decoder = decoder
	c.requested, c.responded = false, false
	c.in.state, c.in.counted = inHead, 0
	return &c.stream
}

// Dispatch implements codec.Connection. After an error the stream is gone
// (ResetProtocolError) and the connection is to be closed.
func (c *ClientConnection) Dispatch(data *buffer.Buffer) error {
	if data.Len() == 0 {
		return nil
	}
	if c.decoder == nil {
		c.closing = true
		data.Drain(data.Len())
		return codecError("bytes without a request")
	}
	c.in.count(data)
	err := c.in.run(data)
	if c.decoder != nil && c.in.state == inDone {
		// Bytes behind the response: nothing that follows can be trusted.
		c.closing = c.closing || data.Len() > 0
		data.Drain(data.Len())
		c.responded = true
	}
	if err != nil {
		data.Drain(data.Len())
		c.fail(httpmsg.ResetProtocolError)
		return err
	}
	if c.decoder == nil {
		data.Drain(data.Len()) // the stream was reset meanwhile
		return nil
	}
	c.in.settle(data)
	c.endStream()
	return nil
}

// OnEOF tells the codec that the peer sent everything it will ever send. This ends
// a response without a length, resets a tunnel, and is an error for any other that is not complete.
// The connection cannot be used for further requests. It is called when Dispatch
// has taken all bytes.
func (c *ClientConnection) OnEOF() {
	c.closing = true
	if c.decoder == nil || c.responded {
		return
	}
	switch c.in.state {
	case inUntilClose:
		c.in.state, c.responded = inDone, true
		c.decoder.DecodeData(&c.in.body, true)
		c.endStream()
	case inTunnel: // which has no end but this
		c.fail(httpmsg.ResetConnectionTermination)
	default:
		if c.begun() {
			c.fail(httpmsg.ResetProtocolError)
		} else {
			c.fail(httpmsg.ResetConnectionTermination)
		}
	}
}

// OnClose tells the codec that the network connection is gone. A stream whose
// response is not complete gets OnReset: with ResetProtocolError, as after OnEOF, if
// the peer ended the connection within a response that says how long it is.
func (c *ClientConnection) OnClose(reason httpmsg.ResetReason) {
	c.closing = true
	if c.decoder == nil {
		return
	}
	framed := c.in.state != inUntilClose && c.in.state != inTunnel
	if reason == httpmsg.ResetConnectionTermination && c.begun() && framed {
		reason = httpmsg.ResetProtocolError
	}
	c.fail(reason)
}

// begun reports whether bytes of the response have come, or of what follows an
// interim one.
func (c *ClientConnection) begun() bool { return c.in.state != inHead || c.in.partial != nil }

// fail ends the stream, if there is one, and the use of the connection.
func (c *ClientConnection) fail(reason httpmsg.ResetReason) {
	decoder := c.decoder
	if c.drop(); decoder == nil {
		return
	}
	if !c.responded {
		decoder.OnReset(reason)
	}
	c.callbacks.OnStreamEnd()
}

// drop ends the use of the connection.
func (c *ClientConnection) drop() {
	c.decoder, c.closing = nil, true
	c.in.state, c.in.disabled = inDone, 0
	c.in.resume()
}

// endStream ends the stream if both messages are complete.
func (c *ClientConnection) endStream() {
	if c.decoder == nil || !c.requested || !c.responded {
		return
	}
	c.decoder = nil
	c.closing = c.closing || c.out.misframed
	c.in.disabled = 0
	c.in.resume()
	c.callbacks.OnStreamEnd()
}

// Reusable reports whether another request may be sent when the stream is over.
func (c *ClientConnection) Reusable() bool { return !c.closing }

// WantsRead reports whether Dispatch would take bytes now.
func (c *ClientConnection) WantsRead() bool { return c.decoder == nil || c.in.wantsRead() }

// Version implements codec.Connection; it is the last response's.
func (c *ClientConnection) Version() httpmsg.Version { return c.version.version() }

// GoAway implements codec.Connection.
func (c *ClientConnection) GoAway() { c.closing = true }

// OnWriteBufferHigh implements codec.Connection.
func (c *ClientConnection) OnWriteBufferHigh() {
	if c.decoder != nil {
		c.decoder.OnWriteBufferHigh()
	}
}

// OnWriteBufferLow implements codec.Connection.
func (c *ClientConnection) OnWriteBufferLow() {
	if c.decoder != nil {
		c.decoder.OnWriteBufferLow()
	}
}

func (c *ClientConnection) meter() *streaminfo.Meter { return c.decoder.Meter() }

func (c *ClientConnection) begins(p []byte) *codec.Error { return beginsResponse(p) }

func (c *ClientConnection) onHead(block []byte) *codec.Error {
	h := c.decoder.ResponseHeaders()
	lineEnd := bytes.IndexByte(block, '\n')
	line, err := parseStatusLine(trimCR(block[:lineEnd]))
	if err != nil {
		return err
	}
	c.version = line.version
	if s := c.in.settings; s.NewFormatter != nil {
		h.SetFormatter(s.NewFormatter())
		h.Formatter().SetReasonPhrase(line.reason)
	}
	h.SetArena(block[len(block):cap(block):cap(block)])
	h.AddID(httpmsg.Status, line.code)
	var f framing
	if err := c.in.fields.parse(h, block, lineEnd+1, &f); err != nil {
		return err
	}
	countHead(c.meter(), &f)
	if err := checkFraming(h, &f, c.in.settings.AllowChunkedLength); err != nil {
		return err
	}
	code := h.StatusCode()
	tunnel := c.method == "CONNECT" && code/100 == 2 || c.upgrade && code == 101
	if code == 101 && !tunnel {
		return codecError("upgrade that was not asked for")
	}
	if tunnel || code < 200 || code == 204 {
		if err := checkBodiless(h, &f); err != nil {
			return err
		}
	}
	if code < 200 && code != 101 {
		c.decoder.DecodeInterim()
		return nil
	}
	c.onFinalHead(&f, code, tunnel)
	return nil
}

// checkBodiless refuses a body where there cannot be one.
func checkBodiless(h *httpmsg.Headers, f *framing) *codec.Error {
	if f.encoding != noCoding {
		return badRequest("http1.transfer_encoding_not_allowed", "response without a body")
	}
	if f.sized && h.Get(httpmsg.ContentLength) != "0" {
		return badRequest("http1.content_length_not_allowed", "response without a body")
	}
	h.Remove(httpmsg.ContentLength)
	return nil
}

func (c *ClientConnection) onFinalHead(f *framing, code int, tunnel bool) {
	if f.persist.close || c.version != http11 && !f.persist.keepAlive || c.upgrade || c.method == "CONNECT" {
		c.closing = true
	}
	hasBody := true
	switch {
	case tunnel:
		c.in.state, c.out.mode = inTunnel, unchunked
	case c.method == "HEAD" || code == 204 || code == 304:
		c.in.state, hasBody = inDone, false
	case f.encoding == noCoding && !f.sized:
		c.in.state, c.closing = inUntilClose, true
	default:
		hasBody = c.in.setBody(f)
	}
	c.decoder.DecodeHeaders(!hasBody)
}

func (c *ClientConnection) onData(data *buffer.Buffer, last bool) { c.decoder.DecodeData(data, last) }

func (c *ClientConnection) onTrailers(trailers *httpmsg.Headers) { c.decoder.DecodeTrailers(trailers) }
