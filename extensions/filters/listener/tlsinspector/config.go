// Package tlsinspector is the filter envoy.filters.listener.tls_inspector: it tells TLS
// from plain text, and reads the server name and protocols that a client asks for.
package tlsinspector

import (
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.tls_inspector" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &tlsinspectorv3.TlsInspector{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", Names: []string{
		"enable_ja3_fingerprinting", "enable_ja4_fingerprinting", "initial_read_buffer_size",
		"close_connection_on_client_hello_parsing_errors", "max_client_hello_size"}}}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (f Factory) BuildListenerFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter {
	m, before := msg.(*tlsinspectorv3.TlsInspector), len(*errs)
	conf.Check(m, f.Fields()[0], path, errs)
	c := &config{
		ja3:          m.GetEnableJa3Fingerprinting().GetValue(),
		ja4:          m.GetEnableJa4Fingerprinting().GetValue(),
		closeOnError: m.GetCloseConnectionOnClientHelloParsingErrors(),
		max:          maxMessage,
	}
	if v := m.GetMaxClientHelloSize(); v != nil {
		if c.max = int(v.GetValue()); c.max <= 255 || c.max > maxMessage {
			errs.Add(path.Field("max_client_hello_size"), "must be from 256 to %d, is %d", maxMessage, c.max)
		}
	}
	c.initial = c.max
	if v := m.GetInitialReadBufferSize(); v != nil {
		if v.GetValue() <= 255 || v.GetValue() > 1<<16 {
			errs.Add(path.Field("initial_read_buffer_size"), "must be from 256 to 65536, is %d", v.GetValue())
		}
		c.initial = min(c.max, int(v.GetValue()))
	}
	if len(*errs) > before {
		return nil
	}
	c.stats = newFilterStats(ctx.Stats.Scope("tls_inspector."))
	return func() network.ListenerFilter { return &filter{config: c, limit: c.initial} }
}

// A config is what the filters of a listener share, on all workers. It is immutable.
type config struct {
	ja3, ja4     bool
	closeOnError bool
	max, initial int // bytes
	stats        filterStats
}

// filterStats are tls_inspector.*.
type filterStats struct {
	tooLarge, tlsFound, tlsNotFound, alpnFound, alpnNotFound, sniFound, sniNotFound *stats.Counter

	processed stats.Histogram
}

func newFilterStats(scope stats.Scope) filterStats {
	return filterStats{
		tooLarge:     scope.Counter("client_hello_too_large"),
		tlsFound:     scope.Counter("tls_found"),
		tlsNotFound:  scope.Counter("tls_not_found"),
		alpnFound:    scope.Counter("alpn_found"),
		alpnNotFound: scope.Counter("alpn_not_found"),
		sniFound:     scope.Counter("sni_found"),
		sniNotFound:  scope.Counter("sni_not_found"),
		processed:    scope.Histogram("bytes_processed", stats.Bytes),
	}
}
