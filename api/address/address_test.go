package address

import (
	"net"
	"net/netip"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		a                 Address
		text, withoutPort string
		unix              bool
	}{
		{FromAddrPort(netip.MustParseAddrPort("127.0.0.1:10000")), "127.0.0.1:10000", "127.0.0.1", false},
		{FromAddrPort(netip.MustParseAddrPort("[::ffff:10.1.2.3]:0")), "10.1.2.3:0", "10.1.2.3", false},
		{FromAddrPort(netip.MustParseAddrPort("[::1]:80")), "[::1]:80", "::1", false},
		{Unix("/tmp/s"), "/tmp/s", "/tmp/s", true},
		{FromNetAddr(&net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 5}), "1.2.3.4:5", "1.2.3.4", false},
		{FromNetAddr(&net.UnixAddr{Name: "@x"}), "@x", "@x", true},
		{Address{}, "", "", false},
	} {
		if c.a.String() != c.text || c.a.WithoutPort() != c.withoutPort || c.a.IsUnix() != c.unix || c.a.IsValid() != (c.text != "") {
			t.Errorf("%q: %q, unix %v, valid %v", c.a, c.a.WithoutPort(), c.a.IsUnix(), c.a.IsValid())
		}
	}
	if one, _ := net.Pipe(); FromNetAddr(one.LocalAddr()).IsValid() {
		t.Error("a pipe has an address")
	}
}

func TestInternal(t *testing.T) {
	a := Internal("a/b", "c")
	if a.String() != "envoy://a/b/c" || a.WithoutPort() != a.String() || a.Path() != "a/b" || a.EndpointID() != "c" ||
		!a.IsInternal() || a.IsUnix() || !a.IsValid() || a.IP().IsValid() || a.Port() != 0 {
		t.Errorf("%q: listener %q, endpoint %q", a, a.Path(), a.EndpointID())
	}
	if b := Internal("a", "b/c"); a == b || a != Internal("a/b", "c") || b.EndpointID() != "b/c" {
		t.Error("addresses are mixed up")
	}
	if a := Internal("", ""); !a.IsInternal() || a.IsUnix() || a.String() != "envoy:///" || a.EndpointID() != "" {
		t.Errorf("%q", a)
	}
	for _, a := range []Address{{}, Unix("/x"), Unix("envoy://a/"), FromAddrPort(netip.MustParseAddrPort("1.2.3.4:5"))} {
		if a.IsInternal() || a.EndpointID() != "" {
			t.Errorf("%q is internal", a)
		}
	}
}

func TestRanges(t *testing.T) {
	r := Ranges{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0"),
	}
	for _, c := range []struct {
		ip   string
		bits int
		ok   bool
	}{
		{"10.2.0.1", 8, true}, {"10.1.0.1", 16, true}, {"10.1.2.3", 32, true}, {"::ffff:10.1.2.3", 32, true},
		{"11.0.0.0", 0, false}, {"2001:db8::1%eth0", 32, true}, {"::1", 0, true},
	} {
		ip := netip.MustParseAddr(c.ip)
		if bits, ok := r.Longest(ip); bits != c.bits || ok != c.ok || r.Contains(ip) != c.ok {
			t.Errorf("%s: %d, %v", c.ip, bits, ok)
		}
	}
	if r.Contains(netip.Addr{}) {
		t.Error("no address is in a range")
	}
}
