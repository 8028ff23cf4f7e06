package proxyprotocol

import (
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

// tlvs returns the TLVs of a header: those that are added, and those of other types that
// downstream sent and that are passed on.
func (f *clientFactory) tlvs(downstream []streaminfo.TLV) []streaminfo.TLV {
	var passed []streaminfo.TLV
	for _, t := range downstream {
		if f.pass[t.Type] {
			passed = append(passed, t)
		}
	}
	return proxyheader.Before(f.added, passed)
}
