package cluster

import (
	"net/netip"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

const originalDst = "name: a\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\n"

func parseAddress(text string) address.Address {
	return address.FromAddrPort(netip.MustParseAddrPort(text))
}

// choose returns the address of the host for a request, "" for none.
func (b *bench) choose(pick *upstream.Pick) string {
	h := b.Get("a").(*Cluster).choose(b.loop, pick)
	b.loop.Run()
	if h == nil {
		return ""
	}
	return h.Address().String()
}

// redirected is a connection that was for an address.
func redirected(to string) *upstream.Pick {
	return &upstream.Pick{Downstream: &streaminfo.Connection{Local: parseAddress(to), DirectLocal: parseAddress("127.0.0.1:15001")}}
}

func TestOriginalDst(t *testing.T) {
	header := func(p *upstream.Pick, value string) *upstream.Pick {
		p.Request = new(httpmsg.Headers)
		p.Request.Add("x-envoy-original-dst-host", value)
		return p
	}
	state := header(redirected("10.0.0.1:80"), "10.0.0.2:80")
	state.Stream = &streaminfo.Stream{Downstream: state.Downstream}
	state.Stream.SetFilterState(filterstate.OriginalDst, filterstate.Address{Address: parseAddress("10.0.0.3:80")})
	const byHeader = "original_dst_lb_config: {use_http_header: true}\n"
	for _, test := range []struct {
		config string
		pick   *upstream.Pick
		want   string
	}{
		{"", redirected("10.0.0.1:80"), "10.0.0.1:80"},
		{"", redirected("127.0.0.1:15001"), ""},
		{"", &upstream.Pick{}, ""},
		{"", &upstream.Pick{Downstream: &streaminfo.Connection{Local: address.Unix("/a")}}, ""},
		{"", header(redirected("10.0.0.1:80"), "10.0.0.2:80"), "10.0.0.1:80"},
		{byHeader, header(redirected("10.0.0.1:80"), "[::1]:80"), "[::1]:80"},
		{byHeader, header(redirected("10.0.0.1:80"), "10.0.0.2"), "10.0.0.1:80"},
		{byHeader, header(&upstream.Pick{}, ""), ""},
		{byHeader, redirected("10.0.0.1:80"), "10.0.0.1:80"},
		{byHeader, state, "10.0.0.3:80"},
		{"original_dst_lb_config: {upstream_port_override: 8080}\n", redirected("10.0.0.1:80"), "10.0.0.1:8080"},
	} {
		b := newBench()
		b.Add(mustParse(t, originalDst+test.config), nil)
		if got := b.choose(test.pick); got != test.want {
			t.Errorf("%s: %q, want %q", test.config, got, test.want)
		}
		b.expectHosts(t, "a", test.want)
	}
}

// TestOriginalDstCleanup: a destination is one host as long as it is used.
func TestOriginalDstCleanup(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, originalDst+"cleanup_interval: 2s\noriginal_dst_lb_config: {use_http_header: true}"), nil)
	c := b.Get("a").(*Cluster)
	b.choose(redirected("10.0.0.1:80"))
	b.choose(redirected("10.0.0.2:80"))
	first, second := c.choose(b.loop, redirected("10.0.0.1:80")), c.choose(b.loop, redirected("10.0.0.2:80"))
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	if first.Hostname() != "a10.0.0.1:80" {
		t.Error(first.Hostname())
	}
	b.loop.Advance(2 * time.Second) // all were used
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	second.Stats().CxActive.Add(1)
	b.loop.Advance(2 * time.Second)
	b.expectHosts(t, "a", "10.0.0.2:80") // it has a connection
	second.Stats().CxActive.Add(-1)
	if again := c.choose(b.loop, redirected("10.0.0.1:80")); again == first {
		t.Error("a host that was removed is used")
	}
	b.loop.Run()
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	b.loop.Advance(4 * time.Second)
	b.expectHosts(t, "a", "")
	b.expect(t, map[string]uint64{"cluster.a.membership_total": 0, "cluster.a.membership_change": 6, "cluster.a.original_dst_host_invalid": 0})

	late := c.choose(b.loop, redirected("10.0.0.9:80")) // the main goroutine hears of it when the cluster is gone
	b.Remove("a")
	b.loop.Run()
	if late == nil || b.loop.ArmedTimers() != 0 {
		t.Errorf("%v, %d timers", late, b.loop.ArmedTimers())
	}
}
