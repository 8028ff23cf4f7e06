// Package originalsrc is the filter envoy.filters.listener.original_src: upstream
// connections are made from the address of the client.
package originalsrc

import (
	"net/netip"

	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.original_src" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &originalsrcv3.OriginalSrc{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.filters.listener.original_src.v3.OriginalSrc", Names: []string{"mark"}}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (Factory) BuildListenerFilter(msg proto.Message, _ extension.NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter {
	conf.Check(msg, fields(), path, errs)
	f := filter{mark: msg.(*originalsrcv3.OriginalSrc).GetMark()}
	return func() network.ListenerFilter { return f }
}

type filter struct{ mark uint32 }

// OnAccept implements network.ListenerFilter.
func (f filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	if from := cb.Info().Remote.IP(); from.IsValid() {
		cb.Info().Source = &streaminfo.Source{Address: address.FromAddrPort(netip.AddrPortFrom(from, 0)), Mark: f.mark}
	}
	return network.Continue
}

// OnData implements network.ListenerFilter; it is not called.
func (filter) OnData([]byte) network.FilterStatus { return network.Continue }

// MaxReadBytes implements network.ListenerFilter.
func (filter) MaxReadBytes() int { return 0 }

// OnClose implements network.ListenerFilter.
func (filter) OnClose() {}
