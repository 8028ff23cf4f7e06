package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

func tcpFront(fields string) []listener {
	return []listener{{name: "front", filters: []string{tcpProxy(fields)}}}
}

// loggedTCP is the access log of a TCP proxy.
func loggedTCP() string {
	return "access_log: [" + stdoutLog("end %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% %UPSTREAM_HOST%") + "]"
}

func TestTCPProxy(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(c *upstreamConn) {
		c.send("welcome ")
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				c.send("goodbye") // the client has ended its half only
				return
			}
			c.send("echo " + line)
		}
	})
	p := run(t, setup{listeners: tcpFront("cluster: up, " + loggedTCP()), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	c.want("welcome ")
	for range 10 {
		c.send("abc\n")
		c.want("echo abc\n")
	}
	p.wantStats(map[string]int64{"tcp.tcp.downstream_cx_total": 1, "cluster.up.upstream_cx_active": 1, "cluster.up.upstream_cx_total": 1})
	c.closeWrite()
	c.want("goodbye")
	c.wantClosed()
	if line := p.logLine("end "); line != "40 105 - "+u.addr {
		t.Errorf("access log line %q", line)
	}
	p.wantStats(map[string]int64{"tcp.tcp.downstream_cx_rx_bytes_total": 40, "tcp.tcp.downstream_cx_tx_bytes_total": 105,
		"cluster.up.upstream_cx_rx_bytes_total": 105, "cluster.up.upstream_cx_tx_bytes_total": 40, "cluster.up.upstream_cx_active": 0})
}

// TestTCPHalfCloseOfUpstream: the upstream ends first, the client goes on sending.
func TestTCPHalfCloseOfUpstream(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	u := newUpstream(t, func(c *upstreamConn) {
		c.send("all I say")
		newClient(t, c.Conn).closeWrite()
		text, err := io.ReadAll(c.r)
		if err != nil {
			text = []byte(err.Error())
		}
		got <- string(text)
	})
	p := run(t, setup{listeners: tcpFront("cluster: up"), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	c.want("all I say")
	c.wantClosed() // its reading half
	c.send("and the client says this")
	c.closeWrite()
	if text := <-got; text != "and the client says this" {
		t.Errorf("the upstream got %q", text)
	}
}

// TestTCPBulk moves 50 MB there and back at the same time.
func TestTCPBulk(t *testing.T) {
	t.Parallel()
	const size = 50 << 20
	u := newUpstream(t, func(c *upstreamConn) { _, _ = io.Copy(c, c.r) })
	p := run(t, setup{listeners: tcpFront("cluster: up"), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	body := noise(size)
	c := dial(t, p.addr("front"))
	go func() {
		c.send(body)
		c.closeWrite()
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, c.r)
	want := sha256.Sum256([]byte(body))
	if got := hex.EncodeToString(sum.Sum(nil)); err != nil || got != hex.EncodeToString(want[:]) {
		t.Errorf("%d of %d bytes came back, %v; they are not the same", n, size, err)
	}
	p.wantStats(map[string]int64{"tcp.tcp.downstream_cx_rx_bytes_total": size, "tcp.tcp.downstream_cx_tx_bytes_total": size})
}

// TestTCPUpstreamRefuses: the client's connection ends after all attempts, and the next host
// is tried.
func TestTCPUpstreamRefuses(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(c *upstreamConn) { c.send("second") })
	dead := freePort(t)
	p := run(t, setup{
		listeners: []listener{
			{name: "dead", filters: []string{tcpProxy("cluster: dead, " + loggedTCP())}},
			{name: "empty", filters: []string{tcpProxy("cluster: empty, " + loggedTCP())}},
			{name: "second", filters: []string{tcpProxy("cluster: second, max_connect_attempts: 2")}},
		},
		clusters: []cluster{{name: "dead", dead: []string{dead}}, {name: "empty"}, {name: "second", dead: []string{dead}, hosts: []*upstream{u}}},
	})
	for _, name := range []string{"dead", "empty"} {
		if text, err := io.ReadAll(dial(t, p.addr(name)).r); len(text) > 0 || err != nil {
			t.Errorf("%s: got %q, %v; want an orderly end", name, text, err)
		}
	}
	if line := p.logLine("end 0 0 UF"); line != ",URX 127.0.0.1:"+dead {
		t.Errorf("access log line %q", line)
	}
	if line := p.logLine("end 0 0 UH"); line != " -" {
		t.Errorf("access log line %q", line)
	}
	for range 4 {
		c := dial(t, p.addr("second"))
		c.want("second")
		c.wantClosed()
	}
	p.wantStats(map[string]int64{"cluster.dead.upstream_cx_connect_fail": 1, "cluster.dead.upstream_cx_connect_attempts_exceeded": 1,
		"cluster.empty.upstream_cx_none_healthy": 1, "cluster.second.upstream_cx_connect_attempts_exceeded": 0})
}

// TestTCPReset: a reset on one side is a reset on the other.
func TestTCPReset(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	u := newUpstream(t, func(c *upstreamConn) {
		if line, _ := c.r.ReadString('\n'); line == "reset\n" {
			c.reset()
			return
		}
		_, err := c.r.ReadByte()
		ended <- err
	})
	p := run(t, setup{listeners: tcpFront("cluster: up"), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	c := dial(t, p.addr("front"))
	c.send("reset\n")
	c.rest()
	c = dial(t, p.addr("front"))
	c.send("hello\n")
	p.wantStats(map[string]int64{"cluster.up.upstream_cx_tx_bytes_total": 12})
	reset(c.Conn)
	if err := <-ended; err == nil {
		t.Error("the upstream reads on after the client's reset")
	}
}

func TestTCPIdleTimeout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, (*upstreamConn).stall)
	p := run(t, setup{listeners: tcpFront("cluster: up, idle_timeout: 0.2s"), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	dial(t, p.addr("front")).wantClosed()
	p.wantStats(map[string]int64{"tcp.tcp.idle_timeout": 1})
}

func TestTCPWeightedClusters(t *testing.T) {
	t.Parallel()
	a := newUpstream(t, func(c *upstreamConn) { c.send("a") })
	b := newUpstream(t, func(c *upstreamConn) { c.send("b") })
	p := run(t, setup{listeners: tcpFront("weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 3}]}"),
		clusters: []cluster{{name: "a", hosts: []*upstream{a}}, {name: "b", hosts: []*upstream{b}}}})
	var got strings.Builder
	for range 100 {
		got.WriteString(dial(t, p.addr("front")).rest())
	}
	if n := strings.Count(got.String(), "a"); n < 5 || n > 50 || len(got.String()) != 100 {
		t.Errorf("%d of %d connections went to the cluster of weight 1 in 4", n, got.Len())
	}
}

func TestEchoAndDirectResponse(t *testing.T) {
	t.Parallel()
	p := run(t, setup{listeners: []listener{
		{name: "echo", filters: []string{extension("envoy.filters.network.echo", "envoy.extensions.filters.network.echo.v3.Echo", "")}},
		{name: "direct", filters: []string{directResponse("fixed text")}},
	}})
	c := dial(t, p.addr("echo"))
	body := noise(1 << 20)
	go func() {
		c.send(body)
		c.closeWrite()
	}()
	if got := c.rest(); got != body {
		t.Errorf("%d bytes came back of %d", len(got), len(body))
	}
	if got := dial(t, p.addr("direct")).rest(); got != "fixed text" {
		t.Errorf("direct response %q", got)
	}
}

// TestNetworkLimits: the filters that end connections before they reach the proxy
// filter.
func TestNetworkLimits(t *testing.T) {
	t.Parallel()
	limit := extension("envoy.filters.network.connection_limit", "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
		"stat_prefix: l, max_connections: 2")
	rate := extension("envoy.filters.network.local_ratelimit", "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
		"stat_prefix: r, token_bucket: {max_tokens: 3, fill_interval: 3600s}")
	echo := extension("envoy.filters.network.echo", "envoy.extensions.filters.network.echo.v3.Echo", "")
	p := run(t, setup{listeners: []listener{{name: "limited", filters: []string{limit, echo}}, {name: "rated", filters: []string{rate, echo}}}})

	var open []*client
	for range 2 {
		c := dial(t, p.addr("limited"))
		c.send("x")
		c.want("x")
		open = append(open, c)
	}
	dial(t, p.addr("limited")).wantClosed()
	p.wantStats(map[string]int64{"connection_limit.l.limited_connections": 1, "connection_limit.l.active_connections": 2})
	open[0].Close()
	p.wantStats(map[string]int64{"connection_limit.l.active_connections": 1})
	c := dial(t, p.addr("limited"))
	c.send("y")
	c.want("y")

	for range 3 {
		c := dial(t, p.addr("rated"))
		c.send("x")
		c.want("x")
	}
	dial(t, p.addr("rated")).wantClosed()
	p.wantStats(map[string]int64{"local_rate_limit.r.rate_limited": 1})
}
