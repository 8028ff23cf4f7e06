package e2e

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// An exchange is one request on a connection of its own, and what client, upstream
// and access log have to see.
type exchange struct {
	name     string
	request  string // the path is /<name> where it says PATH
	answer   string // of the upstream; "" closes the connection
	want     string // start of the response; after it the connection stays open unless closed is set
	body     string
	header   []string // that the response has; -name: that it does not have
	sent     []string // lines that the upstream gets, nil if it gets nothing
	sentBody string
	closed   bool
	log      string // code, flags and details
}

const viaUpstream = "200 - via_upstream"

var exchanges = []exchange{
	{name: "get", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: ok("hello"),
		want: "HTTP/1.1 200 OK", body: "hello", sent: []string{"GET PATH HTTP/1.1", "host: a"}, log: viaUpstream},
	{name: "case", request: "GET PATH HTTP/1.1\r\nHOST: A.b\r\nX-MiXed: VaLue\r\n\r\n", answer: "HTTP/1.1 201 Made Up\r\nX-MiXed: VaLue\r\nContent-Length: 0\r\n\r\n",
		want: "HTTP/1.1 201 Created", header: []string{"x-mixed: VaLue"}, sent: []string{"host: A.b", "x-mixed: VaLue"}, log: "201 - via_upstream"},
	{name: "repeated", request: "GET PATH HTTP/1.1\r\nHost: a\r\nx-a: 1\r\nx-b: 2\r\nx-a: 3\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n",
		want: "HTTP/1.1 200 OK", header: []string{"set-cookie: a", "set-cookie: b"}, sent: []string{"x-a: 1", "x-b: 2", "x-a: 3"}, log: viaUpstream},
	{name: "chunked_request", request: "POST PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("abc", "defg"), answer: ok(""),
		want: "HTTP/1.1 200 OK", header: []string{"content-length: 0"}, sent: []string{"transfer-encoding: chunked"}, sentBody: "abcdefg", log: viaUpstream},
	{name: "chunked_response", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("abc", "defg"),
		want: "HTTP/1.1 200 OK", header: []string{"transfer-encoding: chunked", "-content-length"}, body: "abcdefg", sent: []string{}, log: viaUpstream},
	{name: "until_close", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "CLOSE HTTP/1.1 200 OK\r\n\r\nto the end",
		want: "HTTP/1.1 200 OK", header: []string{"transfer-encoding: chunked"}, body: "to the end", sent: []string{}, log: viaUpstream},
	{name: "http10_response", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "CLOSE HTTP/1.0 200 OK\r\n\r\nold",
		want: "HTTP/1.1 200 OK", header: []string{"transfer-encoding: chunked"}, body: "old", sent: []string{}, log: viaUpstream},
	{name: "head", request: "HEAD PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
		want: "HTTP/1.1 200 OK", header: []string{"content-length: 77"}, sent: []string{"HEAD PATH HTTP/1.1"}, log: viaUpstream},
	{name: "204", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 204 No Content\r\n\r\n",
		want: "HTTP/1.1 204 No Content", header: []string{"-content-length", "-transfer-encoding"}, sent: []string{}, log: "204 - via_upstream"},
	{name: "304", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
		want: "HTTP/1.1 304 Not Modified", header: []string{"etag: x", "-transfer-encoding"}, sent: []string{}, log: "304 - via_upstream"},
	{name: "interim_swallowed", request: "GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok("late"),
		want: "HTTP/1.1 200 OK", body: "late", sent: []string{}, log: viaUpstream},
	{name: "client_close", request: "GET PATH HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", answer: ok("x"),
		want: "HTTP/1.1 200 OK", header: []string{"connection: close"}, body: "x", sent: []string{}, closed: true, log: viaUpstream},
	{name: "connection_tokens", request: "GET PATH HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-hop\r\nx-hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\r\n", answer: ok("x"),
		want: "HTTP/1.1 200 OK", body: "x", sent: []string{"-x-hop", "-connection", "-keep-alive", "-proxy-connection"}, log: viaUpstream},
	{name: "absolute_url", request: "GET http://other.example/absolute_url HTTP/1.1\r\nHost: a\r\n\r\n", answer: ok("x"),
		want: "HTTP/1.1 200 OK", body: "x", sent: []string{"GET PATH HTTP/1.1", "host: other.example"}, log: viaUpstream},
	{name: "http10", request: "GET PATH HTTP/1.0\r\nHost: a\r\n\r\n",
		want: "HTTP/1.1 426 Upgrade Required", body: "Upgrade Required", header: []string{"connection: close"}, closed: true, log: "426 DPE low_version"},
	{name: "no_host", request: "GET PATH HTTP/1.1\r\n\r\n",
		want: "HTTP/1.1 400 Bad Request", header: []string{"connection: close", "content-length: 0"}, closed: true, log: "400 - missing_host_header"},
	{name: "connect_off", request: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		want: "HTTP/1.1 404 Not Found", closed: true, log: "404 NR route_not_found"},
	{name: "websocket_off", request: "GET PATH HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		want: "HTTP/1.1 403 Forbidden", header: []string{"connection: close"}, closed: true, log: "403 - upgrade_failed"},
	{name: "h2c_ignored", request: "GET PATH HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n", answer: ok("x"),
		want: "HTTP/1.1 200 OK", body: "x", sent: []string{"-upgrade", "-http2-settings", "-connection"}, log: viaUpstream},
	{name: "clte", request: "POST PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
		want: "HTTP/1.1 400 Bad Request", body: "Bad Request", header: []string{"connection: close"}, closed: true, log: "400 DPE http1.content_length_and_chunked_not_allowed"},
	{name: "te_gzip", request: "POST PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc",
		want: "HTTP/1.1 501 Not Implemented", body: "Not Implemented", closed: true, log: "501 DPE http1.invalid_transfer_encoding"},
	{name: "space_colon", request: "GET PATH HTTP/1.1\r\nHost : a\r\n\r\n",
		want: "HTTP/1.1 400 Bad Request", body: "Bad Request", closed: true, log: "400 DPE http1.codec_error"},
	{name: "too_many_headers", request: "GET PATH HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("x: y\r\n", 101) + "\r\n",
		want: "HTTP/1.1 431 Request Header Fields Too Large", closed: true, body: "Request Header Fields Too Large", log: "431 DPE http1.too_many_headers"},
	{name: "big_headers", request: "GET PATH HTTP/1.1\r\nHost: a\r\nx: " + strings.Repeat("y", 59000) + "\r\n\r\n", answer: ok("x"),
		want: "HTTP/1.1 200 OK", body: "x", sent: []string{}, log: viaUpstream},
	{name: "fragment", request: "GET PATH#a HTTP/1.1\r\nHost: a\r\n\r\n",
		want: "HTTP/1.1 400 Bad Request", header: []string{"connection: close", "content-length: 0"}, closed: true, log: "400 - path_normalization_failed"},
}

// TestExchanges sends each request of the table through one proxy.
func TestExchanges(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	for _, x := range exchanges {
		answers["/"+x.name] = x.answer
	}
	u := newUpstream(t, func(c *upstreamConn) {
		for {
			m, err := c.request()
			if err != nil {
				return
			}
			answer, last := strings.CutPrefix(answers[m.path()], "CLOSE ")
			c.send(answer)
			if last || answer == "" {
				return
			}
		}
	})
	logged := strings.Replace(logFormat, "%REQ(:PATH)%", "%REQ(X-CASE?:PATH)%", 1)
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", ""), logged: logged}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) { checkExchange(t, p, u, x) })
	}
}

