package e2e

import (
	"strings"
	"testing"
)

// TestRetries: the first host fails in some way, the second one answers.
func TestRetries(t *testing.T) {
	t.Parallel()
	status := func(line string) func(*upstreamConn) {
		return handle(func(*message) string { return "HTTP/1.1 " + line + "\r\ncontent-length: 0\r\n\r\n" })
	}
	after := func(fail func(*upstreamConn)) func(*upstreamConn) {
		return func(c *upstreamConn) {
			if _, err := c.request(); err == nil {
				fail(c)
			}
		}
	}
	for _, tc := range []struct {
		name, on string
		script   func(*upstreamConn) // nil: nobody listens
	}{
		{"5xx", "5xx", status("503 Service Unavailable")},
		{"gateway_error", "gateway-error", status("502 Bad Gateway")},
		{"status", "retriable-status-codes", status("418 Teapot")},
		{"reset", "reset", after((*upstreamConn).reset)},
		{"close", "reset", after(raw(""))},
		{"per_try_timeout", "5xx", after((*upstreamConn).stall)},
		{"connect_failure", "connect-failure", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			good := newUpstream(t, handle(func(m *message) string { return ok("good " + m.body) }))
			up := cluster{name: "up", hosts: []*upstream{good}}
			if tc.script == nil {
				up.dead = []string{freePort(t)}
			} else {
				up.hosts = append(up.hosts, newUpstream(t, tc.script))
			}
			policy := "retry_policy: {retry_on: " + tc.on + ", num_retries: 3, per_try_timeout: 0.3s, retriable_status_codes: [418], " +
				"retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, " +
				"typed_config: {" + typeURL + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 3}"
			if *proxyFlag == "" {
				policy = strings.NewReplacer(", retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"+
					typeURL+"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 3", "").Replace(policy)
			}
			p := run(t, setup{listeners: front(hcm{routes: toCluster("up", policy)}), clusters: []cluster{up}})
			c := dial(t, p.addr("front"))
			const n = 6
			for range n {
				if m := c.do("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"); m.status() != 200 || m.body != "good body" {
					t.Fatalf("response %q %q", m.head, m.body)
				}
			}
			all := p.stats()
			if all["cluster.up.upstream_rq_retry"] == 0 || all["cluster.up.upstream_rq_retry_success"] == 0 || all["http.http.downstream_rq_2xx"] != n {
				t.Errorf("retries %d, successful %d, 2xx %d", all["cluster.up.upstream_rq_retry"], all["cluster.up.upstream_rq_retry_success"], all["http.http.downstream_rq_2xx"])
			}
		})
	}
}

// TestRetriesEnd: when all attempts are used up the last failure is the answer.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, handle(func(m *message) string {
		if m.path() == "/status" {
			return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
		}
		return ""
	}))
	policy := "retry_policy: {retry_on: '5xx', num_retries: 2, retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}}"
	p := run(t, setup{listeners: front(hcm{routes: `[{match: {prefix: "/dead"}, route: {cluster: dead, ` + policy + `}}, {match: {prefix: "/"}, route: {cluster: up, ` + policy + `}}]`}),
		clusters: []cluster{{name: "up", hosts: []*upstream{u}}, {name: "dead", dead: []string{freePort(t)}}}})
	for _, tc := range []struct{ path, body, log string }{
		{"/status", "busy", "503 URX via_upstream"},
		{"/close", "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection termination",
			"503 URX,UC upstream_reset_before_response_started{connection_termination}"},
		{"/dead", "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure",
			"503 URX,UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"},
	} {
		if m := get(t, p.addr("front"), tc.path); m.status() != 503 || m.body != tc.body {
			t.Errorf("%s: %q %q", tc.path, m.start, m.body)
		}
		line := p.logLine(tc.path + " ")
		// The flags have no order in Envoy's documentation.
		if line != tc.log && line != strings.NewReplacer("URX,UC", "UC,URX", "URX,UF", "UF,URX").Replace(tc.log) {
			t.Errorf("access log line %q, want %q", line, tc.log)
		}
	}
	p.wantStats(map[string]int64{"cluster.up.upstream_rq_retry": 4, "cluster.up.upstream_rq_retry_limit_exceeded": 2,
		"cluster.dead.upstream_rq_retry": 2, "cluster.dead.upstream_rq_retry_limit_exceeded": 1, "cluster.dead.upstream_cx_connect_fail": 3})
}

