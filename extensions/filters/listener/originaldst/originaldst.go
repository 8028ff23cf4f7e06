// Package originaldst is the filter envoy.filters.listener.original_dst: it restores
// the address that a redirected connection was going to.
package originaldst

import (
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.original_dst" }

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

// OnAccept implements network.ListenerFilter.
func (filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
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
