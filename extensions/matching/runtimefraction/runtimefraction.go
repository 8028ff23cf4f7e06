// Package runtimefraction matches a share of the values, by their hash; the runtime
// may change the share.
package runtimefraction

import (
	"github.com/cespare/xxhash/v2"
	fractionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/runtime_fraction/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// Factory makes the matcher envoy.matching.matchers.runtime_fraction.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.matchers.runtime_fraction" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ValueMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(fractionv3.RuntimeFraction) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction",
		Names:   []string{"runtime_fraction", "seed"},
	}}
}

// BuildValueMatcher implements extension.ValueMatcherFactory.
func (Factory) BuildValueMatcher(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	conf.Check(msg, Factory{}.Fields()[0], path, errs)
	cfg := msg.(*fractionv3.RuntimeFraction)
	if cfg.GetRuntimeFraction() == nil {
		errs.Add(path.Field("runtime_fraction"), "is required")
		return nil
	}
	f := &fraction{
		share:       runtimeconf.NewFraction(cfg.GetRuntimeFraction()),
		denominator: denominator(cfg.GetRuntimeFraction().GetDefaultValue()),
		seed:        cfg.GetSeed(),
	}
	if f.share.Key != "" {
		f.runtime = ctx.Runtime
	}
	return f
}

func denominator(p *typev3.FractionalPercent) uint64 {
	switch p.GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		return 10_000
	case typev3.FractionalPercent_MILLION:
		return 1_000_000
	default:
		return 100
	}
}

type fraction struct {
	share       runtimeconf.Fraction
	denominator uint64             // of the configured share
	runtime     runtimeconf.Loader // nil if share does not ask it
	seed        uint64
}

func (*fraction) Kind() matcher.Kind { return matcher.Text }

func (f *fraction) Match(v matcher.Value) matcher.Outcome {
	share, denominator := uint64(f.share.Millionths), f.denominator
	if f.runtime != nil {
		if now := uint64(f.runtime.Snapshot().Percent(f.share.Key, f.share.Millionths)); now != share {
			share, denominator = now, coarsest(now)
		}
	}
	var d xxhash.Digest
	d.ResetWithSeed(f.seed)
	_, _ = d.WriteString(v.Text)
	// The same values match as in Envoy, because the hash is taken modulo the same number.
	return matcher.OutcomeOf(d.Sum64()%denominator < share/(1_000_000/denominator))
}

// coarsest returns the smallest denominator that can express a share in millionths:
// nearly always the one that the runtime value was written with.
func coarsest(millionths uint64) uint64 {
	switch {
	case millionths%10_000 == 0:
		return 100
	case millionths%100 == 0:
		return 10_000
	default:
		return 1_000_000
	}
}