func checkExchange(t *testing.T, p *proxy, u *upstream, x exchange) {
	path := "/" + x.name
	before := len(u.received())
	c := dial(t, p.addr("front"))
	logs := len(p.stdout.String())
	got := c.do(strings.Replace(x.request, "PATH", path, 1))
	if got.start != x.want || got.body != x.body {
		t.Errorf("response %q %q, want %q %q", got.start, got.body, x.want, x.body)
	}
	wantLines(t, "response", got, x.header, path)
	sent := u.received()[before:]
	switch {
	case x.sent == nil && len(sent) > 0:
		t.Errorf("the upstream got %q", sent[0].head)
	case x.sent != nil && len(sent) != 1:
		t.Errorf("the upstream got %d requests", len(sent))
	case x.sent != nil:
		wantLines(t, "request", sent[0], x.sent, path)
		if sent[0].body != x.sentBody {
			t.Errorf("the upstream got the body %q", sent[0].body)
		}
	}
	line := awaitLine(t, "", func() string { return p.stdout.String()[logs:] })
	if _, rest, _ := strings.Cut(line, " "); rest != x.log {
		t.Errorf("access log line %q, want %q", rest, x.log)
	}
	if x.closed {
		c.wantClosed()
	} else if again := c.do("GET /get HTTP/1.1\r\nHost: a\r\n\r\n"); again.status() != 200 {
		t.Errorf("the connection does not serve a second request: %q", again.head)
	}
	eventually(t, "the second request is logged", func() bool {
		return x.closed || strings.Count(p.stdout.String()[logs:], "\n") == 2
	})
}

// wantLines checks that the head of m has these lines, and not those with a minus.
func wantLines(t *testing.T, what string, m *message, lines []string, path string) {
	t.Helper()
	for _, line := range lines {
		if name, no := strings.CutPrefix(line, "-"); no {
			if m.has(name) {
				t.Errorf("%s with %s: %q", what, name, m.head)
			}
		} else if line = strings.Replace(line, "PATH", path, 1); !strings.Contains(m.head, line+"\r\n") {
			t.Errorf("%s without %q: %q", what, line, m.head)
		}
	}
}

