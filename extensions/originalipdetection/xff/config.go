// Package xff is the extension envoy.http.original_ip_detection.xff: it takes the
// address of the client from x-forwarded-for.
package xff

import (
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.OriginalIPDetectionFactory.
type Factory struct{}

var _ extension.OriginalIPDetectionFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.http.original_ip_detection.xff" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.OriginalIPDetection }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &xffv3.XffConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
		Names:   []string{"xff_num_trusted_hops", "xff_trusted_cidrs", "skip_xff_append"},
	}
}

// BuildOriginalIPDetection implements extension.OriginalIPDetectionFactory.
func (Factory) BuildOriginalIPDetection(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) httpfilter.IPDetector {
	m := msg.(*xffv3.XffConfig)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	d := &detector{hops: int(m.GetXffNumTrustedHops()), appendXFF: m.GetSkipXffAppend() != nil && !m.GetSkipXffAppend().GetValue()}
	if cidrs := m.GetXffTrustedCidrs(); cidrs != nil {
		at := path.Field("xff_trusted_cidrs")
		if d.hops > 0 {
			errs.Add(at, "Cannot set both xff_num_trusted_hops and xff_trusted_cidrs")
		}
		d.byRange = true
		d.trusted = address.NewRanges(cidrs.GetCidrs(), at.Field("cidrs"), errs)
	}
	if len(*errs) > before {
		return nil
	}
	return d
}
