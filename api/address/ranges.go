package address

import "net/netip"

// Ranges is a list of CIDR ranges. It is immutable once in use.
type Ranges []netip.Prefix

// Contains reports whether one of the ranges holds ip. An IPv4 address mapped into
// IPv6 counts as IPv4. An invalid ip (of a Unix socket) is in no range.
func (r Ranges) Contains(ip netip.Addr) bool {
	_, ok := r.Longest(ip)
	return ok
}

// Longest returns the number of bits of the longest prefix among the ranges that
// hold ip, and whether there is one.
func (r Ranges) Longest(ip netip.Addr) (bits int, ok bool) {
	ip = ip.Unmap().WithZone("")
	for _, p := range r {
		if p.Contains(ip) && (!ok || p.Bits() > bits) {
			bits, ok = p.Bits(), true
		}
	}
	return bits, ok
}
