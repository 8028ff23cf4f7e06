package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// quickStart is a bootstrap as people write it after Envoy's quick start.
const quickStart = `
admin:
  address:
    socket_address:
      address: 127.0.0.1
      port_value: 0

static_resources:
  listeners:
  - name: listener_0
    address:
      socket_address:
        address: 0.0.0.0
        port_value: 0
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress_http
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: local_route
            virtual_hosts:
            - name: local_service
              domains: ["*"]
              routes:
              - match:
                  prefix: "/"
                route:
                  cluster: service

  clusters:
  - name: service
    type: TYPE
    connect_timeout: 5s
    dns_lookup_family: V4_ONLY
    lb_policy: ROUND_ROBIN
    load_assignment:
      cluster_name: service
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address:
                address: HOST
                port_value: PORT
`

func TestQuickStart(t *testing.T) {
	for _, tc := range []struct{ kind, host string }{{"STATIC", "127.0.0.1"}, {"STRICT_DNS", "localhost"}, {"LOGICAL_DNS", "localhost"}} {
		t.Run(tc.kind, func(t *testing.T) {
			t.Parallel()
			testQuickStart(t, tc.kind, tc.host)
		})
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func testQuickStart(t *testing.T, kind, host string) {
	u := newUpstream(t, handle(func(*message) string {
		return "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Own: 1\r\nServer: gunicorn\r\nContent-Length: 5\r\n\r\nhello"
	}))
	text := strings.NewReplacer("TYPE", kind, "HOST", host, "PORT", u.port()).Replace(quickStart)
	p := run(t, setup{text: text, upstreams: []*upstream{u}})
	addr := strings.Replace(p.addr("listener_0"), "0.0.0.0", "127.0.0.1", 1)
	c := dial(t, addr)
	got := c.do("POST /hello?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: e2e\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc")

	if got.start != "HTTP/1.1 200 OK" || got.body != "hello" {
		t.Errorf("response %q %q", got.start, got.body)
	}
	wantHeaders(t, "response", got, []string{
		"content-type: text/html", "x-own: 1", "server: envoy", "content-length: 5", "x-envoy-upstream-service-time: *", "date: *",
	})
	sent := u.last()
	if sent.start != "POST /hello?x=1 HTTP/1.1" || sent.body != "abc" {
		t.Errorf("the upstream got %q %q", sent.start, sent.body)
	}
	wantHeaders(t, "request", sent, []string{
		"host: example.com", "user-agent: e2e", "accept: */*", "content-length: 3", "x-forwarded-proto: http", "x-request-id: *",
		"x-envoy-expected-rq-timeout-ms: 15000",
	})
	if id := sent.get("x-request-id"); !uuid.MatchString(id) {
		t.Errorf("x-request-id %q", id)
	}
	line := p.logLine("[")
	want := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "POST /hello\?x=1 HTTP/1\.1" 200 - 3 5 \d+ \d+ "-" "e2e" "` + sent.get("x-request-id") +
		`" "example\.com" "127\.0\.0\.1:` + u.port() + `"$`
	if !regexp.MustCompile(want).MatchString(line) {
		t.Errorf("access log line\n[%s, want\n%s", line, want)
	}
	p.wantStats(map[string]int64{
		"http.ingress_http.downstream_cx_total": 1, "http.ingress_http.downstream_cx_active": 1,
		"http.ingress_http.downstream_rq_total": 1, "http.ingress_http.downstream_rq_2xx": 1, "http.ingress_http.downstream_rq_active": 0,
		"http.ingress_http.downstream_rq_http1_total": 1, "http.ingress_http.downstream_rq_completed": 1,
		"cluster.service.upstream_cx_total": 1, "cluster.service.upstream_rq_total": 1, "cluster.service.upstream_rq_200": 1,
		"cluster.service.upstream_rq_2xx": 1, "cluster.service.upstream_rq_active": 0, "cluster.service.membership_total": 1,
		"cluster.service.membership_healthy": 1, "listener_manager.total_listeners_active": 1, "cluster_manager.active_clusters": 1,
		"server.live": 1, "server.concurrency": 2, "server.state": 0,
	})
}

// wantHeaders compares headers and their order; a value * is anything.
func wantHeaders(t *testing.T, what string, m *message, want []string) {
	t.Helper()
	bad := len(m.headers) != len(want)
	for i := 0; !bad && i < len(want); i++ {
		name, value, _ := strings.Cut(want[i], ": ")
		bad = m.headers[i] != want[i] && (value != "*" || !strings.HasPrefix(m.headers[i], name+": "))
	}
	if bad {
		t.Errorf("headers of the %s:\n%s\nwant\n%s", what, strings.Join(m.headers, "\n"), strings.Join(want, "\n"))
	}
}
