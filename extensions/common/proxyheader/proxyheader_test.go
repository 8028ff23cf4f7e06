package proxyheader

import (
	"net/netip"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
)

func TestAppend(t *testing.T) {
	ip := func(text string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(text)) }
	const begin = "x\r\n\r\n\x00\r\nQUIT\n"
	for _, c := range []struct {
		from, to address.Address
		v1, v2   string
	}{
		{ip("192.0.2.1:1000"), ip("192.0.2.2:80"), "xPROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n",
			begin + "\x21\x11\x00\x0d\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x50t"},
		{ip("[::1]:1"), ip("[::2]:2"), "xPROXY TCP6 ::1 ::2 1 2\r\n", begin + "\x21\x21\x00\x25" +
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x00\x02t"},
		{address.Unix("/a"), address.Unix("/b"), "xPROXY UNKNOWN\r\n", begin + "\x20\x00\x00\x00"},
		{address.Address{}, ip("192.0.2.2:80"), "xPROXY UNKNOWN\r\n", begin + "\x20\x00\x00\x00"},
	} {
		if got := string(AppendVersion1([]byte("x"), c.from, c.to)); got != c.v1 {
			t.Errorf("%s: %q", c.from, got)
		}
		if got := string(AppendVersion2([]byte("x"), c.from, c.to, []byte("t"))); got != c.v2 {
			t.Errorf("%s: %q", c.from, got)
		}
	}
}
