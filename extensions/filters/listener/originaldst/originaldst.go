// Package originaldst is the filter envoy.filters.listener.original_dst: it restores
// the address that a redirected connection was going to.
package originaldst

import (
	"net/netip"

	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// name is that of the filter and of its metadata.
const name = "envoy.filters.listener.original_dst"

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return name }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &originaldstv3.OriginalDst{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (Factory) BuildListenerFilter(proto.Message, extension.NetworkContext, conf.Path, *conf.Errors) func() network.ListenerFilter {
	return func() network.ListenerFilter { return filter{} }
}

type filter struct{}

// OnAccept implements network.ListenerFilter. The system knows nothing of the connections of
// internal listeners; who made them may have left word in their metadata or filter state.
func (filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	if info := cb.Info(); info.DirectLocal.IsInternal() {
		if local, err := netip.ParseAddrPort(cb.Stream().Metadata[name].GetFields()["local"].GetStringValue()); err == nil {
			info.Local = address.FromAddrPort(local)
		} else if local, ok := info.FilterState[filterstate.OriginalLocal].(filterstate.Address); ok {
			info.Local = local.Address
		}
		if remote, ok := info.FilterState[filterstate.OriginalRemote].(filterstate.Address); ok {
			info.Remote = remote.Address
		}
		return network.Continue
	}
	if to, ok := cb.OriginalDestination(); ok {
		cb.Info().Local = to
	}
	return network.Continue
}

// OnData implements network.ListenerFilter; it is not called.
func (filter) OnData([]byte) network.FilterStatus { return network.Continue }

// MaxReadBytes implements network.ListenerFilter.
func (filter) MaxReadBytes() int { return 0 }

// OnClose implements network.ListenerFilter.
func (filter) OnClose() {}
