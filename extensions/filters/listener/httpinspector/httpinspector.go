// Package httpinspector is the filter envoy.filters.listener.http_inspector: it tells
// which version of HTTP a connection without TLS begins with.
package httpinspector

import (
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

const (
	firstLook = 8 << 10 // bytes; doubles as needed
	maxLook   = 64 << 10
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.http_inspector" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &httpinspectorv3.HttpInspector{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"}}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (Factory) BuildListenerFilter(_ proto.Message, ctx extension.NetworkContext, _ conf.Path, _ *conf.Errors) func() network.ListenerFilter {
	scope := ctx.Stats.Scope("http_inspector.")
	shared := &config{readError: scope.Counter("read_error")}
	for p, name := range map[protocol]string{http10: "http10_found", http11: "http11_found", http2: "http2_found", notHTTP: "http_not_found"} {
		shared.found[p] = scope.Counter(name)
	}
	return func() network.ListenerFilter { return &filter{config: shared, limit: firstLook} }
}

// A config is what the filters of a listener share, on all workers.
type config struct {
	found     [protocols]*stats.Counter // by protocol
	readError *stats.Counter
}

// A filter is one socket's.
type filter struct {
	config *config
	cb     network.ListenerFilterCallbacks
	limit  int // bytes to look at, for now
}

// OnAccept implements network.ListenerFilter.
func (f *filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	if t := cb.Info().TransportProtocol; t != "" && t != "raw_buffer" {
		return network.Continue
	}
	f.cb = cb
	return network.StopIteration
}

// MaxReadBytes implements network.ListenerFilter.
func (f *filter) MaxReadBytes() int { return f.limit }

// OnClose implements network.ListenerFilter.
func (f *filter) OnClose() {}

// OnData implements network.ListenerFilter.
func (f *filter) OnData(peeked []byte) network.FilterStatus {
	p, shard := detect(peeked), f.cb.Dispatcher().Shard()
	if p == undecided {
		if len(peeked) >= maxLook {
			f.config.readError.Inc(shard)
			f.cb.Continue(false)
		} else if len(peeked) >= f.limit {
			f.limit *= 2
		}
		return network.StopIteration
	}
	f.config.found[p].Inc(shard)
	if name := p.alpn(); name != "" {
		f.cb.Info().ApplicationProtocols = []string{name}
	}
	return network.Continue
}
