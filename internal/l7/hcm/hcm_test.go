package hcm

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// backend is a terminal filter that keeps what it got and answers when told.
type backend struct {
	cb       httpfilter.Callbacks
	response httpmsg.Headers
	body     buffer.Buffer
	hold     bool // answer later
	got      *[]string
}

func newBackend(hold bool, got *[]string) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		b := &backend{cb: cb, hold: hold, got: got}
		b.body.Init(cb.Dispatcher().Buffers())
		return b
	}
}

func (b *backend) DecodeHeaders(h *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	if b.got != nil {
		var s strings.Builder
		for _, f := range h.Fields() {
			s.WriteString(f.Name + "=" + f.Value + "|")
		}
		*b.got = append(*b.got, s.String())
	}
	if end {
		b.answer()
	}
	return httpfilter.StopIteration
}

func (b *backend) DecodeData(_ *buffer.Buffer, end bool) httpfilter.DataStatus {
	if end {
		b.answer()
	}
	return httpfilter.DataStopNoBuffer
}

func (b *backend) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	b.answer()
	return httpfilter.TrailersStop
}

func (b *backend) answer() {
	if b.hold {
		return
	}
	b.response.Reset()
	b.response.SetStatusCode(200)
	b.response.AddID(httpmsg.ContentLength, "2")
	b.cb.StartResponse(&b.response, false, "via_upstream")
	b.body.AppendString("ok")
	b.cb.SendResponseData(&b.body, true)
}

func (b *backend) OnDestroy() {}
func (b *backend) Reset()     {}

const ok200 = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: D\r\nserver: envoy\r\n\r\nok"

var dates = regexp.MustCompile(`date: [^\r]*`)

func (h *harness) sent() string {
	return dates.ReplaceAllString(h.conn.sent.String(), "date: D")
}

func TestKeepAliveAndPipelining(t *testing.T) {
	h := newHarness(t, nil, newBackend(false, nil))
	h.conn.receive(get + get)
	h.conn.receive(get)
	if got := h.sent(); got != ok200+ok200+ok200 {
		t.Errorf("sent %q", got)
	}
	if h.conn.closed != "" || len(h.cfg.workers[0].free) > 2 {
		t.Errorf("closed %q, %d free streams", h.conn.closed, len(h.cfg.workers[0].free))
	}
	h.conn.remoteClose()
	h.checkClean()
}

// recorder keeps of each request how long its headers took and the route look-ups.
type recorder struct{ log []string }

func (r *recorder) Log(e *format.Entry) {
	took := time.Duration(-1)
	if s := e.Stream; !s.RxHeadersEnd.IsZero() {
		took = s.RxHeadersEnd.Sub(s.Start)
	}
	r.log = append(r.log, fmt.Sprint(took, " ", e.Stream.RouteResolutions))
}

// forgetful is a filter that makes the route be looked up anew.
type forgetful struct {
	httpfilter.PassBody
	cb httpfilter.Callbacks
}

func (f *forgetful) DecodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	f.cb.Route()
	f.cb.ClearRoute()
	f.cb.Route()
	return httpfilter.Continue
}

func (*forgetful) OnDestroy() {}

func TestHeadersEndAndRouteResolutions(t *testing.T) {
	again := func(cb httpfilter.Callbacks) httpfilter.Filter { return &forgetful{cb: cb} }
	for _, test := range []struct {
		filters []httpfilter.Builder
		rest    string
		want    string
	}{
		{nil, " x\r\n\r\n", "3s 1"},
		{nil, " x\r\ncontent-length: 1\r\n\r\n", "3s 1"},
		{[]httpfilter.Builder{again}, " x\r\n\r\n", "3s 2"},
		{nil, " x\r\n bad\r\n\r\n", "-1ns 0"},
	} {
		var r recorder
		h := newHarness(t, func(c *config) { c.accessLogs = []accesslog.Logger{&r} }, append(test.filters, newBackend(false, nil))...)
		h.conn.receive("GET / HTTP/1.1\r\nhost:")
		h.loop.Advance(3 * time.Second)
		h.conn.receive(test.rest)
		h.loop.Advance(2 * time.Second)
		h.conn.remoteClose()
		if len(r.log) != 1 || r.log[0] != test.want {
			t.Errorf("%q: %q, want %q", test.rest, r.log, test.want)
		}
		h.checkClean()
	}
}

