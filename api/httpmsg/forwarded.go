package httpmsg

import (
	"net/netip"
	"strings"
)

// LastAddress returns the address that ends a list such as the value of
// x-forwarded-for, invalid if there is none, and the list without it; more reports
// whether there is one left.
func LastAddress(list string) (ip netip.Addr, rest string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i >= 0 {
		rest, more = list[:i], true
	}
	ip, err := netip.ParseAddr(strings.Trim(list[i+1:], " \t"))
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, rest, more
	}
	return ip, rest, more
}
