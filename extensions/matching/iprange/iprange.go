// Package iprange is a tree of branches by IP range.
package iprange

import (
	"cmp"
	"net/netip"
	"slices"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factory makes the tree envoy.matching.custom_matchers.ip_range_matcher.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.custom_matchers.ip_range_matcher" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.TreeMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(xdsmatcher.IPMatcher) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "xds.type.matcher.v3.IPMatcher",
		Names:   []string{"range_matchers"},
	}}
}

// BuildTreeMatcher implements extension.TreeMatcherFactory.
func (Factory) BuildTreeMatcher(msg proto.Message, b *matcher.Branches, path conf.Path, errs *conf.Errors) matcher.Tree {
	before := len(*errs)
	t := &tree{input: b.Input, otherwise: b.Otherwise}
	for i, m := range msg.(*xdsmatcher.IPMatcher).GetRangeMatchers() {
		at := path.Field("range_matchers").Index(i)
		if len(m.GetRanges()) == 0 {
			errs.Add(at.Field("ranges"), "must not be empty")
		}
		on := b.OnMatch(m.GetOnMatch(), at.Field("on_match"))
		for _, r := range address.NewRanges(m.GetRanges(), at.Field("ranges"), errs) {
			t.branches = append(t.branches, branch{r, m.GetExclusive(), on})
		}
	}
	if len(*errs) > before {
		return nil
	}
	slices.SortStableFunc(t.branches, func(x, y branch) int { return cmp.Compare(y.ip.Bits(), x.ip.Bits()) })
	return t
}

// A tree tries the ranges that hold the address, the longest prefix first, those of
// the same length in the order of the configuration.
type tree struct {
	input     matcher.Input
	branches  []branch
	otherwise *matcher.OnMatch
}

type branch struct {
	ip netip.Prefix
	// exclusive: not to be tried after a longer one whose own matcher found nothing.
	exclusive bool
	on        *matcher.OnMatch
}

func (t *tree) Match(d matcher.Data) matcher.Result {
	v := t.input.Get(d)
	if v.State == matcher.NotYet {
		return matcher.Result{Outcome: matcher.Unsure}
	}
	if v.State == matcher.Present {
		if ip, err := netip.ParseAddr(v.Text); err == nil {
			if r := t.lookup(d, ip.WithZone("")); r.Outcome != matcher.NoMatch {
				return r
			}
		}
	}
	return t.otherwise.Follow(d)
}

func (t *tree) lookup(d matcher.Data, ip netip.Addr) matcher.Result {
	tried := false
	for i := range t.branches {
		b := &t.branches[i]
		if tried && b.exclusive || !b.ip.Contains(ip) {
			continue
		}
		if r := b.on.Follow(d); r.Outcome != matcher.NoMatch {
			return r
		}
		tried = true
	}
	return matcher.Result{}
}
