package xff

import (
	"net/netip"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A detector is the configuration. It is immutable.
type detector struct {
	hops      int  // trusted proxies behind the client
	byRange   bool // trusted says which proxies are, instead of hops
	trusted   address.Ranges
	appendXFF bool
}

// DetectIP implements httpfilter.IPDetector.
func (d *detector) DetectIP(h *httpmsg.Headers, peer address.Address) httpfilter.Detection {
	found := httpfilter.Detection{AppendXFF: d.appendXFF}
	list, ok := h.Joined("x-forwarded-for")
	if !ok {
		return found
	}
	var ip netip.Addr
	var more bool
	switch {
	case !d.byRange:
		ip, more = d.behindHops(list)
		found.Trusted = d.hops == 0 && !more
	case d.trusted.Contains(peer.IP()):
		ip = d.firstUntrusted(list)
		_, _, more = httpmsg.LastAddress(list)
		found.Trusted = !more
	}
	if ip.IsValid() {
		found.Address = address.FromAddrPort(netip.AddrPortFrom(ip, 0))
	}
	return found
}

// behindHops returns the address that the outermost trusted proxy saw, and whether
// there are more before it.
func (d *detector) behindHops(list string) (netip.Addr, bool) {
	ip, rest, more := httpmsg.LastAddress(list)
	for range d.hops {
		if !more {
			return netip.Addr{}, false
		}
		ip, rest, more = httpmsg.LastAddress(rest)
	}
	return ip, more
}

// firstUntrusted returns the last address that is not in the trusted ranges; the
// first one if all of them are, none if something that is no address comes before.
func (d *detector) firstUntrusted(list string) netip.Addr {
	ip, rest, more := httpmsg.LastAddress(list)
	for more && d.trusted.Contains(ip) {
		ip, rest, more = httpmsg.LastAddress(rest)
	}
	return ip
}
