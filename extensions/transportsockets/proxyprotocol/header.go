package proxyprotocol

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Bytes of a header of version 2.
const (
	commandLocal = 0x20
	commandProxy = 0x21
	tcp4         = 0x11
	tcp6         = 0x21
)

// maxTLVs is the room for TLVs, beside the addresses, in a header's length.
const maxTLVs = math.MaxUint16 - 36

// appendVersion1 appends a header of version 1; without addresses that it knows it says
// so.
func appendVersion1(b []byte, from, to address.Address) []byte {
	if from.IsUnix() || to.IsUnix() || !from.IsValid() || !to.IsValid() {
		return append(b, "PROXY UNKNOWN\r\n"...)
	}
	family := "PROXY TCP6 "
	if from.IP().Is4() {
		family = "PROXY TCP4 "
	}
	b = append(b, family...)
	b = append(from.IP().AppendTo(b), ' ')
	b = append(to.IP().AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(from.Port()), 10), ' ')
	return append(strconv.AppendUint(b, uint64(to.Port()), 10), "\r\n"...)
}

// appendLocal appends a header of version 2 that says nothing of a client.
func appendLocal(b []byte) []byte { return append(append(b, signature...), commandLocal, 0, 0, 0) }

// appendVersion2 appends a header of version 2.
func appendVersion2(b []byte, from, to address.Address, tlvs []byte) []byte {
	if from.IsUnix() || to.IsUnix() || !from.IsValid() || !to.IsValid() {
		return appendLocal(b)
	}
	b = append(append(b, signature...), commandProxy)
	if source, destination := from.IP().Unmap(), to.IP().Unmap(); source.Is4() && destination.Is4() {
		b = append(b, tcp4)
		b = binary.BigEndian.AppendUint16(b, uint16(12+len(tlvs)))
		b = append(append(b, source.AsSlice()...), destination.AsSlice()...)
	} else {
		b = append(b, tcp6)
		b = binary.BigEndian.AppendUint16(b, uint16(36+len(tlvs)))
		s, d := from.IP().As16(), to.IP().As16()
		b = append(append(b, s[:]...), d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	return append(b, tlvs...)
}

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
