package grpcaccesslog

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// HTTPHeaders are the headers that entries of HTTP requests show besides what they always
// do, in lower case.
type HTTPHeaders struct{ Request, Response, Trailers []string }

// http adds the fields of HTTPAccessLogEntry.
func (l *logger) http(w *Encoder, e *format.Entry) {
	l.common(w, e)
	if e.Stream.HasVersion {
		w.Number(2, uint64(e.Stream.Version)+1)
	}
	start := w.Begin(3)
	l.request(w, e)
	w.End(start)
	start = w.Begin(4)
	l.response(w, e)
	w.End(start)
}

// request adds the fields of HTTPRequestProperties.
func (l *logger) request(w *Encoder, e *format.Entry) {
	h := e.Request
	if h == nil {
		h = &httpmsg.Headers{}
	}
	w.Number(1, uint64(corev3.RequestMethod_value[h.Get(httpmsg.Method)]))
	w.Text(2, h.Get(httpmsg.Scheme))
	w.Text(3, h.Get(httpmsg.Authority))
	w.Text(5, h.Get(httpmsg.Path))
	w.Text(6, h.Get(httpmsg.UserAgent))
	w.Text(7, h.Get(httpmsg.Referer))
	w.Text(8, h.Get(httpmsg.XForwardedFor))
	w.Text(9, h.Get(httpmsg.XRequestID))
	w.Text(10, h.Get(httpmsg.XEnvoyOriginalPath))
	w.Number(11, uint64(h.ByteSize()))
	w.Number(12, e.Stream.BytesReceived)
	headers(w, 13, l.headers.Request, h)
	w.Number(14, e.Stream.Upstream.Bytes.HeaderSent)
	w.Number(15, e.Stream.DownstreamBytes.HeaderReceived)
}

// response adds the fields of HTTPResponseProperties.
func (l *logger) response(w *Encoder, e *format.Entry) {
	s := e.Stream
	if s.ResponseCode != 0 {
		code := w.Begin(1)
		w.Number(1, uint64(s.ResponseCode))
		w.End(code)
	}
	if e.Response != nil {
		w.Number(2, uint64(e.Response.ByteSize()))
	}
	w.Number(3, s.BytesSent)
	headers(w, 4, l.headers.Response, e.Response)
	headers(w, 5, l.headers.Trailers, e.Trailers)
	w.Text(6, s.ResponseDetails)
	w.Number(7, s.Upstream.Bytes.HeaderReceived)
	w.Number(8, s.DownstreamBytes.HeaderSent)
}

// headers adds those of h that are to be logged.
func headers(w *Encoder, field protowire.Number, names []string, h *httpmsg.Headers) {
	if h == nil {
		return
	}
	for _, name := range names {
		if value, ok := h.Joined(name); ok {
			w.Entry(field, name, value)
		}
	}
}

// tcp adds the fields of TCPAccessLogEntry.
func (l *logger) tcp(w *Encoder, e *format.Entry) {
	l.common(w, e)
	start := w.Begin(2)
	w.Number(1, e.Stream.BytesReceived)
	w.Number(2, e.Stream.BytesSent)
	w.End(start)
}
