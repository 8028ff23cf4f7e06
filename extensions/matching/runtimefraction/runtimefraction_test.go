package runtimefraction_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/extensions/matching/runtimefraction"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const config = "envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction"

// runtime knows all, none and half.
type runtime struct{}

func (runtime) Snapshot() runtimeconf.Snapshot { return snapshot{} }

type snapshot struct{ runtimeconf.Snapshot }

func (snapshot) Percent(key string, otherwise uint32) uint32 {
	if share, ok := map[string]uint32{"all": 1_000_000, "none": 0, "half": 500_000}[key]; ok {
		return share
	}
	return otherwise
}

// The same values as in Envoy 1.40.
func TestFractions(t *testing.T) {
	half := map[string]string{"x=10.1.1.1": "no", "x=11.1.1.1": "yes", "x=a": "no", "x=b": "no", "x=c": "yes", "x=d": "no", "x=": "yes", "": "no"}
	for fraction, want := range map[string]map[string]string{
		`{"defaultValue":{"numerator":50}}`:                                 half,
		`{"defaultValue":{"numerator":50},"runtimeKey":"other"}`:            half,
		`{"defaultValue":{"numerator":1},"runtimeKey":"half"}`:              half,
		`{"runtimeKey":"all"}`:                                              {"x=a": "yes", "x=b": "yes", "": "no"},
		`{"defaultValue":{"numerator":100},"runtimeKey":"none"}`:            {"x=a": "no", "x=c": "no"},
		`{"defaultValue":{"numerator":1000000,"denominator":"MILLION"}}`:    {"x=a": "yes", "x=b": "yes"},
		`{"defaultValue":{"numerator":10000,"denominator":"TEN_THOUSAND"}}`: {"x=a": "yes", "x=b": "yes"},
	} {
		matching.Check(t, matching.Single(matching.Header("x"), config+`","runtimeFraction":`+fraction), extension.Context{Runtime: runtime{}},
			runtimefraction.Factory{}, want)
	}
}

func TestErrors(t *testing.T) {
	const want = "matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config.runtime_fraction: is required"
	_, err := matching.Build(t, matching.Single(matching.Header("x"), config+`"`), extension.Context{}, metrics.New(1), runtimefraction.Factory{})
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}