// TestKeepAliveUsesOneUpstreamConnection: the workers share the pool of a host.
func TestKeepAliveUsesOneUpstreamConnection(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	for range 2 { // connections, that the two workers may have
		c := dial(t, p.addr("front"))
		for range 50 {
			if m := c.get("/"); m.status() != 200 {
				t.Fatal(m.head)
			}
		}
		c.Close()
	}
	if n := u.connections(); n != 1 {
		t.Errorf("%d upstream connections for requests one after the other, want 1", n)
	}
	p.wantStats(map[string]int64{"cluster.up.upstream_cx_total": 1, "cluster.up.upstream_rq_total": 100, "http.http.downstream_rq_2xx": 100,
		"http.http.downstream_cx_total": 2, "http.http.downstream_cx_destroy_remote": 2})
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, handle(func(m *message) string { return ok("answer to " + m.path() + m.body) }))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	var requests strings.Builder
	const n = 30
	for i := range n {
		fmt.Fprintf(&requests, "POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", i)
	}
	c.send(requests.String())
	for i := range n {
		if m := c.response("POST"); m.body != fmt.Sprintf("answer to /%dabc", i) {
			t.Fatalf("answer %d is %q", i, m.body)
		}
	}
	for i, m := range u.received() {
		if m.path() != "/"+strconv.Itoa(i) {
			t.Fatalf("request %d is %s", i, m.path())
		}
	}
	c.send("GET /last HTTP/1.1\r\nhost: a\r\n\r\nGET /bad HTTP/1.1\r\nhost : a\r\n\r\n")
	if m := c.response("GET"); m.body != "answer to /last" {
		t.Errorf("before the bad request: %q", m.body)
	}
	if m := c.response("GET"); m.status() != 400 {
		t.Errorf("bad request: %q", m.head)
	}
	c.wantClosed()
}

// TestExpect is a client that waits for 100 Continue before it sends the body.
func TestExpect(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, handle(func(m *message) string { return ok("got " + m.body) }))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	if m := c.do("POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"); m.start != "HTTP/1.1 100 Continue" {
		t.Fatalf("interim response %q", m.head)
	}
	c.send("abc")
	if m := c.response("POST"); m.body != "got abc" {
		t.Errorf("response %q", m.body)
	}
	if u.last().has("expect") {
		t.Errorf("the upstream got %q", u.last().head)
	}
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	const request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	u := newUpstream(t, func(c *upstreamConn) {
		m, err := c.request()
		if err != nil {
			return
		}
		if m.path() == "/refuse" {
			c.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
			return
		}
		c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nwelcome ")
		for {
			b, err := c.r.ReadByte()
			if err != nil {
				return
			}
			c.send(strings.ToUpper(string(b)))
		}
	})
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", ""), fields: "upgrade_configs: [{upgrade_type: websocket}]"}),
		clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	m := c.do(request)
	if m.start != "HTTP/1.1 101 Switching Protocols" || m.get("upgrade") != "websocket" || !strings.EqualFold(m.get("connection"), "upgrade") {
		t.Fatalf("response %q", m.head)
	}
	if sent := u.last(); sent.get("upgrade") != "websocket" || sent.get("sec-websocket-version") != "13" || !strings.EqualFold(sent.get("connection"), "upgrade") {
		t.Errorf("the upstream got %q", sent.head)
	}
	c.want("welcome ")
	for range 100 {
		c.send("ping\x00")
		c.want("PING\x00")
	}
	p.wantStats(map[string]int64{"http.http.downstream_cx_upgrades_active": 1, "http.http.downstream_cx_upgrades_total": 1})
	c.Close()
	p.wantStats(map[string]int64{"http.http.downstream_cx_upgrades_active": 0, "cluster.up.upstream_cx_active": 0})

	if m := do(t, p.addr("front"), strings.Replace(request, "/chat", "/refuse", 1)); m.status() != 403 || m.body != "no" {
		t.Errorf("refused upgrade: %q %q", m.head, m.body)
	}
}

// TestBigBodies moves bodies that are larger than all buffers, in both directions,
// to a client that reads slowly and from one that sends in pieces.
func TestBigBodies(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	u := newUpstream(t, handle(func(m *message) string { return ok(m.body) }))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	body := noise(size)
	for _, framing := range []string{"content-length: " + strconv.Itoa(size) + "\r\n\r\n" + body, "transfer-encoding: chunked\r\n\r\n" + chunked(body[:100], body[100:])} {
		c := dial(t, p.addr("front"))
		go io.WriteString(c, "POST / HTTP/1.1\r\nhost: a\r\n"+framing) // if it fails there is no response
		if m := c.response("POST"); m.status() != 200 || m.body != body {
			t.Errorf("%s: %q with %d bytes that are the same: %v", framing[:17], m.start, len(m.body), m.body == body)
		}
	}
}