func TestPipelinedRequestWaitsForTheResponse(t *testing.T) {
	var got []string
	var waiting *backend
	h := newHarness(t, nil, func(cb httpfilter.Callbacks) httpfilter.Filter {
		b := &backend{cb: cb, hold: waiting == nil, got: &got}
		if b.hold {
			waiting = b
		}
		return b
	})
	h.conn.receive(get + get)
	if len(got) != 1 {
		t.Fatalf("%d requests before the first response", len(got))
	}
	waiting.hold = false
	waiting.answer()
	h.loop.Run()
	if len(got) != 2 || h.sent() != ok200+ok200 {
		t.Errorf("%d requests, sent %q", len(got), h.sent())
	}
	h.conn.remoteClose()
	h.checkClean()
}

// TestConnectionEnds shows who ends a connection, how, and what the log says.
func TestConnectionEnds(t *testing.T) {
	const closing = "2 deferred_close_on_drained_connection"
	const atOnce = "1 deferred_close_on_drained_connection" // the client waits for it
	const quiet = closing + " without a word"               // no response says so
	tests := []struct {
		name   string
		change func(*config)
		hold   bool
		in     string
		after  func(h *harness)
		sent   string // first line, "" for none
		closed string
		log    string
	}{
		{"the client asks", nil, false, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", nil,
			"HTTP/1.1 200 OK", atOnce, "200 - via_upstream"},
		{"garbage", nil, false, "\x00\xff garbage\r\n\r\n", nil, "HTTP/1.1 400 Bad Request", "2 codec error", "400 DPE http1.codec_error"},
		{"no host", nil, false, "GET / HTTP/1.1\r\n\r\n", nil, "HTTP/1.1 400 Bad Request", closing, "400 - missing_host_header"},
		{"star", nil, false, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", nil, "HTTP/1.1 404 Not Found", "", "404 - absolute_path_rejected"},
		{"fragment", nil, false, "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", nil, "HTTP/1.1 400 Bad Request", closing, "400 - path_normalization_failed"},
		{"upgrade refused", nil, false, "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", nil,
			"HTTP/1.1 403 Forbidden", closing, "403 - upgrade_failed"},
		{"QUERY", nil, false, "QUERY / HTTP/1.1\r\nhost: a\r\n\r\n", nil, "HTTP/1.1 400 Bad Request", closing, "400 - query_missing_content_type"},
		{"the client goes", nil, true, get, func(h *harness) { h.conn.remoteClose() }, "", "", "0 DC downstream_remote_disconnect"},
		{"stream idle", nil, true, get, func(h *harness) { h.loop.Advance(5 * time.Minute) },
			"HTTP/1.1 504 Gateway Timeout", "", "504 SI stream_idle_timeout"},
		{"stream idle in the request", nil, true, post, func(h *harness) { h.loop.Advance(5 * time.Minute) },
			"HTTP/1.1 408 Request Timeout", closing, "408 SI stream_idle_timeout"},
		{"request timeout", func(c *config) { c.requestTimeout = time.Second }, true, post,
			func(h *harness) { h.loop.Advance(time.Second) }, "HTTP/1.1 408 Request Timeout", closing, "408 - request_overall_timeout"},
		{"headers timeout", func(c *config) { c.requestHeadersTimeout = time.Second }, true, "GET / HTTP/1.1\r\nho",
			func(h *harness) { h.loop.Advance(time.Second) }, "HTTP/1.1 408 Request Timeout", closing, "408 - request_header_timeout"},
		{"max stream duration", func(c *config) { c.maxStreamDuration = time.Second }, true, get,
			func(h *harness) { h.loop.Advance(time.Second) }, "HTTP/1.1 504 Gateway Timeout", "", "504 - max_duration_timeout"},
		{"connection idle", nil, false, get, func(h *harness) { h.loop.Advance(time.Hour + 5*time.Second) },
			"HTTP/1.1 200 OK", quiet, "200 - via_upstream"},
		{"connection duration", func(c *config) { c.maxConnectionDuration = time.Second }, false, get,
			func(h *harness) { h.loop.Advance(6 * time.Second) }, "HTTP/1.1 200 OK", quiet, "200 - via_upstream"},
		{"connection duration, then a request", func(c *config) { c.maxConnectionDuration = time.Second }, false, "",
			func(h *harness) {
				h.conn.receive("\r\n")
				h.loop.Advance(2 * time.Second)
				h.conn.receive(get)
			}, "HTTP/1.1 200 OK", closing, "200 - via_upstream"},
		{"connection duration without a byte", func(c *config) { c.maxConnectionDuration = time.Second }, false, "",
			func(h *harness) { h.loop.Advance(time.Second) }, "", "1 max_connection_duration_reached", ""},
		{"max requests", func(c *config) { c.maxRequestsPerConnection = 1 }, false, get, nil,
			"HTTP/1.1 200 OK", atOnce, "200 - via_upstream"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, test.change, newBackend(test.hold, nil))
			h.conn.receive(test.in)
			if test.after != nil {
				test.after(h)
			}
			line, _, _ := strings.Cut(h.sent(), "\r\n")
			closed, unsaid := strings.CutSuffix(test.closed, " without a word")
			if line != test.sent || h.conn.closed != closed || strings.Join(h.log, ";") != test.log {
				t.Errorf("sent %q, closed %q, log %q", h.sent(), h.conn.closed, h.log)
			}
			if hasClose := strings.Contains(h.sent(), "connection: close"); hasClose != ((strings.HasPrefix(closed, "2") || closed == atOnce) && !unsaid) {
				t.Errorf("connection: close is wrong in %q", h.sent())
			}
			if h.conn.state != network.Closed {
				h.conn.remoteClose()
			}
			h.checkClean()
		})
	}
}

