package h1

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A responseStream is the one stream of a ServerConnection. Calls after its end
// have no effect until the next stream begins.
type responseStream struct{ c *ServerConnection }

// EncodeInterim implements codec.ResponseEncoder. HTTP/1.0 clients get no interim
// responses.
func (s *responseStream) EncodeInterim(h *httpmsg.Headers) {
	c := s.c
	if c.decoder == nil || c.version != http11 || c.responded {
		return
	}
	p := c.statusLine(c.out.beginHead(h), h)
	firstLine := len(p)
	p = c.out.fields(p, h, fieldFilter{connection: true})
	c.out.commit(p, firstLine)
}

// EncodeHeaders implements codec.ResponseEncoder.
func (s *responseStream) EncodeHeaders(h *httpmsg.Headers, endStream bool) {
	c := s.c
	if c.decoder == nil || c.responded {
		return
	}
	c.responded = true
	status := statusOf(h)
	accepted := c.in.state == inHeld && (c.connect && status/100 == 2 || !c.connect && status == 101)
	if !accepted && c.in.state != inDone || httpmsg.HasToken(h.Get(httpmsg.Connection), "close") {
		c.closing = true
	}
	keep := fieldFilter{connection: accepted, contentLength: !accepted && status >= 200 && status != 204}
	p := c.statusLine(c.out.beginHead(h), h)
	firstLine := len(p)
	p = c.out.fields(p, h, keep)
	if accepted {
		c.out.mode, c.closing = unchunked, true
		c.in.state = inTunnel
	} else {
		p = c.endHead(p, h, status, endStream)
	}
	c.out.commit(p, firstLine)
	if endStream {
		c.out.end()
		c.endResponse()
	}
	c.in.resume()
}

// endHead adds the headers that are the codec's, and decides how the body is
// framed.
func (c *ServerConnection) endHead(p []byte, h *httpmsg.Headers, status int, endStream bool) []byte {
	bodiless := c.head || status < 200 || status == 204 || status == 304
	hasLength := h.Has(httpmsg.ContentLength)
	c.unsized = c.version != http11 && !hasLength
	if c.unsized && !endStream && !bodiless {
		c.closing = true // the body ends with the connection
	}
	switch {
	case c.closing:
		p = c.out.field(p, "connection", "close")
	case c.keepAlive:
		p = c.out.field(p, "connection", "keep-alive")
	}
	switch {
	case hasLength:
		c.out.setLength(h.Get(httpmsg.ContentLength))
	case status < 200 || status == 204 || status == 304:
	case endStream && !c.head:
		p = c.out.field(p, "content-length", "0")
	case c.version != http11:
		c.out.mode = unchunked
	default: // to HEAD too: it says how the answer to GET would be sent
		p = c.out.field(p, "transfer-encoding", "chunked")
		c.out.mode = chunked
	}
	if bodiless {
		c.out.mode = noBody
	}
	return p
}

// statusOf returns the code of :status, or 500 if a filter broke it.
func statusOf(h *httpmsg.Headers) int {
	if code := h.StatusCode(); code >= 100 {
		return code
	}
	return 500
}

func (c *ServerConnection) statusLine(p []byte, h *httpmsg.Headers) []byte {
	if c.version != http11 && c.in.settings.AcceptHTTP10 {
		p = append(p, "HTTP/1.0 "...)
	} else {
		p = append(p, "HTTP/1.1 "...)
	}
	status := statusOf(h)
	p = strconv.AppendInt(p, int64(status), 10)
	p = append(p, ' ')
	phrase := reason(status)
	if f := h.Formatter(); f != nil {
		if received := f.ReasonPhrase(); received != "" && codec.ValidValue(received) {
			phrase = received
		}
	}
	p = append(p, phrase...)
	return append(p, "\r\n"...)
}

// EncodeData implements codec.ResponseEncoder.
func (s *responseStream) EncodeData(data *buffer.Buffer, endStream bool) {
	if s.c.decoder == nil {
		data.Drain(data.Len())
		return
	}
	s.c.out.data(data, endStream)
	if endStream {
		s.c.endResponse()
	}
}

// EncodeTrailers implements codec.ResponseEncoder.
func (s *responseStream) EncodeTrailers(trailers *httpmsg.Headers) {
	if s.c.decoder == nil {
		return
	}
	s.c.out.trailers(trailers)
	s.c.endResponse()
}

// endResponse ends the stream, and gets ready for the next request unless the
// connection is to be closed.
func (c *ServerConnection) endResponse() {
	c.awaited = c.unsized || c.lastOne && c.in.state == inDone
	if c.closing || c.out.misframed || c.in.state != inDone {
		c.drop()
		return
	}
	c.decoder, c.responded = nil, false
	c.in.state, c.in.disabled, c.in.yield = inHead, 0, true
	c.in.resume()
}

// Reset implements codec.Stream. The owner closes the connection.
func (s *responseStream) Reset(httpmsg.ResetReason) {
	if s.c.decoder != nil {
		s.c.drop()
	}
}

// ReadDisable implements codec.Stream.
func (s *responseStream) ReadDisable(disable bool) {
	if s.c.decoder != nil {
		s.c.in.readDisable(disable)
	}
}

// reason returns the reason phrase of a status code.
func reason(code int) string {
	if code < len(reasons) && reasons[code] != "" {
		return reasons[code]
	}
	return "Unknown"
}

var reasons = [...]string{
	100: "Continue",
	101: "Switching Protocols",
	102: "Processing",
	103: "Early Hints",
	200: "OK",
	201: "Created",
	202: "Accepted",
	203: "Non-Authoritative Information",
	204: "No Content",
	205: "Reset Content",
	206: "Partial Content",
	207: "Multi-Status",
	208: "Already Reported",
	226: "IM Used",
	300: "Multiple Choices",
	301: "Moved Permanently",
	302: "Found",
	303: "See Other",
	304: "Not Modified",
	305: "Use Proxy",
	307: "Temporary Redirect",
	308: "Permanent Redirect",
	400: "Bad Request",
	401: "Unauthorized",
	402: "Payment Required",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	406: "Not Acceptable",
	407: "Proxy Authentication Required",
	408: "Request Timeout",
	409: "Conflict",
	410: "Gone",
	411: "Length Required",
	412: "Precondition Failed",
	413: "Payload Too Large",
	414: "URI Too Long",
	415: "Unsupported Media Type",
	416: "Range Not Satisfiable",
	417: "Expectation Failed",
	421: "Misdirected Request",
	422: "Unprocessable Entity",
	423: "Locked",
	424: "Failed Dependency",
	425: "Too Early",
	426: "Upgrade Required",
	428: "Precondition Required",
	429: "Too Many Requests",
	431: "Request Header Fields Too Large",
	500: "Internal Server Error",
	501: "Not Implemented",
	502: "Bad Gateway",
	503: "Service Unavailable",
	504: "Gateway Timeout",
	505: "HTTP Version Not Supported",
	506: "Variant Also Negotiates",
	507: "Insufficient Storage",
	508: "Loop Detected",
	510: "Not Extended",
	511: "Network Authentication Required",
	599: "Last Unassigned Server Error Code",
}