// TestCircuitBreakers: what is over a limit is answered at once, and the rest goes
// on. The limits are exact, which those of Envoy's workers are not.
func TestCircuitBreakers(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	release := make(chan struct{})
	u := newUpstream(t, handle(func(*message) string { <-release; return ok("x") }))
	limits := func(l string) string { return "circuit_breakers: {thresholds: [{" + l + "}]}" }
	p := run(t, setup{
		listeners: front(hcm{routes: `[{match: {prefix: "/requests"}, route: {cluster: requests}}, {match: {prefix: "/pending"}, route: {cluster: pending}}]`}),
		clusters: []cluster{{name: "requests", hosts: []*upstream{u}, fields: limits("max_requests: 2")},
			{name: "pending", hosts: []*upstream{u}, fields: limits("max_connections: 1, max_pending_requests: 1")}},
	})
	var waiting []*client
	for i, path := range []string{"/requests", "/requests", "/pending", "/pending"} {
		c := dial(t, p.addr("front"))
		c.send("GET " + path + "/good HTTP/1.1\r\nhost: a\r\n\r\n")
		waiting = append(waiting, c)
		eventually(t, "the upstream has the request", func() bool { return len(u.received()) == min(i+1, 3) })
	}
	p.wantStats(map[string]int64{"cluster.requests.upstream_rq_active": 2, "cluster.pending.upstream_rq_pending_active": 1, "cluster.pending.upstream_cx_active": 1,
		"cluster.requests.circuit_breakers.default.rq_open": 1, "cluster.pending.circuit_breakers.default.rq_pending_open": 1, "cluster.pending.circuit_breakers.default.cx_open": 1})
	for _, path := range []string{"/requests/over", "/pending/over"} {
		m := get(t, p.addr("front"), path)
		if m.status() != 503 || m.get("x-envoy-overloaded") != "true" || m.body != "upstream connect error or disconnect/reset before headers. reset reason: overflow" {
			t.Errorf("%s: %q %q", path, m.head, m.body)
		}
		if line := p.logLine(path + " "); !strings.HasPrefix(line, "503 UO upstream_reset_before_response_started{overflow") {
			t.Errorf("access log line %q", line)
		}
	}
	close(release)
	for _, c := range waiting {
		if m := c.response("GET"); m.body != "x" {
			t.Errorf("a request within the limits got %q", m.head)
		}
	}
	p.wantStats(map[string]int64{"cluster.requests.upstream_rq_active_overflow": 1, "cluster.pending.upstream_rq_pending_overflow": 1,
		"cluster.requests.upstream_rq_200": 2, "cluster.pending.upstream_rq_200": 2, "cluster.pending.upstream_cx_total": 1,
		"cluster.requests.circuit_breakers.default.rq_open": 0, "cluster.pending.circuit_breakers.default.rq_pending_open": 0})
}

// TestDownstreamTimeouts: clients that do not go on.
func TestDownstreamTimeouts(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(c *upstreamConn) {
		for {
			m, err := c.request()
			if err != nil {
				return
			}
			if m.path() == "/stall" {
				c.stall()
				return
			}
			c.send(ok("x"))
		}
	})
	p := run(t, setup{
		listeners: []listener{
			{name: "headers", filters: []string{hcm{routes: toCluster("up", ""), fields: "request_headers_timeout: 0.2s"}.yaml()}},
			{name: "request", filters: []string{hcm{routes: toCluster("up", ""), fields: "request_timeout: 0.2s"}.yaml()}},
			{name: "stream", filters: []string{hcm{routes: toCluster("up", "timeout: 0s"), fields: "stream_idle_timeout: 0.2s"}.yaml()}},
			{name: "idle", filters: []string{hcm{routes: toCluster("up", ""), fields: "common_http_protocol_options: {idle_timeout: 0.2s}, drain_timeout: 0.1s"}.yaml()}},
			{name: "requests", filters: []string{hcm{routes: toCluster("up", ""), fields: "common_http_protocol_options: {max_requests_per_connection: 1}"}.yaml()}},
		},
		clusters: []cluster{{name: "up", hosts: []*upstream{u}}},
	})
	for _, tc := range []struct {
		listener, send string
		want           int
		body, log      string
	}{
		{"headers", "GET /headers HTTP/1.1\r\nhost: a\r\n", 408, "request header timeout", "- 408 - request_header_timeout"},
		{"request", "POST /request HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", 408, "request timeout", "/request 408 - request_overall_timeout"},
		{"stream", "POST /stream HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", 408, "stream timeout", "/stream 408 SI stream_idle_timeout"},
		{"stream", "GET /stall HTTP/1.1\r\nhost: a\r\n\r\n", 504, "stream timeout", "/stall 504 SI stream_idle_timeout"},
	} {
		c := dial(t, p.addr(tc.listener))
		m := c.do(tc.send)
		if m.status() != tc.want || m.body != tc.body {
			t.Errorf("%s: %q %q, want %d %q", tc.log, m.start, m.body, tc.want, tc.body)
		}
		path, rest, _ := strings.Cut(tc.log, " ")
		if line := p.logLine(path + " "); line != rest {
			t.Errorf("access log line %q, want %q", line, rest)
		}
	}
	c := dial(t, p.addr("idle"))
	if m := c.get("/x"); m.status() != 200 {
		t.Errorf("before the idle time: %q", m.head)
	}
	c.wantClosed()
	c = dial(t, p.addr("requests"))
	if m := c.get("/x"); m.status() != 200 || m.get("connection") != "close" {
		t.Errorf("the only request of a connection: %q", m.head)
	}
	c.wantClosed()
}

// TestConnectTimeout needs a host that neither accepts nor refuses: a listening
// socket whose queue is full.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	port := fullListener(t)
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", dead: []string{port}, fields: "connect_timeout: 0.2s"}}})
	m := get(t, p.addr("front"), "/x")
	if m.status() != 503 || m.body != "upstream connect error or disconnect/reset before headers. reset reason: connection timeout" {
		t.Errorf("response %q %q", m.head, m.body)
	}
	if line := p.logLine("/x "); line != "503 UF upstream_reset_before_response_started{connection_timeout}" {
		t.Errorf("access log line %q", line)
	}
	p.wantStats(map[string]int64{"cluster.up.upstream_cx_connect_timeout": 1, "cluster.up.upstream_cx_connect_fail": 1})
}