// TestRequestHeaders shows what a request looks like behind the connection manager.
func TestRequestHeaders(t *testing.T) {
	remote := func(c *config) { c.useRemoteAddress = true }
	tests := []struct {
		name   string
		change func(*config)
		in     string
		want   string
	}{
		{"as it came", nil, "X-A: 1\r\n", "x-a=1|x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"hop by hop", nil, "Keep-Alive: 1\r\nConnection: x-b\r\nx-b: 1\r\nTE: gzip\r\nProxy-Connection: keep-alive\r\n",
			"x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"trailers wanted", nil, "TE: gzip, trailers\r\n", "te=trailers|x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"outsider's control headers", nil, "x-envoy-max-retries: 9\r\nx-envoy-internal: true\r\nx-envoy-original-path: /a\r\n",
			"x-envoy-original-path=/a|x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"edge", remote, "x-envoy-original-path: /a\r\nx-forwarded-proto: https\r\nx-request-id: theirs\r\n",
			"x-forwarded-proto=http|x-request-id=ID|x-forwarded-for=192.0.2.1|:scheme=http|x-envoy-external-address=192.0.2.1|"},
		{"edge, id kept", func(c *config) { c.useRemoteAddress, c.preserveRequestID = true, true }, "x-request-id: theirs\r\n",
			"x-request-id=theirs|x-forwarded-for=192.0.2.1|x-forwarded-proto=http|:scheme=http|x-envoy-external-address=192.0.2.1|"},
		{"appended", remote, "x-forwarded-for: 10.0.0.1\r\n",
			"x-forwarded-for=10.0.0.1,192.0.2.1|x-forwarded-proto=http|:scheme=http|x-envoy-external-address=192.0.2.1|x-request-id=ID|"},
		{"trusted hop", func(c *config) { c.useRemoteAddress, c.xffTrustedHops = true, 1 },
			"x-forwarded-for: 10.0.0.1, 10.0.0.2\r\nx-forwarded-proto: https\r\n",
			"x-forwarded-for=10.0.0.1, 10.0.0.2,192.0.2.1|x-forwarded-proto=https|:scheme=https|x-envoy-external-address=10.0.0.2|x-request-id=ID|"},
		{"internal", func(c *config) { c.internal = address.Ranges{netip.MustParsePrefix("10.0.0.0/8")} },
			"x-forwarded-for: 10.0.0.1\r\nx-envoy-max-retries: 9\r\n",
			"x-forwarded-for=10.0.0.1|x-envoy-max-retries=9|x-forwarded-proto=http|:scheme=http|x-envoy-internal=true|x-request-id=ID|"},
		{"via", func(c *config) { c.via = "1.1 me" }, "via: 1.0 x\r\n", "via=1.0 x, 1.1 me|x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"client certificate", nil, "x-forwarded-client-cert: By=x\r\n", "x-forwarded-proto=http|:scheme=http|x-request-id=ID|"},
		{"port", func(c *config) { c.appendForwardedPort = true }, "", "x-forwarded-proto=http|x-forwarded-port=80|:scheme=http|x-request-id=ID|"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			h := newHarness(t, test.change, newBackend(false, &got))
			h.conn.receive("GET /p HTTP/1.1\r\nHost: a\r\n" + test.in + "\r\n")
			if len(got) != 1 {
				t.Fatalf("%d requests, sent %q", len(got), h.sent())
			}
			have := got[0]
			if have = strings.Replace(have, ":authority=a|:path=/p|:method=GET|", "", 1); have != test.want {
				t.Errorf("got  %s\nwant %s", have, test.want)
			}
		})
	}
}

