package listener

import (
	"net/netip"
	"strings"
	"testing"

	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// redirect is the filter original_dst of a system that redirects all connections.
type redirect struct {
	network.ListenerFilter
	from *address.Address
}

func (redirect) Name() string          { return "envoy.filters.listener.original_dst" }
func (redirect) Category() string      { return extension.ListenerFilters }
func (redirect) Config() proto.Message { return &originaldstv3.OriginalDst{} }
func (redirect) Fields() []conf.Fields { return nil }

func (f redirect) BuildListenerFilter(proto.Message, extension.NetworkContext, conf.Path, *conf.Errors) func() network.ListenerFilter {
	return func() network.ListenerFilter { return f }
}

func (f redirect) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	cb.Info().Local = *f.from
	return network.Continue
}

func TestHandOff(t *testing.T) {
	r := newRig(t)
	var from address.Address
	if err := r.manager.options.Context.Registry.Add(redirect{from: &from}, growFactory{r}); err != nil {
		t.Fatal(err)
	}
	unbound := func(name, addr, more string) string {
		return `name: "` + name + `" stat_prefix: "` + name + `" address {socket_address {` + addr + `}} bind_to_port {value: false} default_filter_chain {ECHO} ` + more
	}
	front := r.add(`name: "front" stat_prefix: "front" address {ADDRESS} use_original_dst {value: true} default_filter_chain {ECHO} ` + strings.ReplaceAll(growFilter, "N", "1"))[0]
	r.add(unbound("one", `address: "10.0.0.1" port_value: 1`, "use_original_dst {value: true} per_connection_buffer_limit_bytes {value: 3} "+strings.ReplaceAll(growFilter, "N", "2")))
	r.add(unbound("plain", `address: "10.0.0.2" port_value: 2`, ""))
	r.add(unbound("all", `address: "0.0.0.0" port_value: 3`, ""))
	r.add(unbound("six", `address: "::" port_value: 4 ipv4_compat: true`, ""))
	taken := map[string]uint64{}
	for _, test := range []struct{ to, by string }{
		{"10.0.0.1:1", "one"}, {"10.0.0.2:2", "plain"}, {"10.0.0.1:3", "all"}, {"10.0.0.9:4", "six"}, {"[2001:db8::1]:4", "six"},
		{"10.0.0.1:2", "front"}, {"[2001:db8::1]:3", "front"}, {front, "front"},
	} {
		from = address.FromAddrPort(netip.MustParseAddrPort(test.to))
		c := r.dial(front)
		r.wantEcho(c, "hello")
		taken[test.by]++
		for name, n := range taken {
			if got := r.stats.Value("listener." + name + ".downstream_cx_total"); got != n {
				t.Errorf("to %s: %s has taken %d, want %d", test.to, name, got, n)
			}
		}
		if got := r.stats.Value("listener." + test.by + ".downstream_cx_active"); got != 1 {
			t.Errorf("to %s: %d are active", test.to, got)
		}
		c.Close()
		r.untilStat("listener."+test.by+".downstream_cx_active", 0)
	}
	if got := strings.Join(r.oplog[:3], " "); got != "h h he" {
		t.Errorf("the filters of both listeners saw %q", got)
	}

	from = address.FromAddrPort(netip.MustParseAddrPort("10.0.0.1:1"))
	r.manager.Remove("one")
	r.turn()
	r.turn()
	r.wantEcho(r.dial(front), "hello")
	if got := r.stats.Value("listener.front.downstream_cx_total"); got != taken["front"]+1 {
		t.Errorf("a listener that is gone still takes connections")
	}
}
