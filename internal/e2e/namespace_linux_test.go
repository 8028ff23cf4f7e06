package e2e

import (
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var namespaceFlag = flag.Bool("namespace", false, "run the tests that need a network of their own: with nft, ip and unshare")

// insideVariable is set in the process that runs a test in its namespace.
const insideVariable = "NUNCIO_E2E_INSIDE"

// isolated runs the test that calls it in another process, which has a network of its
// own, and reports whether it is that process. There 10.0.0.0/8 and ::1 are this host;
// 192.0.2.0/24 is too, but only for packets with the mark 1, so that nobody can bind to
// it in the usual way.
func isolated(t *testing.T) bool {
	t.Helper()
	if !*namespaceFlag {
		t.Skip("needs -namespace; test.sh gives it")
	}
	if os.Getenv(insideVariable) != "" {
		shell(t, "ip link set lo up && ip address add 10.0.0.1/8 dev lo && ip address add 2001:db8::1/64 dev lo nodad && "+
			"ip route add local 192.0.2.0/24 dev lo table 100 && ip rule add fwmark 1 lookup 100 && ip route add 192.0.2.0/24 dev lo && "+
			"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lo.rp_filter=0 net.ipv4.conf.all.accept_local=1", "")
		return true
	}
	args := []string{"--net", os.Args[0], "-test.run=^" + t.Name() + "$", "-namespace", "-proxy", program}
	if os.Getuid() != 0 {
		args = append([]string{"--map-root-user"}, args...)
	}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func shell(t *testing.T, command, input string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

const originalDst = `{name: dst, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}`

// TestRedirected: filter chains are chosen by where a connection went before the system
// redirected it, if the listener has the filter that finds that out.
func TestRedirected(t *testing.T) {
	if !isolated(t) {
		return
	}
	chains := "filter_chains: [" +
		"{filter_chain_match: {destination_port: 4242, prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}, {address_prefix: '2001:db8::', prefix_len: 64}]}, filters: [" + directResponse("redirected") + "]}], default_filter_chain: {filters: [" + directResponse("direct") + "]}"
	p := run(t, setup{listeners: []listener{
		{name: "with", fields: chains + ", listener_filters: [" + originalDst + "]"},
		{name: "without", fields: chains},
		{name: "v6", address: `{socket_address: {address: "::1", port_value: 0}}`, fields: chains + ", listener_filters: [" + originalDst + "]"},
	}})
	shell(t, "nft -f -", `
table inet t {
	chain out {
		type nat hook output priority -100;
		ip daddr 10.1.2.3 tcp dport 4242 redirect to :`+portOf(t, p.addr("with"))+`
		ip daddr 10.2.2.3 tcp dport 4242 redirect to :`+portOf(t, p.addr("with"))+`
		ip daddr 10.1.2.4 tcp dport 4242 redirect to :`+portOf(t, p.addr("without"))+`
		ip6 daddr 2001:db8::1 tcp dport 4242 redirect to :`+portOf(t, p.addr("v6"))+`
	}
}`)
	for addr, want := range map[string]string{
		"10.1.2.3:4242": "redirected", "10.2.2.3:4242": "direct", "10.1.2.4:4242": "direct", "[2001:db8::1]:4242": "redirected",
		p.addr("with"): "direct", p.addr("v6"): "direct",
	} {
		if got := dial(t, addr).rest(); got != want {
			t.Errorf("%s answers %q, want %q", addr, got, want)
		}
	}
}

// TestHandedOff: a listener with use_original_dst gives redirected connections to the
// listener at the address that they were for, which binds no socket.
func TestHandedOff(t *testing.T) {
	if !isolated(t) {
		return
	}
	p := run(t, setup{listeners: []listener{
		{name: "front", filters: []string{directResponse("front")}, fields: "use_original_dst: true"},
		{name: "one", address: `{socket_address: {address: 10.1.2.3, port_value: 4242}}`, filters: []string{directResponse("one")}, fields: "bind_to_port: false"},
		{name: "all", address: `{socket_address: {address: 0.0.0.0, port_value: 4243}}`, filters: []string{directResponse("all")}, fields: "bind_to_port: false"},
	}})
	shell(t, "nft -f -", `
table ip t {
	chain out {
		type nat hook output priority -100;
		ip daddr 10.1.0.0/16 tcp dport 4242-4244 redirect to :`+portOf(t, p.addr("front"))+`
	}
}`)
	for addr, want := range map[string]string{
		"10.1.2.3:4242": "one", "10.1.2.4:4242": "front", "10.1.2.3:4243": "all", "10.1.2.3:4244": "front", p.addr("front"): "front",
	} {
		if got := dial(t, addr).rest(); got != want {
			t.Errorf("%s answers %q, want %q", addr, got, want)
		}
	}
}

// TestOriginalDstCluster: connections go on to where they were for, here but for the port.
func TestOriginalDstCluster(t *testing.T) {
	if !isolated(t) {
		return
	}
	u := sourceTeller(t)
	p := run(t, setup{
		listeners: []listener{{name: "front", filters: []string{tcpProxy("cluster: away")}, fields: "listener_filters: [" + originalDst + "]"}},
		clusters:  []cluster{{name: "away", fields: "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {upstream_port_override: " + u.port() + "}"}},
	})
	shell(t, "nft -f -", `
table ip t {
	chain out {
		type nat hook output priority -100;
		ip daddr 127.0.0.1 tcp dport 4242 redirect to :`+portOf(t, p.addr("front"))+`
	}
}`)
	if got := dial(t, "127.0.0.1:4242").rest(); got != "127.0.0.1" {
		t.Errorf("the upstream saw %q", got)
	}
	p.wantStats(map[string]int64{"cluster.away.membership_total": 1})
}

// TestTransparent: a transparent listener takes connections to any address that the
// system steers to it, and its filter finds out which.
func TestTransparent(t *testing.T) {
	if !isolated(t) {
		return
	}
	p := run(t, setup{listeners: []listener{{name: "front", fields: "transparent: true, listener_filters: [" + originalDst + "], filter_chains: [" +
		"{filter_chain_match: {destination_port: 4242, prefix_ranges: [{address_prefix: 10.1.2.3, prefix_len: 32}]}, filters: [" + directResponse("steered") + "]}], default_filter_chain: {filters: [" + directResponse("direct") + "]}"}}})
	shell(t, "nft -f -", `
table ip t {
	chain in {
		type filter hook prerouting priority mangle;
		ip daddr 10.1.0.0/16 tcp dport 4242 tproxy to 127.0.0.1:`+portOf(t, p.addr("front"))+`
	}
}`)
	for addr, want := range map[string]string{"10.1.2.3:4242": "steered", "10.1.2.4:4242": "direct", p.addr("front"): "direct"} {
		if got := dial(t, addr).rest(); got != want {
			t.Errorf("%s answers %q, want %q", addr, got, want)
		}
	}
}

// TestOriginalSource: the upstream sees the address of the client, which is not one of
// this host, and the packets to it have the mark.
func TestOriginalSource(t *testing.T) {
	if !isolated(t) {
		return
	}
	u := sourceTeller(t)
	filters := `listener_filters: [{name: proxy, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}, ` +
		`{name: src, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc, mark: 123}}]`
	p := run(t, setup{listeners: []listener{{name: "front", filters: []string{tcpProxy("cluster: up")}, fields: filters}},
		clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	shell(t, "nft -f -", answersReturn+`
table ip marked {
	chain out {
		type filter hook output priority 0;
		tcp dport `+u.port()+` meta mark != 123 reject
	}
}`)
	for _, client := range []string{"192.0.2.7", "192.0.2.8"} {
		c := dial(t, p.addr("front"))
		c.send("PROXY TCP4 " + client + " 10.0.0.1 1234 80\r\n")
		if got := c.rest(); got != client {
			t.Errorf("the upstream sees %q, want %s", got, client)
		}
	}
}

// TestFreebind: a listener with freebind listens on an address that is not one of this
// host; one without it is refused.
func TestFreebind(t *testing.T) {
	if !isolated(t) {
		return
	}
	elsewhere := func(name, fields string) listener {
		return listener{name: name, address: "{socket_address: {address: 192.0.2.10, port_value: 0}}", filters: []string{directResponse("here")}, fields: fields}
	}
	p := run(t, setup{listeners: []listener{elsewhere("free", "freebind: true")}})
	if addr := p.addr("free"); !strings.HasPrefix(addr, "192.0.2.10:") {
		t.Errorf("the listener is at %s", addr)
	}
	path := writeFile(t, filepath.Join(t.TempDir(), "bootstrap.yaml"), (&setup{listeners: []listener{elsewhere("bound", "")}}).bootstrap())
	if status, _, stderr := execute(t, "-c", path); status == 0 || !strings.Contains(stderr, "192.0.2.10") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// answersReturn are rules that bring packets to 192.0.2.0/24 back to this host, where
// they come from.
const answersReturn = `
table ip returning {
	chain out {
		type route hook output priority mangle;
		ip daddr 192.0.2.0/24 meta mark set 1
	}
}`

// sourceTeller is an upstream that tells clients their addresses.
func sourceTeller(t *testing.T) *upstream {
	return newUpstream(t, func(c *upstreamConn) {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		c.send(host)
	})
}
