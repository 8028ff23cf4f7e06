package proxyprotocol

import (
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

// tlvs returns the TLVs of a header: those that are added, and those of other types that
// downstream sent and that are passed on. As in Envoy the connection to the host stands for
// the downstream in a format.
func (f *clientFactory) tlvs(downstream []streaminfo.TLV, cb transport.Callbacks) []streaminfo.TLV {
	var passed []streaminfo.TLV
	for _, t := range downstream {
		if f.pass[t.Type] {
			passed = append(passed, t)
		}
	}
	d := cb.Dispatcher()
	stream := &streaminfo.Stream{Start: d.Now(), Downstream: cb.Info(), Upstream: streaminfo.Upstream{Host: cb.Info().Remote}}
	added := proxyheader.Values(f.added, &format.Entry{Stream: stream, Now: d.Now(), Shard: d.Shard(), Random: d.Random()})
	return proxyheader.Before(added, passed)
}
