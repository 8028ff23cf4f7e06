package ratelimit

import (
	"math"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// override is the limit that a rule gives its descriptors: always the same, or what
// dynamic metadata holds, or none.
type override struct {
	set   bool
	fixed Override
	path  match.MetadataPath // without keys: fixed
}

func newOverride(cfg *routev3.RateLimit_Override, path conf.Path, errs *conf.Errors) override {
	switch o := cfg.GetOverrideSpecifier().(type) {
	case *routev3.RateLimit_Override_RateLimit:
		return override{set: true, fixed: Override{o.RateLimit.GetRequestsPerUnit(), o.RateLimit.GetUnit()}}
	case *routev3.RateLimit_Override_DynamicMetadata_:
		key := o.DynamicMetadata.GetMetadataKey()
		at := path.Field("dynamic_metadata").Field("metadata_key")
		return override{set: true, path: match.NewMetadataPath(key.GetKey(), key.GetPath(), at, errs)}
	}
	return override{}
}

// apply sets the limit of a descriptor. What is wrong in the metadata leaves it
// without one.
func (o *override) apply(d *Descriptor, r *Request) {
	d.Override, d.HasOverride = o.fixed, o.set
	if len(o.path.Keys) == 0 {
		return
	}
	fields := o.path.Find(r.Stream.Metadata).GetStructValue().GetFields()
	unit, known := typev3.RateLimitUnit_value[fields["unit"].GetStringValue()]
	number, isNumber := fields["requests_per_unit"].AsInterface().(float64)
	d.HasOverride = known && isNumber && number >= 0 && number <= math.MaxUint32
	if d.HasOverride {
		d.Override = Override{uint32(number), typev3.RateLimitUnit(unit)}
	}
}