func TestForwardedForOfThisMachine(t *testing.T) {
	c := &config{localAddress: address.FromAddrPort(netip.MustParseAddrPort("10.1.1.1:0"))}
	loopback := address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:9"))
	if got := c.forwardedFor(loopback); got != "10.1.1.1" {
		t.Errorf("got %q", got)
	}
	if got := c.forwardedFor(address.Unix("/run/x")); got != "" {
		t.Errorf("Unix socket: %q", got)
	}
}

func TestNormalizePath(t *testing.T) {
	tests := []struct{ in, normalized, merged string }{
		{"/a/../admin", "/admin", "/admin"},
		{"/a/..;x=y/admin", "/admin", "/admin"},
		{"/a/b/.;x", "/a/b/", "/a/b/"},
		{"/a/%2e%2e;x/...;y/..%3b", "/a/..;x/...;y/..%3b", "/a/..;x/...;y/..%3b"}, // as Envoy
		{"//admin", "//admin", "/admin"},
		{"/a/%2e%2e/admin", "/admin", "/admin"},
		{"/%61dmin", "/admin", "/admin"},
		{"/%2561dmin", "/%2561dmin", "/%2561dmin"},
		{`/a\..\admin`, "/admin", "/admin"},
		{"/./admin", "/admin", "/admin"},
		{"/../../x", "/x", "/x"},
		{"/a%zz", "/a%zz", "/a%zz"},
		{"/%c0%ae%c0%ae/admin", "/%c0%ae%c0%ae/admin", "/%c0%ae%c0%ae/admin"},
		{"/admin/..", "/", "/"},
		{"/a/b/.", "/a/b/", "/a/b/"},
		{"/a;x=1/admin", "/a;x=1/admin", "/a;x=1/admin"},
		{"/", "/", "/"},
		{"/a%2fb", "/a%2fb", "/a%2fb"},
	}
	for _, test := range tests {
		got, ok := canonicalPath(test.in)
		if !ok || got != test.normalized || mergeSlashes(got) != test.merged {
			t.Errorf("%s: %q, %v, merged %q", test.in, got, ok, mergeSlashes(got))
		}
	}
	if _, ok := canonicalPath("/admin%00"); ok {
		t.Error("an escaped NUL must be refused")
	}
}

