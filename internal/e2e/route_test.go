package e2e

import (
	"strings"
	"testing"
)

const routeTable = `[
{name: exact, domains: [exact.example, "exact.example:81"], routes: [
  {match: {path: /only}, route: {cluster: a}},
  {match: {prefix: /api/, headers: [{name: x-version, string_match: {exact: "2"}}]}, route: {cluster: b, prefix_rewrite: /v2/}},
  {match: {prefix: /api/, query_parameters: [{name: beta, string_match: {exact: "1"}}]}, route: {cluster: b, host_rewrite_literal: beta.example}},
  {match: {path_separated_prefix: /docs}, route: {cluster: a, regex_rewrite: {pattern: {regex: "^/docs/([a-z]+)$"}, substitution: "/pages/\\1.html"}}},
  {match: {safe_regex: {regex: "/items/[0-9]+"}}, route: {cluster: b}},
  {match: {prefix: /old}, redirect: {prefix_rewrite: /new, response_code: PERMANENT_REDIRECT}},
  {match: {prefix: /secure}, redirect: {https_redirect: true, host_redirect: secure.example}},
  {match: {path: /teapot}, direct_response: {status: 418, body: {inline_string: "short and stout"}}, response_headers_to_add: [{header: {key: x-tea, value: "%PROTOCOL%"}}]},
  {match: {prefix: /post, headers: [{name: ":method", string_match: {exact: POST}}]}, route: {cluster: b}}]},
{name: suffix, domains: ["*.example"], routes: [{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [{header: {key: x-added, value: "from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}], request_headers_to_remove: [x-secret]}]},
{name: prefix, domains: ["api.*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: prefix}}}]},
{name: rest, domains: ["*"], routes: [{match: {prefix: /weighted}, route: {weighted_clusters: {clusters: [{name: a, weight: 25}, {name: b, weight: 75}]}}}]}]`

