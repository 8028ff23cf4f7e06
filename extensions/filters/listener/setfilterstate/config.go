// Package setfilterstate is the filter envoy.filters.listener.set_filter_state: it puts
// values into the filter state of connections, before their filter chain is chosen.
package setfilterstate

import (
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/set_filter_state/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/extensions/common/setfilterstate"
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.set_filter_state" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &statev3.Config{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.listener.set_filter_state.v3.Config", Names: []string{"on_accept"}},
		setfilterstate.Fields()}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (Factory) BuildListenerFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter {
	before := len(*errs)
	f := &filter{setfilterstate.New(msg.(*statev3.Config).GetOnAccept(), ctx.Formats, path.Field("on_accept"), errs)}
	if len(*errs) > before {
		return nil
	}
	return func() network.ListenerFilter { return f }
}

// A filter is shared by the sockets of all workers. It is immutable.
type filter struct{ values setfilterstate.Values }

// OnAccept implements network.ListenerFilter.
func (f *filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	d := cb.Dispatcher()
	e := format.Entry{Stream: cb.Stream(), Now: d.Now(), Shard: d.Shard(), Random: d.Random()}
	f.values.Set(cb.Info(), nil, &e)
	return network.Continue
}

// OnData implements network.ListenerFilter; it is not called.
func (*filter) OnData([]byte) network.FilterStatus { return network.Continue }

// MaxReadBytes implements network.ListenerFilter.
func (*filter) MaxReadBytes() int { return 0 }

// OnClose implements network.ListenerFilter.
func (*filter) OnClose() {}