func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/", `/\..\`, "/%", "/a//b/./c%2fd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, ok := canonicalPath("/" + s)
		if !ok {
			return
		}
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") {
			t.Errorf("%q became %q", s, path)
		}
		if again, ok := canonicalPath(path); ok && !strings.Contains(s, "%25") && !strings.Contains(s, ";") && again != path {
			t.Errorf("%q became %q, and then %q", s, path, again)
		}
	})
}

func TestEscapedSlashes(t *testing.T) {
	tests := []struct {
		action escapedSlashes
		want   string
	}{
		{keepSlashes, "200 - via_upstream"}, {rejectSlashes, "400 - path_normalization_failed"},
		{unescapeAndRedirect, "307 - path_normalization_failed"}, {unescapeAndForward, "200 - via_upstream"},
	}
	for _, test := range tests {
		h := newHarness(t, func(c *config) { c.slashes = test.action }, newBackend(false, nil))
		h.conn.receive("GET /a%2fb?q HTTP/1.1\r\nhost: a\r\n\r\n")
		if strings.Join(h.log, "") != test.want {
			t.Errorf("%d: %q", test.action, h.log)
		}
		if test.action == unescapeAndRedirect && !strings.Contains(h.sent(), "location: /a/b?q\r\n") {
			t.Errorf("sent %q", h.sent())
		}
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	h := newHarness(t, nil, func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &scripted{cb: cb, name: "a", log: new([]string), decode: map[string]func(*scripted) int{"headers": status(1), "data": status(1)}}
	}, newBackend(false, nil))
	h.conn.receive("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n" + strings.Repeat("x", 1500))
	if got := h.sent(); !strings.HasPrefix(got, "HTTP/1.1 413 Payload Too Large\r\n") || !strings.Contains(got, "connection: close\r\n") ||
		!strings.HasSuffix(got, "\r\n\r\nPayload Too Large") {
		t.Errorf("sent %q", got)
	}
	h.checkClean()
}

func TestContinueIsAnswered(t *testing.T) {
	h := newHarness(t, nil, newBackend(false, nil))
	h.conn.receive("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
	if got := h.sent(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("sent %q", got)
	}
	h.conn.receive("hi")
	if got := h.sent(); got != "HTTP/1.1 100 Continue\r\n\r\n"+ok200 {
		t.Errorf("sent %q", got)
	}
}

func TestGRPCLocalReply(t *testing.T) {
	h := newHarness(t, nil, func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &scripted{cb: cb, name: "a", log: new([]string), decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
			f.cb.RequestHeaders().Set(httpmsg.ContentType, "a/b") // what the request came as counts
			f.cb.SendLocalReply(httpfilter.LocalReply{Status: 503, Body: "50% off", Details: "x y"})
			return 1
		}}}
	}, newBackend(false, nil))
	h.conn.receive("GET / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\r\n")
	if got := h.sent(); !strings.Contains(got, "grpc-status: 14\r\ngrpc-message: 50%25 off\r\n") || !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("sent %q", got)
	}
	if strings.Join(h.log, "") != "200 - x_y" {
		t.Errorf("log %q", h.log)
	}
}

// TestSteadyStateAllocations: the header block of the request is the only one.
func TestSteadyStateAllocations(t *testing.T) {
	h := newHarness(t, func(c *config) { c.accessLogs = nil }, newBackend(false, nil))
	request := []byte("GET /service/1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
	one := func() {
		h.conn.sent.Reset()
		h.conn.in.Append(request)
		h.conn.reader.OnData(&h.conn.in, false)
		h.loop.Run()
	}
	one()
	// The fakes allocate for what they collect: output, and deferred functions.
	const fake = 4
	if n := testing.AllocsPerRun(200, one); n > 1+fake {
		t.Errorf("%v allocations for a request, of which %d are the fake's", n, fake)
	}
}

func BenchmarkRequest(b *testing.B) {
	h := newHarness(b, func(c *config) { c.accessLogs = nil }, newBackend(false, nil))
	request := []byte("GET /service/1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		h.conn.sent.Reset()
		h.conn.in.Append(request)
		h.conn.reader.OnData(&h.conn.in, false)
		h.loop.Run()
	}
}
