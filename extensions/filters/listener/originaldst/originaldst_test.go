package originaldst

import (
	"net/netip"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestOriginalDst(t *testing.T) {
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(Factory{}.Config(), extension.NetworkContext{}, conf.Path{}, &errs)
	original := address.FromAddrPort(netip.MustParseAddrPort("10.0.0.1:443"))
	for _, tc := range []struct {
		original address.Address
		want     string
	}{{original, "10.0.0.1:443"}, {address.Address{}, "127.0.0.1:80"}} {
		s := listenerfilter.New(loop.New(1), build())
		s.Original = tc.original
		if s.Accept(); !s.Done || s.Connection.Local.String() != tc.want || s.Connection.DirectLocal.String() != "127.0.0.1:80" {
			t.Errorf("%v, %s, %s", s.Done, s.Connection.Local, s.Connection.DirectLocal)
		}
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
