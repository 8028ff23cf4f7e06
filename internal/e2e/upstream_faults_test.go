package e2e

import (
	"strings"
	"testing"
	"time"
)

// A fault is an upstream that does something wrong, and what the client and the
// access log get for it.
type fault struct {
	name   string
	script func(c *upstreamConn) // after the request was read
	want   int
	body   string
	cut    bool // the response ends before its end
	log    string
}

func raw(text string) func(*upstreamConn) { return func(c *upstreamConn) { c.send(text) } }

const (
	protocolError = "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
	upe           = "502 UPE upstream_reset_before_response_started{protocol_error}"
	upeAfter      = "200 UPE upstream_reset_after_response_started{protocol_error}"
)

func bad(name, response string) fault {
	return fault{name: name, script: raw(response), want: 502, body: protocolError, log: upe}
}

var faults = []fault{
	{name: "close", script: raw(""), want: 503, body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
		log: "503 UC upstream_reset_before_response_started{connection_termination}"},
	{name: "reset", script: (*upstreamConn).reset, want: 503, body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
		log: "503 UC upstream_reset_before_response_started{connection_termination}"},
	bad("garbage", "\x00\x01\x02garbage\r\n\r\n"),
	bad("bad_status", "HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\nok"),
	bad("two_lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nok"),
	bad("negative_length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok"),
	bad("length_and_chunked", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	bad("gzip_chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	bad("nul", "HTTP/1.1 200 OK\r\nx-a: a\x00b\r\ncontent-length: 2\r\n\r\nok"),
	bad("space_colon", "HTTP/1.1 200 OK\r\nx-a : a\r\ncontent-length: 2\r\n\r\nok"),
	bad("empty_name", "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 2\r\n\r\nok"),
	bad("many_headers", "HTTP/1.1 200 OK\r\n"+strings.Repeat("x: a\r\n", 150)+"content-length: 2\r\n\r\nok"),
	bad("body_in_204", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok"),
	bad("cut_in_headers", "HTTP/1.1 200 OK\r\ncontent-le"),
	{name: "cut_in_body", script: raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok"), want: 200, body: "ok", cut: true, log: upeAfter},
	{name: "cut_in_chunk", script: raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok"), want: 200, body: "ok", cut: true, log: upeAfter},
	{name: "bad_chunk", script: raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nok\r\n"), want: 200, cut: true, log: upeAfter},
	{name: "more_than_length", script: raw(ok("ok") + ok("poison")), want: 200, body: "ok", log: viaUpstream},
	{name: "slow", script: func(c *upstreamConn) {
		for _, b := range []byte("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nslowly") {
			c.send(string(b))
			time.Sleep(time.Millisecond)
		}
	}, want: 200, body: "slowly", log: viaUpstream},
	{name: "timeout", script: (*upstreamConn).stall, want: 504, body: "upstream request timeout", log: "504 UT response_timeout"},
	{name: "timeout_in_headers", script: func(c *upstreamConn) { c.send("HTTP/1.1 200"); c.stall() },
		want: 504, body: "upstream request timeout", log: "504 UT response_timeout"},
	{name: "timeout_in_body", script: func(c *upstreamConn) { c.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"); c.stall() },
		want: 200, body: "ok", cut: true, log: "200 UT response_timeout"},
}

func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	scripts := map[string]func(*upstreamConn){}
	for _, f := range faults {
		scripts["/"+f.name] = f.script
	}
	u := newUpstream(t, func(c *upstreamConn) {
		if m, err := c.request(); err == nil {
			scripts[m.path()](c)
		}
	})
	routes := `[{match: {prefix: "/timeout"}, route: {cluster: up, timeout: 0.3s}}, {match: {prefix: "/dead"}, route: {cluster: dead}},
	  {match: {path: "/next"}, direct_response: {status: 200, body: {inline_string: next}}}, {match: {path: "/empty"}, route: {cluster: empty}}, {match: {prefix: "/unknown"}, route: {cluster_header: x-cluster}}, {match: {prefix: "/"}, route: {cluster: up}}]`
	routes = strings.ReplaceAll(routes, "\n", " ")
	p := run(t, setup{listeners: front(hcm{routes: routes}), clusters: []cluster{{name: "up", hosts: []*upstream{u}},
		{name: "dead", dead: []string{freePort(t)}}, {name: "empty"}}})
	for _, f := range append([]fault{
		{name: "dead", want: 503, body: "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
			log: "503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"},
		{name: "empty", want: 503, body: "no healthy upstream", log: "503 UH no_healthy_upstream"},
		{name: "unknown", want: 503, log: "503 NC cluster_not_found"},
	}, faults...) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			checkFault(t, p, f)
		})
	}
}

func checkFault(t *testing.T, p *proxy, f fault) {
	c := dial(t, p.addr("front"))
	c.send("GET /" + f.name + " HTTP/1.1\r\nhost: a\r\nx-cluster: nobody\r\n\r\n")
	m, err := readResponse(c.r, "GET")
	if m.status() != f.want || m.body != f.body {
		t.Errorf("response %q %q, want %d %q", m.start, m.body, f.want, f.body)
	}
	switch {
	case f.cut != (err != nil):
		t.Errorf("response %q ended with %v", m.head, err)
	case !f.cut && m.has("connection"):
		t.Errorf("the client is told that the connection ends: %q", m.head)
	case !f.cut: // the client's connection goes on
		if m := c.get("/next"); m.body != "next" {
			t.Errorf("the next response is %q %q", m.head, m.body)
		}
	}
	if line := p.logLine("/" + f.name + " "); line != f.log {
		t.Errorf("access log line %q, want %q", line, f.log)
	}
}

// TestUpstreamResetInBody: the client has a part of the response when the upstream
// resets the connection.
func TestUpstreamResetInBody(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	u := newUpstream(t, func(c *upstreamConn) {
		if _, err := c.request(); err == nil {
			c.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok")
			<-seen
			c.reset()
		}
	})
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	c.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
	if m, err := readHead(c.r); err != nil || m.status() != 200 {
		t.Errorf("response %q, %v", m.head, err)
	}
	c.want("ok")
	close(seen)
	c.wantClosed()
	if line := p.logLine("/x "); line != upeAfter {
		t.Errorf("access log line %q", line)
	}
}
