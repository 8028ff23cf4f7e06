package address

import (
	"net/netip"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A CIDR is a message CidrRange: that of envoy.config.core.v3 or xds.core.v3.
type CIDR interface {
	GetAddressPrefix() string
	GetPrefixLen() *wrapperspb.UInt32Value
}

// NewRanges reads CIDR ranges. As in Envoy, bits after the prefix are ignored, and a
// length that is too large means the whole address. Errors go to errs.
func NewRanges[R CIDR](msgs []R, path conf.Path, errs *conf.Errors) Ranges {
	var r Ranges
	for i, msg := range msgs {
		ip, err := netip.ParseAddr(msg.GetAddressPrefix())
		if err != nil || ip.Zone() != "" {
			errs.Add(path.Index(i).Field("address_prefix"), "malformed IP address: %s", msg.GetAddressPrefix())
			continue
		}
		bits := int(min(msg.GetPrefixLen().GetValue(), uint32(ip.BitLen())))
		if ip.Is4In6() && bits >= 96 {
			ip, bits = ip.Unmap(), bits-96
		}
		r = append(r, netip.PrefixFrom(ip, bits).Masked())
	}
	return r
}
