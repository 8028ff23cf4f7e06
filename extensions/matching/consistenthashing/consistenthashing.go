// Package consistenthashing matches a share of the values: those whose hash is above
// a threshold.
package consistenthashing

import (
	"github.com/cespare/xxhash/v2"
	hashingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factory makes the matcher envoy.matching.matchers.consistent_hashing.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.matchers.consistent_hashing" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ValueMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(hashingv3.ConsistentHashing) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing",
		Names:   []string{"threshold", "modulo", "seed"},
	}}
}

// BuildValueMatcher implements extension.ValueMatcherFactory.
func (Factory) BuildValueMatcher(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	conf.Check(msg, Factory{}.Fields()[0], path, errs)
	cfg := msg.(*hashingv3.ConsistentHashing)
	if cfg.GetModulo() == 0 {
		errs.Add(path.Field("modulo"), "must be greater than 0")
		return nil
	}
	return &hashing{uint64(cfg.GetThreshold()), uint64(cfg.GetModulo()), cfg.GetSeed()}
}

type hashing struct{ threshold, modulo, seed uint64 }

func (*hashing) Kind() matcher.Kind { return matcher.Text }

func (m *hashing) Match(v matcher.Value) matcher.Outcome {
	var d xxhash.Digest
	d.ResetWithSeed(m.seed)
	_, _ = d.WriteString(v.Text)
	return matcher.OutcomeOf(d.Sum64()%m.modulo >= m.threshold)
}
