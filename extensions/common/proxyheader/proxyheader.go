// Package proxyheader writes the headers of the PROXY protocol.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
package proxyheader

import (
	"encoding/binary"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/address"
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

// AppendVersion1 appends a header of version 1; without addresses that it knows it says
// so.
func AppendVersion1(b []byte, from, to address.Address) []byte {
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

// AppendLocal appends a header of version 2 that says nothing of a client.
func AppendLocal(b []byte) []byte { return append(append(b, signature...), commandLocal, 0, 0, 0) }

// AppendVersion2 appends a header of version 2.
func AppendVersion2(b []byte, from, to address.Address, tlvs []byte) []byte {
	if from.IsUnix() || to.IsUnix() || !from.IsValid() || !to.IsValid() {
		return AppendLocal(b)
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
