// Package ip matches values that are IP addresses in one of some ranges.
package ip

import (
	"net/netip"

	ipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/ip/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory makes the matcher envoy.matching.matchers.ip.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.matchers.ip" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ValueMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(ipv3.Ip) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.input_matchers.ip.v3.Ip",
		Names:   []string{"cidr_ranges", "stat_prefix"},
	}}
}

// BuildValueMatcher implements extension.ValueMatcherFactory.
func (Factory) BuildValueMatcher(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	before := len(*errs)
	conf.Check(msg, Factory{}.Fields()[0], path, errs)
	cfg := msg.(*ipv3.Ip)
	m := &ranges{list: address.NewRanges(cfg.GetCidrRanges(), path.Field("cidr_ranges"), errs)}
	if len(cfg.GetCidrRanges()) == 0 {
		errs.Add(path.Field("cidr_ranges"), "must not be empty")
	}
	if cfg.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	if len(*errs) > before {
		return nil
	}
	m.parsingFailed = ctx.Stats.Counter(cfg.GetStatPrefix() + ".ip_parsing_failed")
	return m
}

type ranges struct {
	list          address.Ranges
	parsingFailed *stats.Counter
}

func (*ranges) Kind() matcher.Kind { return matcher.Text }

func (m *ranges) Match(v matcher.Value) matcher.Outcome {
	if v.Text == "" {
		return matcher.NoMatch
	}
	ip, err := netip.ParseAddr(v.Text)
	if err != nil {
		m.parsingFailed.Inc(stats.Any)
		return matcher.NoMatch
	}
	for _, r := range m.list {
		if r.Contains(ip.WithZone("")) { // an IPv4 address mapped into IPv6 is an IPv6 address here
			return matcher.Matched
		}
	}
	return matcher.NoMatch
}
