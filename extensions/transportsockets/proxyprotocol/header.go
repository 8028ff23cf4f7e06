package proxyprotocol

import (
	"encoding/binary"
	"math"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// maxTLVs is the room for TLVs, beside the addresses, in a header's length.
const maxTLVs = math.MaxUint16 - 36

// tlvs returns the TLVs of a header: those that are added, and those of downstream that
// are passed on, one of each type. It reports whether all had room.
func (f *clientFactory) tlvs(downstream []streaminfo.TLV) (b []byte, fit bool) {
	var seen [256]bool
	fit = true
	add := func(t streaminfo.TLV) {
		switch {
		case seen[t.Type]:
		case len(b)+3+len(t.Value) > maxTLVs:
			fit = false
		default:
			seen[t.Type] = true
			b = append(b, t.Type)
			b = binary.BigEndian.AppendUint16(b, uint16(len(t.Value)))
			b = append(b, t.Value...)
		}
	}
	for _, t := range f.added {
		add(t)
	}
	for _, t := range downstream {
		if f.pass[t.Type] {
			add(t)
		}
	}
	return b, fit
}
