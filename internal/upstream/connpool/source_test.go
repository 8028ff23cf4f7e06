package connpool

import (
	"net/netip"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// TestSources: requests share connections with those from the same source only, and the
// dialer is told of the source.
func TestSources(t *testing.T) {
	h := newHarness(defaultLimits(), t.Logf)
	from := func(ip string, mark uint32) *upstream.Pick {
		a := address.FromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0))
		return &upstream.Pick{Downstream: &streaminfo.Connection{Source: &streaminfo.Source{Address: a, Mark: mark}}}
	}
	plain := &upstream.Pick{Downstream: &streaminfo.Connection{}}
	if h.pool.pool(plain) != h.pool.main || h.pool.pool(&upstream.Pick{}) != h.pool.main {
		t.Error("requests without a source have a pool of their own")
	}
	one := h.pool.pool(from("10.0.0.1", 1))
	if one != h.pool.pool(from("10.0.0.1", 1)) || one == h.pool.main {
		t.Error("requests with the same source do not share a pool")
	}
	if one == h.pool.pool(from("10.0.0.2", 1)) || one == h.pool.pool(from("10.0.0.1", 2)) {
		t.Error("requests with different sources share a pool")
	}
	if s := one.transport.Source; s == nil || s.Address.String() != "10.0.0.1:0" || s.Mark != 1 {
		t.Errorf("connects from %+v", s)
	}
	asked := &transport.Options{ServerName: "name"}
	pick := from("10.0.0.1", 1)
	pick.Transport = asked
	if o := options(pick); o.ServerName != "name" || o.Source != pick.Downstream.Source || asked.Source != nil || options(plain) != nil {
		t.Errorf("%+v", o)
	}
}
