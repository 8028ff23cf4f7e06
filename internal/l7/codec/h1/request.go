package h1

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A requestStream is the one stream of a ClientConnection. Calls after its end
// have no effect until the next stream begins.
type requestStream struct{ c *ClientConnection }

// EncodeHeaders implements codec.RequestEncoder. On an error nothing is sent. The
// data of an upgrade or CONNECT must wait until the response accepts it.
func (s *requestStream) EncodeHeaders(h *httpmsg.Headers, endStream bool) error {
	c := s.c
	if c.decoder == nil || c.requested {
		return nil
	}
	method, path, authority := h.Get(httpmsg.Method), h.Get(httpmsg.Path), h.Get(httpmsg.Authority)
	connect := method == "CONNECT"
	if connect {
		path = authority
	}
	if !isToken(method) || !isVisible(path) || !isAuthority(authority) {
		return codec.RequestError(method, path)
	}
	c.method = method
	c.upgrade = !connect && h.Has(httpmsg.Upgrade) && httpmsg.HasToken(h.Get(httpmsg.Connection), "upgrade")

	p := c.out.beginHead(h)
	p = append(p, method...)
	p = append(p, ' ')
	if scheme := h.Get(httpmsg.Scheme); c.in.settings.SendFullyQualifiedURL && !connect && isToken(scheme) {
		p = append(append(p, scheme...), "://"...)
		p = append(p, authority...)
	}
	p = append(p, path...)
	p = append(p, " HTTP/1.1\r\n"...)
	firstLine := len(p)
	p = c.out.field(p, "host", authority)
	p = c.out.fields(p, h, fieldFilter{connection: true, contentLength: !connect})
	p = c.endHead(p, h, endStream)
	c.out.commit(p, firstLine)
	if httpmsg.HasToken(h.Get(httpmsg.Connection), "close") {
		c.closing = true
	}
	if endStream {
		c.out.end()
		c.endRequest()
	}
	return nil
}

// endHead adds the headers that are the codec's, and decides how the body is
// framed. The body of a tunnel begins with the response.
func (c *ClientConnection) endHead(p []byte, h *httpmsg.Headers, endStream bool) []byte {
	c.out.mode = noBody
	switch {
	case c.upgrade || c.method == "CONNECT":
	case h.Has(httpmsg.ContentLength):
		c.out.setLength(h.Get(httpmsg.ContentLength))
	case endStream:
		switch c.method {
		case "GET", "HEAD", "DELETE", "TRACE":
		default:
			p = c.out.field(p, "content-length", "0")
		}
	default:
		p = c.out.field(p, "transfer-encoding", "chunked")
		c.out.mode = chunked
	}
	return p
}

// EncodeData implements codec.RequestEncoder.
func (s *requestStream) EncodeData(data *buffer.Buffer, endStream bool) {
	c := s.c
	if c.decoder == nil || c.requested {
		data.Drain(data.Len())
		return
	}
	c.out.data(data, endStream)
	if endStream {
		c.endRequest()
	}
}

// EncodeTrailers implements codec.RequestEncoder.
func (s *requestStream) EncodeTrailers(trailers *httpmsg.Headers) {
	c := s.c
	if c.decoder == nil || c.requested {
		return
	}
	c.out.trailers(trailers)
	c.endRequest()
}

func (c *ClientConnection) endRequest() {
	c.requested = true
	c.endStream()
}

// Reset implements codec.Stream. The owner closes the connection.
func (s *requestStream) Reset(httpmsg.ResetReason) {
	c := s.c
	if c.decoder == nil {
		return
	}
	c.drop()
	c.callbacks.OnStreamEnd()
}

// ReadDisable implements codec.Stream.
func (s *requestStream) ReadDisable(disable bool) {
	if s.c.decoder != nil {
		s.c.in.readDisable(disable)
	}
}
