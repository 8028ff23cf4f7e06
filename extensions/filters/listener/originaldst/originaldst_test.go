package originaldst

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
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
	for _, tc := range []struct{ metadata, local, remote string }{
		{"", "10.0.0.2:1", "10.0.0.3:2"}, {"10.0.0.4:3", "10.0.0.4:3", "10.0.0.3:2"}, {"x", "10.0.0.2:1", "10.0.0.3:2"},
	} {
		s := listenerfilter.New(loop.New(1), build())
		s.Original = original
		s.Connection.DirectLocal = address.Internal("in", "")
		s.Connection.SetFilterState(filterstate.OriginalLocal, filterstate.Address{Address: address.FromAddrPort(netip.MustParseAddrPort("10.0.0.2:1"))})
		s.Connection.SetFilterState(filterstate.OriginalRemote, filterstate.Address{Address: address.FromAddrPort(netip.MustParseAddrPort("10.0.0.3:2"))})
		s.Streaminfo.SetMetadata(name, &structpb.Struct{Fields: map[string]*structpb.Value{"local": structpb.NewStringValue(tc.metadata)}})
		if s.Accept(); !s.Done || s.Connection.Local.String() != tc.local || s.Connection.Remote.String() != tc.remote {
			t.Errorf("internal: %s, %s", s.Connection.Local, s.Connection.Remote)
		}
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
