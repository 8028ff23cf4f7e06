// Package setfilterstate is the filter envoy.filters.network.set_filter_state: it puts values
// into the filter state of connections.
package setfilterstate

import (
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/extensions/common/setfilterstate"
)

// Factory is the extension.NetworkFilterFactory of the filter.
type Factory struct{}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.set_filter_state" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &statev3.Config{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.set_filter_state.v3.Config", Names: []string{
		"on_new_connection", "on_downstream_tls_handshake", "on_downstream_data"}}, setfilterstate.Fields()}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return false }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	m, before := msg.(*statev3.Config), len(*errs)
	c := &config{
		onNew:       setfilterstate.New(m.GetOnNewConnection(), ctx.Formats, path.Field("on_new_connection"), errs),
		onHandshake: setfilterstate.New(m.GetOnDownstreamTlsHandshake(), ctx.Formats, path.Field("on_downstream_tls_handshake"), errs),
		onData:      setfilterstate.New(m.GetOnDownstreamData(), ctx.Formats, path.Field("on_downstream_data"), errs),
	}
	if len(*errs) > before {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{config: c}) }
}

// A config is what to set, and when. It is immutable.
type config struct{ onNew, onHandshake, onData setfilterstate.Values }

// A filter is the filter of one connection.
type filter struct {
	config *config
	conn   network.Connection
	data   bool // there was some
}

// InitializeRead implements network.ReadFilter. Filters behind this one are told of the
// handshake after it.
func (f *filter) InitializeRead(cb network.ReadCallbacks) {
	f.conn = cb.Connection()
	if len(f.config.onHandshake) > 0 {
		f.conn.AddCallbacks(f)
	}
}

// OnNewConnection implements network.ReadFilter. Without TLS there is no handshake to wait
// for.
func (f *filter) OnNewConnection() network.FilterStatus {
	f.set(f.config.onNew)
	if !f.conn.Info().Secure {
		f.set(f.config.onHandshake)
	}
	return network.Continue
}

// OnData implements network.ReadFilter.
func (f *filter) OnData(*buffer.Buffer, bool) network.FilterStatus {
	if !f.data {
		f.data = true
		f.set(f.config.onData)
	}
	return network.Continue
}

// OnEvent implements network.Callbacks.
func (f *filter) OnEvent(e network.Event) {
	if e == network.Connected {
		f.set(f.config.onHandshake)
	}
}

// OnWriteBufferHigh implements network.Callbacks.
func (*filter) OnWriteBufferHigh() {}

// OnWriteBufferLow implements network.Callbacks.
func (*filter) OnWriteBufferLow() {}

func (f *filter) set(values setfilterstate.Values) {
	if len(values) == 0 {
		return
	}
	d := f.conn.Dispatcher()
	e := format.Entry{Stream: f.conn.Stream(), Now: d.Now(), Shard: d.Shard(), Random: d.Random()}
	values.Set(f.conn.Info(), nil, &e)
}
