package originalsrc

import (
	"net/netip"
	"testing"

	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestOriginalSrc(t *testing.T) {
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(&originalsrcv3.OriginalSrc{Mark: 7}, extension.NetworkContext{}, conf.Path{}, &errs)
	for _, tc := range []struct {
		remote address.Address
		want   string // "" for none
	}{
		{address.FromAddrPort(netip.MustParseAddrPort("10.1.2.3:4567")), "10.1.2.3:0"},
		{address.FromAddrPort(netip.MustParseAddrPort("[2001:db8::1]:4567")), "[2001:db8::1]:0"},
		{address.Unix("/run/x"), ""},
		{address.Internal("x", ""), ""},
	} {
		s := listenerfilter.New(loop.New(1), build())
		s.Connection.Remote = tc.remote // as a filter before has left it
		s.Accept()
		source := s.Connection.Source
		if !s.Done || (source == nil) != (tc.want == "") || source != nil && (source.Address.String() != tc.want || source.Mark != 7) {
			t.Errorf("%s: %v, %+v", tc.remote, s.Done, source)
		}
	}
	Factory{}.BuildListenerFilter(&originalsrcv3.OriginalSrc{BindPort: true}, extension.NetworkContext{}, conf.Path{}, &errs)
	if want := "bind_port: field bind_port is not implemented"; errs.Error() != want {
		t.Errorf("got %q, want %q", errs.Error(), want)
	}
}
