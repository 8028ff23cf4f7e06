package consistenthashing_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/matching/consistenthashing"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const config = "envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing"

// The same values as in Envoy 1.40.
func TestHashes(t *testing.T) {
	matching.Check(t, matching.Single(matching.Header("x"), config+`","threshold":50,"modulo":100`), extension.Context{}, consistenthashing.Factory{}, map[string]string{
		"x=10.1.1.1": "yes", "x=11.1.1.1": "no", "x=a": "yes", "x=b": "yes", "x=c": "no", "x=d": "yes", "x=": "no", "": "no"})
	matching.Check(t, matching.Single(matching.Header("x"), config+`","threshold":100,"modulo":100`), extension.Context{}, consistenthashing.Factory{},
		map[string]string{"x=a": "no", "x=b": "no"})
}

func TestErrors(t *testing.T) {
	const want = "matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config.modulo: must be greater than 0"
	_, err := matching.Build(t, matching.Single(matching.Header("x"), config+`"`), extension.Context{}, metrics.New(1), consistenthashing.Factory{})
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}
