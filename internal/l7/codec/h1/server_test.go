package h1

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// log is a transcript of the calls that a codec makes. Pieces of a body that
// follow each other are one entry, so that it does not depend on how the input is
// cut.
type log struct {
	entries []string
	inData  bool
}

func (l *log) add(format string, args ...any) {
	l.entries, l.inData = append(l.entries, fmt.Sprintf(format, args...)), false
}

// fail adds an error. Data that came with it is not passed on, so data before it is
// forgotten: that depends on how the input is cut.
func (l *log) fail(format string, args ...any) {
	if l.inData {
		l.entries = l.entries[:len(l.entries)-1]
	}
	l.add(format, args...)
}

func (l *log) headers(what string, h *httpmsg.Headers) {
	var b strings.Builder
	for _, f := range h.Fields() {
		fmt.Fprintf(&b, " %s=%q", f.Name, f.Value)
	}
	l.add("%s%s", what, b.String())
}

func (l *log) data(data *buffer.Buffer, end bool) {
	if s := data.String(); s != "" {
		if l.inData {
			l.entries[len(l.entries)-1] += s
		} else {
			l.add("data %s", s)
			l.inData = true
		}
	}
	if end {
		l.add("end")
	}
}

func (l *log) String() string { return strings.Join(l.entries, "\n") }

// server is a connection manager that writes down what it is told.
type server struct {
	log
	conn    *ServerConnection
	out     buffer.Buffer
	in      buffer.Buffer
	enc     codec.ResponseEncoder
	headers httpmsg.Headers
	stopped int // flow
	// reply is called at the end of each request, and on errors.
	reply func()
	// onHeaders is called with each head.
	onHeaders func()
	err       error
	meter     streaminfo.Meter
}

func newServer(s Settings) *server {
	f := new(server)
	f.conn = NewServer(f, f, &s, testStats(), stats.Any, &f.out)
	return f
}

func testStats() *Stats { return NewStats(scope{}) }

// scope makes counters of one cell.
type scope struct{ otherMetrics }

type otherMetrics interface{ stats.Scope }

func (s scope) Scope(string) stats.Scope { return s }
func (scope) Counter(string) *stats.Counter {
	return stats.NewCounter([]*atomic.Uint64{new(atomic.Uint64)})
}

func (f *server) ReadDisable(disable bool) {
	if disable {
		f.stopped++
	} else {
		f.stopped--
	}
}

func (f *server) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder {
	f.enc = enc
	f.add("stream")
	return f
}

func (f *server) Meter() *streaminfo.Meter { return &f.meter }

func (f *server) RequestHeaders() *httpmsg.Headers {
	f.headers.Reset()
	return &f.headers
}

func (f *server) DecodeHeaders(end bool) {
	f.log.headers("head "+f.conn.Version().String(), &f.headers)
	if f.onHeaders != nil {
		f.onHeaders()
	}
	if end {
		f.add("end")
		f.done()
	}
}

func (f *server) DecodeData(data *buffer.Buffer, end bool) {
	f.data(data, end)
	if end {
		f.done()
	}
}

func (f *server) DecodeTrailers(h *httpmsg.Headers) {
	f.log.headers("trailers", h)
	f.add("end")
	f.done()
}

func (f *server) OnProtocolError(err *codec.Error) {
	f.fail("error %d %s", err.Status, err.Detail)
	f.done()
}
func (f *server) OnReset(reason httpmsg.ResetReason) { f.add("reset %v", reason) }
func (f *server) OnWriteBufferHigh()                 { f.add("high") }
func (f *server) OnWriteBufferLow()                  { f.add("low") }

func (f *server) done() {
	if f.reply != nil {
		f.reply()
	}
}

// send dispatches p as the connection manager does.
func (f *server) send(p string) {
	f.in.AppendString(p)
	f.dispatch()
}

func (f *server) dispatch() {
	for f.err == nil {
		if f.err = f.conn.Dispatch(&f.in); f.in.Len() == 0 || !f.conn.WantsRead() {
			return
		}
	}
}

