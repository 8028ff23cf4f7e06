package tlsinspector

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// The lowest and highest version that a ClientHello may have.
const minVersion, maxVersion = 0x301, 0x304

// A filter is one socket's.
type filter struct {
	config *config
	cb     network.ListenerFilterCallbacks
	limit  int // bytes to look at, for now
}

// OnAccept implements network.ListenerFilter.
func (f *filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	f.cb = cb
	return network.StopIteration
}

// MaxReadBytes implements network.ListenerFilter.
func (f *filter) MaxReadBytes() int { return f.limit }

// OnClose implements network.ListenerFilter.
func (f *filter) OnClose() {}

// OnData implements network.ListenerFilter.
func (f *filter) OnData(peeked []byte) network.FilterStatus {
	h, used, failure := read(peeked)
	c, shard := f.config, f.cb.Dispatcher().Shard()
	if failure == incomplete {
		if len(peeked) < c.max {
			if len(peeked) >= f.limit {
				f.limit = min(2*len(peeked), c.max)
			}
			return network.StopIteration
		}
		c.stats.processed.Record(shard, uint64(len(peeked)))
		c.stats.tooLarge.Inc(shard)
		f.explain("ClientHelloTooLarge")
		return f.reject()
	}
	c.stats.processed.Record(shard, uint64(used))
	switch failure {
	case none:
		return f.found(&h, shard)
	case closeNotify:
		return f.reject()
	}
	f.notFound(failure, "ClientHelloNotDetected", shard)
	if c.closeOnError {
		return f.reject()
	}
	return network.Continue
}

// found takes from a ClientHello what it says.
func (f *filter) found(h *hello, shard int) network.FilterStatus {
	c, info := f.config, f.cb.Info()
	if c.ja3 || c.ja4 {
		info.Fingerprints = new(streaminfo.Fingerprints)
	}
	if c.ja3 {
		info.Fingerprints.JA3 = h.ja3()
	}
	if c.ja4 {
		info.Fingerprints.JA4 = h.ja4()
	}
	alpn := h.alpn()
	if alpn != nil {
		info.ApplicationProtocols = alpn
	}
	if len(h.serverName) > 0 {
		info.RequestedServerName = strings.ToLower(string(h.serverName))
	}
	pick(len(h.serverName) > 0, c.stats.sniFound, c.stats.sniNotFound).Inc(shard)
	if h.version < minVersion || h.version > maxVersion {
		f.notFound(unsupportedVersion, "ClientHelloInvalidTlsVersion", shard)
		return f.reject()
	}
	c.stats.tlsFound.Inc(shard)
	pick(alpn != nil, c.stats.alpnFound, c.stats.alpnNotFound).Inc(shard)
	info.TransportProtocol = "tls"
	return network.Continue
}

func pick(found bool, yes, no *stats.Counter) *stats.Counter {
	if found {
		return yes
	}
	return no
}

func (f *filter) notFound(failure failure, why string, shard int) {
	f.config.stats.tlsNotFound.Inc(shard)
	f.explain(why)
	f.cb.Info().TransportFailure = failure.reason()
}

// explain leaves the reason for access logs.
func (f *filter) explain(why string) {
	f.cb.Stream().SetMetadata("envoy.filters.listener.tls_inspector", &structpb.Struct{
		Fields: map[string]*structpb.Value{"failure_reason": structpb.NewStringValue(why)},
	})
}

func (f *filter) reject() network.FilterStatus {
	f.cb.Continue(false)
	return network.StopIteration
}
