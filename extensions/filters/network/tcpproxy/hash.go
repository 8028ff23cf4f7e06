package tcpproxy

import (
	"github.com/cespare/xxhash/v2"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
	apiroute "github.com/nuncio-proxy/nuncio/api/route"
)

// A hashPolicy makes the hash by which a consistent-hashing balancer picks the host:
// of the client's IP address, or of an object of the filter state.
type hashPolicy struct {
	sourceIP    bool
	filterState string
}

func hashFields() conf.Fields {
	return conf.Fields{Message: "envoy.type.v3.HashPolicy", Names: []string{"source_ip", "filter_state"}}
}

// newHashPolicy reads hash_policy, a list of at most one; it is nil for none.
func newHashPolicy(msgs []*typev3.HashPolicy, path conf.Path, errs *conf.Errors) *hashPolicy {
	if len(msgs) == 0 {
		return nil
	}
	if len(msgs) > 1 {
		errs.Add(path, "must not have more than one policy")
	}
	p := &hashPolicy{}
	path = path.Index(0)
	switch s := msgs[0].GetPolicySpecifier().(type) {
	case *typev3.HashPolicy_SourceIp_:
		p.sourceIP = true
	case *typev3.HashPolicy_FilterState_:
		if p.filterState = s.FilterState.GetKey(); p.filterState == "" {
			errs.Add(path.Field("filter_state").Field("key"), "must not be empty")
		}
	default:
		errs.Add(path, "one of source_ip, filter_state is required")
	}
	return p
}

// hash sets the hash of the connection, if the balancer looks at it and there is one.
func (f *filter) hash() {
	p := f.config.hash
	if p == nil || !f.cluster.Info().PicksByHash {
		return
	}
	info := f.down.Info()
	if p.sourceIP {
		if f.pick.HasHash = info.Remote.IP().IsValid(); f.pick.HasHash {
			f.pick.Hash = xxhash.Sum64String(info.Remote.WithoutPort())
		}
		return
	}
	if object, ok := match.FilterStateObject(f.stream, p.filterState).(apiroute.Hashable); ok {
		f.pick.Hash, f.pick.HasHash = object.Hash()
	}
}
