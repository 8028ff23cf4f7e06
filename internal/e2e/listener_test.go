package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddresses: a listener on every kind of address answers, and admin says where.
func TestAddresses(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	abstract := fmt.Sprintf("@nuncio-e2e-%d", os.Getpid())
	listeners := []listener{
		{name: "v4", filters: []string{directResponse("v4")}},
		{name: "v6", address: `{socket_address: {address: "::1", port_value: 0}}`, filters: []string{directResponse("v6")}},
		{name: "both", address: `{socket_address: {address: "::", port_value: 0, ipv4_compat: true}}`, filters: []string{directResponse("both")}},
		{name: "pipe", address: "{pipe: {path: " + socket + ", mode: 416}}", filters: []string{directResponse("pipe")}},
		{name: "abstract", address: `{pipe: {path: "` + abstract + `"}}`, filters: []string{directResponse("abstract")}},
		{name: "more", filters: []string{directResponse("more")}, fields: "additional_addresses: [{address: " + freeAddress + `}, {address: {socket_address: {address: "::1", port_value: 0}}}]`},
	}
	p := run(t, setup{listeners: listeners})
	for _, l := range listeners {
		for _, addr := range p.listeners[l.name] {
			if l.name == "both" {
				_, port, _ := net.SplitHostPort(addr)
				addr = "127.0.0.1:" + port
			}
			if got := dial(t, addr).rest(); got != l.name {
				t.Errorf("%s at %s answers %q", l.name, addr, got)
			}
		}
	}
	if n := len(p.listeners["more"]); n != 3 {
		t.Errorf("%d addresses of the listener that has three", n)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode of the socket: %v %v", info, err)
	}
	if got := p.addr("abstract"); got != abstract {
		t.Errorf("address of the abstract socket: %q", got)
	}
}

// TestFilterChains: the chain is chosen by where a connection comes from and where
// it goes.
func TestFilterChains(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	chain := func(name, match string) string {
		return "{name: " + name + ", filter_chain_match: {" + match + "}, filters: [" + directResponse(name) + "]}"
	}
	chains := []string{
		chain("port", "destination_port: "+port),
		chain("destination", "prefix_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]"),
		chain("source", "source_prefix_ranges: [{address_prefix: 127.0.0.3, prefix_len: 32}]"),
		chain("wide", "source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 30}]"),
	}
	p := run(t, setup{listeners: []listener{
		{name: "l", address: "{socket_address: {address: 0.0.0.0, port_value: 0}}",
			fields: "filter_chains: [" + strings.Join(chains, ", ") + "], default_filter_chain: {filters: [" + directResponse("default") + "]}, additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: " + port + "}}}]"},
		{name: "none", fields: "stat_prefix: none, filter_chains: [" + chains[1] + "]"},
	}})
	_, free, _ := net.SplitHostPort(p.addr("l"))
	for _, tc := range []struct{ from, to, want string }{
		{"127.0.0.1", "127.0.0.1:" + port, "port"},
		{"127.0.0.3", "127.0.0.1:" + port, "port"},
		{"127.0.0.1", "127.0.0.2:" + free, "destination"},
		{"127.0.0.3", "127.0.0.2:" + free, "destination"},
		{"127.0.0.3", "127.0.0.1:" + free, "source"},
		{"127.0.0.1", "127.0.0.1:" + free, "wide"},
		{"127.0.0.9", "127.0.0.1:" + free, "default"},
	} {
		if got := dialFrom(t, tc.from, tc.to).rest(); got != tc.want {
			t.Errorf("from %s to %s: chain %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
	dial(t, p.addr("none")).wantClosed()
	p.wantStats(map[string]int64{"listener.none.no_filter_chain_match": 1})
}

func dialFrom(t *testing.T, from, to string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

// TestBalancing: with exact balance each worker gets as many connections, and with
// reuse_port each of them has a socket.
func TestBalancing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, fields string
		exact        bool
	}{
		{"exact", "enable_reuse_port: false, connection_balance_config: {exact_balance: {}}", true},
		{"exact_with_reuse_port", "connection_balance_config: {exact_balance: {}}", true},
		{"reuse_port", "enable_reuse_port: true", false},
		{"one_socket", "enable_reuse_port: false", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := run(t, setup{listeners: []listener{{name: "l", filters: []string{extension("envoy.filters.network.echo",
				"envoy.extensions.filters.network.echo.v3.Echo", "")}, fields: "stat_prefix: l, " + tc.fields}}})
			const n = 40
			for range n {
				c := dial(t, p.addr("l"))
				c.send("x")
				c.want("x")
			}
			p.wantStats(map[string]int64{"listener.l.downstream_cx_total": n, "listener.l.downstream_cx_active": n})
			all := p.stats()
			first, second := all["listener.l.worker_0.downstream_cx_active"], all["listener.l.worker_1.downstream_cx_active"]
			if first+second != n || tc.exact && first != second {
				t.Errorf("the workers have %d and %d connections", first, second)
			}
			if tc.name == "reuse_port" && (first == 0 || second == 0) {
				t.Errorf("the kernel gave all connections to one worker: %d and %d", first, second)
			}
		})
	}
}

// TestConnectionLimits: one listener has a limit, and all together have one.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	echo := []string{extension("envoy.filters.network.echo", "envoy.extensions.filters.network.echo.v3.Echo", "")}
	p := run(t, setup{
		listeners: []listener{{name: "limited", filters: echo, fields: "stat_prefix: limited"}, {name: "free", filters: echo, fields: "stat_prefix: free"}},
		fields: "layered_runtime: {layers: [{name: static, static_layer: {envoy.resource_limits.listener.limited.connection_limit: 2, " +
			"overload.global_downstream_max_connections: 5}}]}",
	})
	var open []*client
	fill := func(listener string, n int) {
		for range n {
			c := dial(t, p.addr(listener))
			c.send("x")
			c.want("x")
			open = append(open, c)
		}
	}
	fill("limited", 2)
	dial(t, p.addr("limited")).rest()
	fill("free", 3)
	dial(t, p.addr("free")).rest()
	for _, c := range open {
		c.Close()
	}
	p.wantStats(map[string]int64{"listener.limited.downstream_cx_active": 0, "listener.free.downstream_cx_active": 0,
		"listener.limited.downstream_cx_overflow": 1, "listener.free.downstream_global_cx_overflow": 1,
		"listener.limited.downstream_cx_total": 2, "listener.free.downstream_cx_total": 3})
	fill("limited", 1)
	fill("free", 1)
}