func response(status int, fields ...string) *httpmsg.Headers {
	h := new(httpmsg.Headers)
	h.SetStatusCode(status)
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// respond answers the current request without a body.
func (f *server) respond(status int, fields ...string) {
	f.enc.EncodeHeaders(response(status, fields...), true)
}

func (f *server) respondBody(status int, body string, fields ...string) {
	f.enc.EncodeHeaders(response(status, fields...), false)
	f.encode(body, true)
}

func (f *server) encode(body string, end bool) {
	var b buffer.Buffer
	b.AppendString(body)
	f.enc.EncodeData(&b, end)
}

// sent takes the output.
func (f *server) sent() string {
	s := f.out.String()
	f.out.Drain(f.out.Len())
	return s
}

func (f *server) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := f.String(), strings.Join(lines, "\n"); got != want {
		t.Errorf("transcript:\n%s\nwant:\n%s", got, want)
	}
	f.entries = nil
}

func wantSent(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("sent %q\nwant %q", got, want)
	}
}

const get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"

func TestRequest(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send("POST /p?q HTTP/1.1\r\nX-A:  b \r\nHost: a:80\r\nContent-Length: 3\r\n\r\nab")
	f.send("c")
	f.want(t, "stream", `head HTTP/1.1 :authority="a:80" :path="/p?q" :method="POST" x-a="b" content-length="3"`, "data abc", "end")
	if f.conn.WantsRead() {
		t.Error("wants another request before the response")
	}
	f.respondBody(200, "hi", "content-length", "2", "x-b", "c")
	wantSent(t, f.sent(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-b: c\r\n\r\nhi")
	if !f.conn.Reusable() || !f.conn.WantsRead() {
		t.Error("not ready for another request")
	}
}

func TestPipelining(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(get + "POST /y HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET")
	first := `head HTTP/1.1 :authority="a" :path="/x" :method="GET"`
	f.want(t, "stream", first, "end")
	if f.stopped != 1 {
		t.Errorf("reading is stopped %d times while bytes wait", f.stopped)
	}
	f.respond(204)
	if f.stopped != 0 {
		t.Errorf("reading is stopped %d times after the response", f.stopped)
	}
	f.dispatch()
	f.want(t, "stream", `head HTTP/1.1 :authority="b" :path="/y" :method="POST" transfer-encoding="chunked"`, "data abc", "end")
	f.respond(404)
	f.dispatch()
	f.send(" /x HTTP/1.1\r\nHost: a\r\n\r\n")
	f.want(t, "stream", first, "end")
	f.respondBody(200, "ok")
	wantSent(t, f.sent(), "HTTP/1.1 204 No Content\r\n\r\n"+
		"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"+
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
}

// A request that is answered in the call that delivers it: Dispatch returns after
// each.
func TestPipeliningAnsweredAtOnce(t *testing.T) {
	f := newServer(ServerDefaults())
	f.reply = func() { f.respond(200) }
	f.in.AppendString(get + get)
	if err := f.conn.Dispatch(&f.in); err != nil || f.in.Len() != len(get) || !f.conn.WantsRead() {
		t.Fatalf("Dispatch: %v, %d bytes left", err, f.in.Len())
	}
	f.dispatch()
	if n := strings.Count(f.sent(), "HTTP/1.1 200 OK"); n != 2 || f.stopped != 0 {
		t.Errorf("%d responses, stopped %d", n, f.stopped)
	}
}

func TestNoRequestWhileOutputWaits(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(get)
	f.conn.OnWriteBufferHigh()
	f.respond(200)
	f.send(get)
	if n := strings.Count(f.String(), "stream"); n != 1 || f.stopped != 1 {
		t.Errorf("%d streams, stopped %d", n, f.stopped)
	}
	f.conn.OnWriteBufferLow()
	f.dispatch()
	if n := strings.Count(f.String(), "stream"); n != 2 || f.stopped != 0 {
		t.Errorf("%d streams, stopped %d", n, f.stopped)
	}
}

func TestReadDisable(t *testing.T) {
	f := newServer(ServerDefaults())
	f.onHeaders = func() { f.enc.ReadDisable(true) }
	f.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	head := `head HTTP/1.1 :authority="a" :path="/x" :method="POST" content-length="3"`
	f.want(t, "stream", head)
	if f.stopped != 1 || f.in.Len() != 3 {
		t.Errorf("stopped %d, %d bytes left", f.stopped, f.in.Len())
	}
	f.enc.ReadDisable(true)
	f.enc.ReadDisable(false)
	if f.stopped != 1 {
		t.Error("calls do not nest")
	}
	f.enc.ReadDisable(false)
	f.dispatch()
	f.want(t, "data abc", "end")
	// The end of the stream takes what it left behind back.
	f.enc.ReadDisable(true)
	f.respond(200)
	if f.stopped != 0 || !f.conn.WantsRead() {
		t.Error("reading is stopped after the stream")
	}
}

// closes tests that the response says so and that later bytes are dropped.
func TestConnectionClose(t *testing.T) {
	tests := []struct {
		name, request string
		before        func(*server)
		fields        []string
		keepAlive     bool
	}{
		{name: "none", request: get, keepAlive: true},
		{name: "request", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"},
		{name: "proxy", request: "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n"},
		{name: "response", request: get, fields: []string{"connection", "close"}},
		{name: "drain", request: get, before: func(f *server) { f.conn.GoAway() }},
		{name: "early", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"},
		{name: "http10", request: "GET / HTTP/1.0\r\nHost: a\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := ServerDefaults()
			s.AcceptHTTP10 = true
			f := newServer(s)
			f.send(test.request)
			if test.before != nil {
				test.before(f)
			}
			f.respond(200, test.fields...)
			streams := strings.Count(f.String(), "stream")
			f.send(get)
			streams = strings.Count(f.String(), "stream") - streams
			if says := strings.Contains(f.sent(), "connection: close\r\n"); says == test.keepAlive {
				t.Errorf("says close: %v", says)
			}
			if f.conn.Reusable() != test.keepAlive || streams == 0 == test.keepAlive || f.in.Len() != 0 {
				t.Errorf("reusable %v, %d new streams", f.conn.Reusable(), streams)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	const (
		http10      = "GET / HTTP/1.0\r\n\r\n"
		http10Alive = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		head        = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	)
	tests := []struct {
		name, request string
		respond       func(*server)
		want          string
		closes        bool
	}{
		{"empty", get, func(f *server) { f.respond(200) }, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
		{"unknown status", get, func(f *server) { f.respond(299) }, "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n", false},
		{"broken status", get, func(f *server) { f.enc.EncodeHeaders(new(httpmsg.Headers), true) },
			"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", false},
		{"chunked", get, func(f *server) { f.respondBody(200, strings.Repeat("a", 26)) },
			"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1a\r\n" + strings.Repeat("a", 26) + "\r\n0\r\n\r\n", false},
		{"framing is the codec's", get, func(f *server) { f.respond(200, "transfer-encoding", "gzip", "connection", "x") },
			"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
		{"204", get, func(f *server) { f.respondBody(204, "junk", "content-length", "4") }, "HTTP/1.1 204 No Content\r\n\r\n", false},
		{"304", get, func(f *server) { f.respond(304, "content-length", "4") }, "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n", false},
		{"head", head, func(f *server) { f.respondBody(200, "junk", "content-length", "4") }, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", false},
		{"head chunked", head, func(f *server) { f.respondBody(200, "junk") }, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false},
		{"head empty", head, func(f *server) { f.respond(200) }, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false},
		{"too short", get, func(f *server) { f.respondBody(200, "ok", "content-length", "3") },
			"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", true},
		{"too long", get, func(f *server) { f.respondBody(200, "okay", "content-length", "2") },
			"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true},
		{"injection", get, func(f *server) { f.respond(200, "x-a", "b\r\nx-c: d", "x e", "f", "x-g", "h") },
			"HTTP/1.1 200 OK\r\nx-g: h\r\ncontent-length: 0\r\n\r\n", false},
		{"interim", get, func(f *server) {
			f.enc.EncodeInterim(response(100))
			f.enc.EncodeInterim(response(103, "link", "x"))
			f.respond(200)
		}, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
		{"trailers dropped", get, func(f *server) {
			f.enc.EncodeHeaders(response(200), false)
			f.enc.EncodeTrailers(response(200, "x-t", "1"))
		}, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"HTTP/1.0", http10, func(f *server) { f.respond(200) }, "HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", true},
		{"HTTP/1.0 keep-alive", http10Alive, func(f *server) { f.respondBody(200, "ok", "content-length", "2") },
			"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok", false},
		{"HTTP/1.0 without length", http10Alive, func(f *server) { f.respondBody(200, "ok") },
			"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nok", true},
		{"HTTP/1.0 interim", http10Alive, func(f *server) { f.enc.EncodeInterim(response(100)); f.respond(200) },
			"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", false},
		{"unasked upgrade", get, func(f *server) { f.respond(101) }, "HTTP/1.1 101 Switching Protocols\r\n\r\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := ServerDefaults()
			s.AcceptHTTP10 = true
			f := newServer(s)
			f.send(test.request)
			test.respond(f)
			wantSent(t, f.sent(), test.want)
			if f.conn.WantsRead() == false || f.conn.in.state == inDead != test.closes {
				t.Errorf("closes %v, want %v", f.conn.in.state == inDead, test.closes)
			}
		})
	}
}

func TestTrailersAndProperCase(t *testing.T) {
	s := ServerDefaults()
	s.EnableTrailers, s.ProperCaseWords = true, true
	f := newServer(s)
	f.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nx-u: 2\r\n\r\n")
	f.want(t, "stream", `head HTTP/1.1 :authority="a" :path="/x" :method="POST" transfer-encoding="chunked"`,
		"data abc", `trailers x-t="1" x-u="2"`, "end")
	f.enc.EncodeHeaders(response(200, "x-foo$b#$are", "1"), false)
	f.enc.EncodeTrailers(response(200, "x-t", "1"))
	wantSent(t, f.sent(), "HTTP/1.1 200 OK\r\nX-Foo$B#$Are: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-t: 1\r\n\r\n")
}

// Answers in the middle of a body, or between the body and its trailers, end the
// stream in the call.
func TestAnswerInsideBody(t *testing.T) {
	s := ServerDefaults()
	s.EnableTrailers = true
	f := newServer(s)
	f.onHeaders = func() { f.respond(413) }
	f.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n" + get)
	f.want(t, "stream", `head HTTP/1.1 :authority="a" :path="/x" :method="POST" transfer-encoding="chunked"`)
	if f.conn.Reusable() || f.in.Len() != 0 {
		t.Error("the connection goes on")
	}
}

const wsRequest = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
const wsHead = `head HTTP/1.1 :authority="a" :path="/ws" :method="GET" connection="Upgrade" upgrade="websocket"`

func TestUpgradeAccepted(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(wsRequest + "EARLY")
	f.want(t, "stream", wsHead)
	if f.stopped != 1 {
		t.Error("early bytes do not stop the reading")
	}
	f.enc.EncodeHeaders(response(101, "connection", "Upgrade", "upgrade", "websocket", "content-length", "0"), false)
	if f.stopped != 0 {
		t.Error("reading is still stopped")
	}
	f.dispatch()
	f.send(" late")
	f.want(t, "data EARLY late")
	f.encode("raw", false)
	f.encode("", true)
	wantSent(t, f.sent(), "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nraw")
	if f.conn.Reusable() {
		t.Error("reusable after a tunnel")
	}
}

func TestUpgradeRefused(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(wsRequest + get)
	f.respond(403)
	f.dispatch()
	f.want(t, "stream", wsHead)
	wantSent(t, f.sent(), "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
	if f.conn.Reusable() || f.in.Len() != 0 || f.stopped != 0 {
		t.Error("early bytes are kept")
	}
}

func TestConnect(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send("CONNECT a:443 HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\nEARLY")
	f.want(t, "stream", `head HTTP/1.1 :authority="a:443" :method="CONNECT"`)
	f.enc.EncodeHeaders(response(200, "content-length", "0"), false)
	f.dispatch()
	f.want(t, "data EARLY")
	f.encode("raw", false)
	wantSent(t, f.sent(), "HTTP/1.1 200 OK\r\n\r\nraw")
}

func TestResetAndClose(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(get)
	f.enc.Reset(httpmsg.ResetLocalReset)
	if f.conn.Reusable() {
		t.Error("reusable after a reset")
	}
	f.respond(200) // has no effect
	f.conn.OnClose(httpmsg.ResetConnectionTermination)
	f.want(t, "stream", `head HTTP/1.1 :authority="a" :path="/x" :method="GET"`, "end")
	wantSent(t, f.sent(), "")

	f = newServer(ServerDefaults())
	f.send("GET")
	f.conn.OnClose(httpmsg.ResetConnectionTermination)
	f.conn.OnClose(httpmsg.ResetConnectionTermination)
	f.want(t, "stream", "reset connection termination")
}

func TestErrorAnswer(t *testing.T) {
	f := newServer(ServerDefaults())
	f.reply = func() { f.respondBody(400, "Bad", "content-length", "3") }
	f.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n" + get)
	f.want(t, "stream", "error 400 http1.codec_error")
	wantSent(t, f.sent(), "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\nconnection: close\r\n\r\nBad")
	if f.err == nil || f.conn.Reusable() {
		t.Error("no error")
	}
}

func TestUnderscoreStats(t *testing.T) {
	s := ServerDefaults()
	s.Underscores = DropUnderscores
	f := newServer(s)
	f.send("GET /x HTTP/1.1\r\nHost: a\r\nx_a: 1\r\nx_b: 2\r\nx-c: 3\r\n\r\n")
	f.want(t, "stream", `head HTTP/1.1 :authority="a" :path="/x" :method="GET" x-c="3"`, "end")
	if n := f.conn.stats.DroppedHeadersWithUnderscores.Value(); n != 2 {
		t.Errorf("dropped %d", n)
	}
	s.Underscores = RejectUnderscores
	f = newServer(s)
	f.send("GET /x HTTP/1.1\r\nHost: a\r\nx_a: 1\r\n\r\n")
	f.want(t, "stream", "error 400 http1.unexpected_underscore")
	if n := f.conn.stats.RequestsRejectedForUnderscores.Value(); n != 1 {
		t.Errorf("rejected %d", n)
	}
}

// A client that asked for the end of the connection waits for it; others are told.
func TestAwaited(t *testing.T) {
	const last = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, tc := range []struct {
		name, request string
		respond       func(*server)
		want          bool
	}{
		{"asked", last, func(f *server) { f.respond(200) }, true},
		{"not asked", get, func(f *server) { f.conn.GoAway(); f.respond(200) }, false},
		{"by a filter", get, func(f *server) { f.respond(200, "connection", "close") }, false},
		{"incomplete", "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", func(f *server) { f.respond(413) }, false},
		{"HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", func(f *server) { f.respond(200) }, true},
		{"HTTP/1.0 until the end", "GET /x HTTP/1.0\r\n\r\n", func(f *server) { f.respondBody(200, "ok") }, true},
		{"HTTP/1.0 incomplete, until the end", "POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\n", func(f *server) { f.respondBody(200, "ok") }, true},
		{"HTTP/1.0 incomplete, empty", "POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\n", func(f *server) { f.respond(200) }, true},
		{"HTTP/1.0 incomplete, sized", "POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\n", func(f *server) { f.respond(200, "content-length", "0") }, false},
		{"HTTP/1.0 kept, until the end", "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", func(f *server) { f.respondBody(200, "ok") }, true},
	} {
		s := ServerDefaults()
		s.AcceptHTTP10 = true
		f := newServer(s)
		f.send(tc.request)
		tc.respond(f)
		if f.conn.Reusable() || f.conn.Awaited() != tc.want {
			t.Errorf("%s: reusable %v, awaited %v", tc.name, f.conn.Reusable(), f.conn.Awaited())
		}
	}
}
