package h1

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

const (
	benchGet = "GET /index.html?q=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n" +
		"X-Request-Id: 5e8a00c7-04ca-4291-a453-61c5520fe0ad\r\nCookie: a=b; c=d\r\n\r\n"
	benchPost = "POST /x HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
	benchOK   = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Mon, 23 Nov 2026 14:19:14 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 5\r\n\r\nhello"
)

// quiet is both users of a codec, and writes nothing down.
type quiet struct {
	headers httpmsg.Headers
	enc     codec.ResponseEncoder
	answer  *httpmsg.Headers
	body    buffer.Buffer
	pool    buffer.Pool
	in, out buffer.Buffer
	meter   streaminfo.Meter
}

func newQuiet() *quiet {
	q := &quiet{answer: response(200, "content-type", "text/plain", "content-length", "5", "date",
		"Mon, 23 Nov 2026 14:19:14 GMT", "server", "nuncio", "x-envoy-upstream-service-time", "1")}
	q.in.Init(&q.pool)
	q.out.Init(&q.pool)
	q.body.Init(&q.pool)
	return q
}

func (q *quiet) ReadDisable(bool) {}
func (q *quiet) OnStreamEnd()     {}
func (q *quiet) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder {
	q.enc = enc
	return q
}

func (q *quiet) RequestHeaders() *httpmsg.Headers {
	q.headers.Reset()
	return &q.headers
}
func (q *quiet) Meter() *streaminfo.Meter          { return &q.meter }
func (q *quiet) ResponseHeaders() *httpmsg.Headers { return q.RequestHeaders() }
func (q *quiet) DecodeInterim()                    {}
func (q *quiet) DecodeHeaders(end bool) {
	if end {
		q.respond()
	}
}

func (q *quiet) DecodeData(_ *buffer.Buffer, end bool) {
	if end {
		q.respond()
	}
}

func (q *quiet) respond() {
	if q.enc == nil {
		return
	}
	q.enc.EncodeHeaders(q.answer, false)
	q.body.AppendString("hello")
	q.enc.EncodeData(&q.body, true)
}
func (q *quiet) DecodeTrailers(*httpmsg.Headers) {}
func (q *quiet) OnProtocolError(*codec.Error)    {}
func (q *quiet) OnReset(httpmsg.ResetReason)     {}
func (q *quiet) OnWriteBufferHigh()              {}
func (q *quiet) OnWriteBufferLow()               {}

func benchServer(request string) func() {
	q := newQuiet()
	s := ServerDefaults()
	c := NewServer(q, q, &s, testStats(), stats.Any, &q.out)
	return func() {
		q.in.AppendString(request)
		if c.Dispatch(&q.in) != nil || q.out.Len() == 0 {
			panic("no response")
		}
		q.out.Drain(q.out.Len())
	}
}

// benchEncoder returns a client connection and what encodes a request on it.
func benchEncoder() (q *quiet, c *ClientConnection, encode func()) {
	q = newQuiet()
	s := ClientDefaults()
	c = NewClient(q, &s, &q.out)
	var h httpmsg.Headers
	h.Add(":method", "GET")
	h.Add(":path", "/index.html")
	h.Add(":authority", "www.example.com")
	h.Add("user-agent", "curl/8.5.0")
	h.Add("accept", "*/*")
	h.Add("x-request-id", "5e8a00c7-04ca-4291-a453-61c5520fe0ad")
	h.Add("x-forwarded-proto", "http")
	return q, c, func() {
		if c.NewStream(q).EncodeHeaders(&h, true) != nil {
			panic("not encoded")
		}
		q.out.Drain(q.out.Len())
	}
}

func benchClient() func() {
	q, c, encode := benchEncoder()
	return func() {
		encode()
		q.in.AppendString(benchOK)
		if c.Dispatch(&q.in) != nil || !c.Reusable() {
			panic("no response")
		}
	}
}

// The block of the headers is the one allocation that a message costs.
func TestAllocations(t *testing.T) {
	tests := []struct {
		name string
		f    func()
	}{
		{"get", benchServer(benchGet)},
		{"chunked post", benchServer(benchPost)},
		{"keep-alive", benchServer("GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n")},
		{"client", benchClient()},
	}
	for _, test := range tests {
		if n := testing.AllocsPerRun(200, test.f); n != 1 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func BenchmarkServerGet(b *testing.B)         { bench(b, benchServer(benchGet)) }
func BenchmarkServerChunkedPost(b *testing.B) { bench(b, benchServer(benchPost)) }
func BenchmarkClient(b *testing.B)            { bench(b, benchClient()) }

func bench(b *testing.B, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkEncodeRequest(b *testing.B) {
	_, _, encode := benchEncoder()
	bench(b, encode)
}