func TestRoutes(t *testing.T) {
	t.Parallel()
	echo := func(name string) *upstream {
		return newUpstream(t, handle(func(m *message) string { return ok(name + " " + m.path() + " " + m.get("host")) }))
	}
	a, b := echo("a"), echo("b")
	p := run(t, setup{listeners: front(hcm{hosts: strings.ReplaceAll(routeTable, "\n", " ")}), clusters: []cluster{{name: "a", hosts: []*upstream{a}}, {name: "b", hosts: []*upstream{b}}}})
	c := dial(t, p.addr("front"))
	for _, tc := range []struct {
		request, body string // without HTTP/1.1
		status        int
		header        string
	}{
		{request: "GET /only\nhost: exact.example", body: "a /only exact.example"},
		{request: "GET /only\nhost: EXACT.Example", body: "a /only EXACT.Example"},
		{request: "GET /only\nhost: exact.example:81", body: "a /only exact.example:81"},
		{request: "GET /only?x\nhost: exact.example", body: "a /only?x exact.example"},
		{request: "GET /only/more\nhost: exact.example", status: 404},
		{request: "GET /api/x\nhost: exact.example", status: 404},
		{request: "GET /api/x\nhost: exact.example\nx-version: 2", body: "b /v2/x exact.example"},
		{request: "GET /api/x?beta=1\nhost: exact.example", body: "b /api/x?beta=1 beta.example"},
		{request: "GET /docs/intro\nhost: exact.example", body: "a /pages/intro.html exact.example"},
		{request: "GET /docsy\nhost: exact.example", status: 404},
		{request: "GET /items/12?q\nhost: exact.example", body: "b /items/12?q exact.example"},
		{request: "GET /items/x\nhost: exact.example", status: 404},
		{request: "GET /old/x?q=1\nhost: exact.example", status: 308, header: "location: http://exact.example/new/x?q=1"},
		{request: "GET /secure/x\nhost: exact.example", status: 301, header: "location: https://secure.example/secure/x"},
		{request: "GET /teapot\nhost: exact.example", status: 418, body: "short and stout", header: "x-tea: HTTP/1.1"},
		{request: "POST /post\nhost: exact.example\ncontent-length: 0", body: "b /post exact.example"},
		{request: "GET /post\nhost: exact.example", status: 404},
		{request: "GET /x\nhost: other.example\nx-secret: 1", body: "a /x other.example"},
		{request: "GET /x\nhost: api.v1", body: "prefix"},
		{request: "GET /x\nhost: nobody", status: 404},
	} {
		line, headers, _ := strings.Cut(tc.request, "\n")
		m := c.do(line + " HTTP/1.1\r\n" + strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n\r\n")
		if tc.status == 0 {
			tc.status = 200
		}
		if m.status() != tc.status || m.body != tc.body || !strings.Contains(m.head, tc.header) {
			t.Errorf("%s: %q %q, want %d %q %s", tc.request, m.head, m.body, tc.status, tc.body, tc.header)
		}
	}
	if sent := a.last(); sent.get("x-added") != "from 127.0.0.1" || sent.has("x-secret") {
		t.Errorf("headers to add and remove: %q", sent.head)
	}
	before := len(a.received())
	const n = 400
	for range n {
		if m := c.do("GET /weighted HTTP/1.1\r\nhost: w\r\n\r\n"); m.status() != 200 {
			t.Fatal(m.head)
		}
	}
	if got := len(a.received()) - before; got < n/8 || got > n*3/8 {
		t.Errorf("%d of %d requests went to the cluster of weight 25 in 100", got, n)
	}
}

// TestBalancingOfHosts: round robin is exact over all workers.
func TestBalancingOfHosts(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	hosts := []*upstream{newUpstream(t, say("a")), newUpstream(t, say("b")), newUpstream(t, say("c"))}
	var clusters []cluster
	for _, policy := range []string{"ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"} {
		clusters = append(clusters, cluster{name: policy, hosts: hosts, fields: "lb_policy: " + policy})
	}
	p := run(t, setup{listeners: front(hcm{routes: `[{match: {prefix: "/"}, route: {cluster_header: x-policy}}]`}), clusters: clusters})
	for _, cl := range clusters {
		got := map[string]int{}
		for range 10 {
			c := dial(t, p.addr("front"))
			for range 9 {
				got[c.do("GET / HTTP/1.1\r\nhost: a\r\nx-policy: "+cl.name+"\r\n\r\n").body]++
			}
			c.Close()
		}
		least := 30
		if cl.name != "ROUND_ROBIN" {
			least = 10
		}
		if got["a"] < least || got["b"] < least || got["c"] < least {
			t.Errorf("%s: %v", cl.name, got)
		}
	}
}

// TestFilters: each HTTP filter of this part does its work in the built program.
func TestFilters(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, handle(func(m *message) string {
		return strings.Replace(ok("up "+m.get("x-mutated")), "\r\n", "\r\nx-secret: 1\r\n", 1)
	}))
	filter := func(name, message, fields string) string {
		return extension("envoy.filters.http."+name, "envoy.extensions.filters.http."+name+".v3."+message, fields)
	}
	full := "numerator: 100, denominator: HUNDRED"
	one := func(name, f string) listener {
		return listener{name: name, filters: []string{hcm{routes: toCluster("up", ""), filters: []string{f}}.yaml()}}
	}
	p := run(t, setup{clusters: []cluster{{name: "up", hosts: []*upstream{u}}}, listeners: []listener{
		one("mutation", filter("header_mutation", "HeaderMutation", `mutations: {request_mutations: [{append: {header: {key: x-mutated, value: "yes"}}}], response_mutations: [{remove: x-secret}]}`)),
		one("buffer", filter("buffer", "Buffer", "max_request_bytes: 10")),
		one("health", filter("health_check", "HealthCheck", `pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}]`)),
		one("abort", filter("fault", "HTTPFault", "abort: {http_status: 555, percentage: {"+full+"}}")),
		one("delay", filter("fault", "HTTPFault", "delay: {fixed_delay: 0.05s, percentage: {"+full+"}}")),
		one("rate", filter("local_ratelimit", "LocalRateLimit", "stat_prefix: rate, token_bucket: {max_tokens: 1, fill_interval: 3600s}, filter_enabled: {default_value: {"+full+"}}, filter_enforced: {default_value: {"+full+"}}")),
		{name: "cors", filters: []string{hcm{filters: []string{filter("cors", "Cors", "")}, hosts: `[{name: all, domains: ["*"], routes: ` + toCluster("up", "") +
			`, typed_per_filter_config: {envoy.filters.http.cors: {` + typeURL + `envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_origin_string_match: [{exact: "http://good"}], allow_methods: "GET"}}}]`}.yaml()}},
	}})
	for _, tc := range []struct {
		listener, request string
		status            int
		body, header, log string
	}{
		{"mutation", "GET /mutation\n", 200, "up yes", "-x-secret", viaUpstream},
		{"buffer", "POST /buffered\ncontent-length: 3\n\nabc", 200, "up ", "server: envoy", viaUpstream},
		{"buffer", "POST /too_large\ncontent-length: 20\n\n01234567890123456789", 413, "Payload Too Large", "connection: close", "413 - request_payload_too_large"},
		{"health", "GET /healthz\n", 200, "", "content-length: 0", "200 - health_check_ok"},
		{"health", "GET /else\n", 200, "up ", "server: envoy", viaUpstream},
		{"abort", "GET /abort\n", 555, "fault filter abort", "server: envoy", "555 FI fault_filter_abort"},
		{"delay", "GET /delay\n", 200, "up ", "server: envoy", "200 DI via_upstream"},
		{"rate", "GET /first\n", 200, "up ", "server: envoy", viaUpstream},
		{"rate", "GET /second\n", 429, "local_rate_limited", "server: envoy", "429 RL local_rate_limited"},
		{"cors", "GET /cors\norigin: http://good\n", 200, "up ", "access-control-allow-origin: http://good", viaUpstream},
		{"cors", "OPTIONS /preflight\norigin: http://good\naccess-control-request-method: GET\n", 200, "", "access-control-allow-methods: GET", "200 - cors_response"},
		{"cors", "GET /foreign\norigin: http://bad\n", 200, "up ", "-access-control-allow-origin", viaUpstream},
	} {
		head, body, _ := strings.Cut(tc.request, "\n\n")
		line, headers, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
		if headers != "" {
			headers = strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n"
		}
		m := do(t, p.addr(tc.listener), line+" HTTP/1.1\r\nhost: a\r\n"+headers+"\r\n"+body)
		if m.status() != tc.status || m.body != tc.body {
			t.Errorf("%s: %q %q, want %d %q", tc.request, m.head, m.body, tc.status, tc.body)
		}
		wantLines(t, line, m, []string{tc.header}, "")
		if tc.log != "" {
			_, path, _ := strings.Cut(line, " ")
			if got := p.logLine(path + " "); got != tc.log {
				t.Errorf("access log line %q, want %q", got, tc.log)
			}
		}
	}
	p.adminPost("/healthcheck/fail")
	m := get(t, p.addr("health"), "/healthz")
	if m.status() != 503 || m.get("x-envoy-immediate-health-check-fail") != "true" {
		t.Errorf("failing health check: %q", m.head)
	}
}
