// Package customheader is the extension envoy.http.original_ip_detection.custom_header:
// it takes the address of the client from a header.
package customheader

import (
	"net/netip"

	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// Factory is the extension.OriginalIPDetectionFactory.
type Factory struct{}

var _ extension.OriginalIPDetectionFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.http.original_ip_detection.custom_header" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.OriginalIPDetection }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &headerv3.CustomHeaderConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
		Names:   []string{"header_name", "allow_extension_to_set_address_as_trusted", "reject_with_status"},
	}
}

// BuildOriginalIPDetection implements extension.OriginalIPDetectionFactory.
func (Factory) BuildOriginalIPDetection(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) httpfilter.IPDetector {
	m := msg.(*headerv3.CustomHeaderConfig)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	d := &detector{header: match.Lower(m.GetHeaderName()), trusted: m.GetAllowExtensionToSetAddressAsTrusted()}
	if d.header == "" {
		errs.Add(path.Field("header_name"), "must not be empty")
	}
	if s := m.GetRejectWithStatus(); s != nil {
		d.reject = int(s.GetCode())
		if d.reject < 400 || d.reject > 511 {
			d.reject = 403
		}
	}
	if len(*errs) > before {
		return nil
	}
	return d
}

// A detector is the configuration. It is immutable.
type detector struct {
	header  string // lower case
	trusted bool
	reject  int // 0 serves requests without the header
}

// DetectIP implements httpfilter.IPDetector. Of several fields the first counts.
func (d *detector) DetectIP(h *httpmsg.Headers, _ address.Address) httpfilter.Detection {
	text, _ := h.Find(d.header)
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return httpfilter.Detection{Reject: d.reject}
	}
	return httpfilter.Detection{Address: address.FromAddrPort(netip.AddrPortFrom(ip, 0)), Trusted: d.trusted}
}
