package e2e

import (
	"strings"
	"testing"
)

// TestWhy: what the proxy answers by itself is explained by GET /why, and in the log
// if that is wanted.
func TestWhy(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	stall := newUpstream(t, func(c *upstreamConn) {
		if _, err := c.request(); err == nil {
			c.stall()
		}
	})
	busy := cluster{name: "busy", hosts: []*upstream{stall}, fields: "circuit_breakers: {thresholds: [{max_requests: 0}]}"}
	dead := freePort(t)
	retry := "retry_policy: {retry_on: connect-failure, num_retries: 2, retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}}"
	route := func(prefix, cluster, fields string) string {
		return `{name: ` + cluster + `, match: {prefix: ` + prefix + `}, route: {cluster: ` + cluster + more(fields) + `}}`
	}
	hosts := `[{name: shop, domains: [shop.com], routes: [` + strings.Join([]string{
		route("/empty", "empty", ""), route("/dead", "dead", retry), route("/late", "slow", "timeout: 0.1s"),
		route("/busy", "busy", ""), route("/slow", "slow", ""),
		`{match: {prefix: /gone}, direct_response: {status: 410, body: {inline_string: moved}}}`}, ", ") + `]}]`
	p := run(t, setup{
		listeners: front(hcm{hosts: hosts, fields: "preserve_external_request_id: true, use_remote_address: true, delayed_close_timeout: 0.1s"}),
		clusters:  []cluster{{name: "empty"}, {name: "dead", dead: []string{dead}}, {name: "slow", hosts: []*upstream{stall}}, busy},
	})
	p.adminPost("/logging?http=debug")
	request := func(path, id string) string {
		return "GET " + path + " HTTP/1.1\r\nhost: shop.com\r\nx-request-id: " + id + "\r\n\r\n"
	}
	for _, tc := range []struct {
		path   string
		status int
		want   []string // lines of the explanation, at least
	}{
		{"/none", 404, []string{
			"GET shop.com/none got 404: route_not_found (NR)",
			`routing     virtual host shop by domain "shop.com"`,
			`route 4 slow: path prefix "/slow" against "/none"`,
			"connection  kept open",
		}},
		{"/empty", 503, []string{"got 503: no_healthy_upstream (UH)", "cluster     empty", "no healthy host"}},
		{"/dead", 503, []string{
			"(URX,UF)", "route 1 dead matched", "attempts    127.0.0.1:" + dead, "retried after ",
			"answer      upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure",
		}},
		{"/late", 504, []string{"got 504: response_timeout (UT)", "attempts    127.0.0.1:" + stall.port()}},
		{"/busy", 503, []string{"got 503: upstream_reset_before_response_started{overflow} (UO)", "cluster     busy"}},
		{"/gone", 410, []string{"got 410: direct_response", "route 5 matched", "answer      moved"}},
	} {
		t.Run(tc.path[1:], func(t *testing.T) {
			id := "id-of-" + tc.path[1:]
			if m := do(t, p.addr("front"), request(tc.path, id)); m.status() != tc.status {
				t.Fatalf("response %q", m.head)
			}
			p.wantWhy(t, id, tc.want...)
		})
	}
	t.Run("client closes", func(t *testing.T) {
		c := dial(t, p.addr("front"))
		before := len(stall.received())
		c.send(request("/slow", "id-of-quitter"))
		eventually(t, "the upstream has the request", func() bool { return len(stall.received()) > before })
		c.Close()
		p.wantWhy(t, "id-of-quitter", "got no response: downstream_remote_disconnect (DC)", "connection  closed by the client")
	})
	t.Run("no HTTP", func(t *testing.T) {
		if m := do(t, p.addr("front"), "GET / HTTP/1.1\r\nhost: a b\r\n\r\n"); m.status() != 400 {
			t.Fatalf("response %q", m.head)
		}
		got := p.adminGet("/why?flag=DPE")
		if !strings.Contains(got, "a request that was not understood got 400: ") || !strings.Contains(got, "connection  closed by the proxy: codec error") {
			t.Error(got)
		}
	})
}

// wantWhy checks what GET /why and the log tell of the request with an id.
func (p *proxy) wantWhy(t *testing.T, id string, want ...string) {
	t.Helper()
	got := ""
	eventually(t, "an explanation of "+id, func() bool {
		got = p.adminGet("/why?id=" + id)
		return strings.Contains(got, "request id  "+id)
	})
	for _, line := range want {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	eventually(t, "a log line of "+id, func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			if strings.Contains(line, "[debug][http]") && strings.Contains(line, "why: ") && strings.Contains(line, "request id: "+id+";") {
				return true
			}
		}
		return false
	})
}
