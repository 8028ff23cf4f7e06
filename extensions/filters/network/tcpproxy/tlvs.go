package tcpproxy

import (
	"slices"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

// addTLVs adds the configured TLVs to what PROXY protocol headers to the host say.
func (f *filter) addTLVs() {
	c, down := f.config, f.down.Info()
	have := down.ProxyProtocol
	if len(c.tlvs) == 0 || have != nil && c.merge == tcpv3.ProxyProtocolTlvMergePolicy_ADD_IF_ABSENT {
		return
	}
	own := proxyheader.Values(c.tlvs, f.entry(format.NotSet))
	if have == nil {
		down.ProxyProtocol = &streaminfo.ProxyProtocol{Source: down.Remote, Destination: down.Local, Version: 2, TLVs: own}
		return
	}
	merged := *have
	if c.merge == tcpv3.ProxyProtocolTlvMergePolicy_APPEND_IF_EXISTS_OR_ADD {
		merged.TLVs = slices.Concat(have.TLVs, own)
	} else {
		merged.TLVs = proxyheader.Before(own, have.TLVs)
	}
	down.ProxyProtocol = &merged
}
