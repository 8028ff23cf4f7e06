package localratelimit

import (
	"hash/maphash"
	"slices"
	"strings"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// defaultDynamic is the default of max_dynamic_descriptors.
const defaultDynamic = 20

// limits are the configured buckets: the default one, and those of descriptors. It is
// immutable.
type limits struct {
	bucket *tokenbucket.Config // nil for none
	deny   bool                // the default bucket never holds a token
	always bool                // it is taken from also if a descriptor matches
	fixed  []rule
	index  map[uint64][]int // of fixed, by the hash of the entries
	wild   []rule           // with an entry that has any value
	most   int              // buckets of each wild rule
	seed   maphash.Seed
}

// A rule gives a descriptor its bucket.
type rule struct {
	entries []ratelimit.Entry // a value "" stands for any
	bucket  tokenbucket.Config
	shadow  bool
}

func descriptorFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor",
		Names:   []string{"entries", "token_bucket", "shadow_mode"},
	}
}

// newLimits reads the buckets of a limit.
func newLimits(m *localv3.LocalRateLimit, path conf.Path, errs *conf.Errors) *limits {
	l := &limits{index: map[uint64][]int{}, seed: maphash.MakeSeed(), always: true, most: defaultDynamic}
	if b := m.GetTokenBucket(); b != nil {
		c := tokenbucket.FromProto(b, path.Field("token_bucket"), errs)
		if l.deny = c.Max == 0; !l.deny {
			l.bucket = &c
		}
	}
	if a := m.GetAlwaysConsumeDefaultTokenBucket(); a != nil {
		l.always = a.GetValue()
	}
	if n := m.GetMaxDynamicDescriptors(); n != nil {
		l.most = int(max(n.GetValue(), 1))
	}
	for i, d := range m.GetDescriptors() {
		l.addRule(d, path.Field("descriptors").Index(i), errs)
	}
	return l
}

// addRule reads a descriptor. Two with the same entries are an error.
func (l *limits) addRule(m *ratelimitv3.LocalRateLimitDescriptor, path conf.Path, errs *conf.Errors) {
	r := rule{shadow: m.GetShadowMode(), bucket: tokenbucket.FromProto(m.GetTokenBucket(), path.Field("token_bucket"), errs)}
	wild := false
	for _, e := range m.GetEntries() {
		r.entries = append(r.entries, ratelimit.Entry{Key: e.GetKey(), Value: e.GetValue()})
		wild = wild || e.GetValue() == ""
	}
	list := &l.fixed
	if wild {
		list = &l.wild
	}
	for i := range *list {
		if slices.Equal((*list)[i].entries, r.entries) {
			errs.Add(path.Field("entries"), "duplicate descriptor: %s", text(r.entries))
		}
	}
	if !wild {
		hash := l.hash(r.entries)
		l.index[hash] = append(l.index[hash], len(l.fixed))
	}
	*list = append(*list, r)
}

func text(entries []ratelimit.Entry) string {
	var parts []string
	for _, e := range entries {
		parts = append(parts, e.Key+"="+e.Value)
	}
	return strings.Join(parts, ", ")
}

// matches reports whether the rule, which is a wild one, is for a descriptor.
func (r *rule) matches(entries []ratelimit.Entry) bool {
	if len(entries) != len(r.entries) {
		return false
	}
	for i, e := range r.entries {
		if e.Key != entries[i].Key || e.Value != "" && e.Value != entries[i].Value {
			return false
		}
	}
	return true
}

func (l *limits) hash(entries []ratelimit.Entry) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for i := range entries {
		_, _ = h.WriteString(entries[i].Key) // never fails, as the others
		_ = h.WriteByte(0)
		_, _ = h.WriteString(entries[i].Value)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}
