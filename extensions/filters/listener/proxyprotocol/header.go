package proxyprotocol

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"

	maxLine    = 108             // of version 1, with its end
	fixedSize  = 16              // of version 2: up to the addresses
	usualSize  = fixedSize + 216 // of version 2 without extensions
	addresses4 = 12
	addresses6 = 36
)

// A result is what reading a header came to.
type result uint8

const (
	incomplete result = iota
	complete
	invalid
)

// A header is a PROXY protocol header. tlvs refers to the bytes it was read from.
type header struct {
	size                int            // in bytes, with extensions
	source, destination netip.AddrPort // not valid if the addresses of the socket stand
	tlvs                []byte
}

// version tells which version the header that data begins with has: 0 if that cannot be
// told yet, or with invalid, never. end is where a line of version 1 ends.
func version(data []byte) (v, end int, r result) {
	if len(data) >= fixedSize {
		if bytes.HasPrefix(data, []byte(signature2)) {
			return 2, 0, complete
		}
		if !bytes.HasPrefix(data, []byte(signature1)) {
			return 0, 0, invalid
		}
	}
	if bytes.HasPrefix(data, []byte(signature2[:2])) { // no line, but maybe version 2
		return 0, 0, incomplete
	}
	if end = bytes.Index(data, []byte("\r\n")) + 2; end >= 2 {
		return 1, end, complete
	}
	if len(data) > maxLine {
		return 0, 0, invalid
	}
	return 0, 0, incomplete
}

// readLine reads a header of version 1.
func readLine(line []byte) (h header, r result) {
	h.size = len(line)
	words := strings.Split(strings.TrimRight(string(line), " \t\r\n\v\f"), " ")
	switch {
	case len(line) > maxLine || len(words) < 2 || words[0] != "PROXY":
		return h, invalid
	case words[1] == "UNKNOWN":
		return h, complete
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return h, invalid
	}
	var ok [2]bool
	h.source, ok[0] = addrPort(words[2], words[4], words[1] == "TCP4")
	h.destination, ok[1] = addrPort(words[3], words[5], words[1] == "TCP4")
	if !ok[0] || !ok[1] {
		return h, invalid
	}
	return h, complete
}

func addrPort(ip, port string, want4 bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(ip)
	n, portErr := strconv.ParseUint(strings.TrimPrefix(port, "+"), 10, 16)
	return netip.AddrPortFrom(a, uint16(n)), err == nil && portErr == nil && a.Is4() == want4 && isUnicast(a)
}

// isUnicast reports whether a connection can be from or to a.
func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// readBinary reads a header of version 2, which data has at least the fixed part of.
// h.size is set also if it is incomplete.
func readBinary(data []byte) (h header, r result) {
	const local, proxy = 0, 1
	const stream, datagram = 1, 2
	command, family, transport := data[12]&0xf, data[13]>>4, data[13]&0xf
	length := int(binary.BigEndian.Uint16(data[14:]))
	h.size = fixedSize + length
	if data[12]>>4 != 2 {
		return h, invalid
	}
	if command == local { // whatever it says, the addresses of the socket stand
		return h, enough(data, h.size)
	}
	size := addresses4
	switch family {
	case 1:
	case 2:
		size = addresses6
	default:
		return h, invalid
	}
	if length < size || command != proxy || transport != stream && transport != datagram {
		return h, invalid
	}
	if len(data) < h.size {
		return h, incomplete
	}
	a := data[fixedSize : fixedSize+size]
	ip := (size - 4) / 2
	source, _ := netip.AddrFromSlice(a[:ip])
	destination, _ := netip.AddrFromSlice(a[ip : 2*ip])
	h.source = netip.AddrPortFrom(source, binary.BigEndian.Uint16(a[2*ip:]))
	h.destination = netip.AddrPortFrom(destination, binary.BigEndian.Uint16(a[2*ip+2:]))
	h.tlvs = data[fixedSize+size : h.size]
	if !isUnicast(source) || !isUnicast(destination) || !wellFormed(h.tlvs) {
		return h, invalid
	}
	return h, complete
}

func enough(data []byte, size int) result {
	if len(data) < size {
		return incomplete
	}
	return complete
}

// next splits the first extension off; ok is false if it is cut off.
func next(tlvs []byte) (kind byte, value, rest []byte, ok bool) {
	if len(tlvs) < 3 {
		return 0, nil, nil, false
	}
	n := 3 + int(binary.BigEndian.Uint16(tlvs[1:]))
	if len(tlvs) < n {
		return 0, nil, nil, false
	}
	return tlvs[0], tlvs[3:n], tlvs[n:], true
}

func wellFormed(tlvs []byte) bool {
	for len(tlvs) > 0 {
		var ok bool
		if _, _, tlvs, ok = next(tlvs); !ok {
			return false
		}
	}
	return true
}
