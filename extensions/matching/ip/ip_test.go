package ip_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/matching/ip"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const config = "envoy.extensions.matching.input_matchers.ip.v3.Ip"

// As in Envoy 1.40.
func TestRanges(t *testing.T) {
	json := matching.Single(matching.Header("x"), config+`","statPrefix":"p","cidrRanges":[{"addressPrefix":"10.0.0.0","prefixLen":8},{"addressPrefix":"::1"}]`)
	matching.Check(t, json, extension.Context{}, ip.Factory{}, map[string]string{"x=10.1.1.1": "yes", "x=11.1.1.1": "no", "x=": "no", "": "no",
		"x=::2": "yes", "x=::ffff:10.1.1.1": "yes"})
	stats := metrics.New(1)
	tree, err := matching.Build(t, json, extension.Context{}, stats, ip.Factory{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []string{"x=name", "x=", "x=10.0.0.1:80"} {
		if r := tree.Match(matching.Request(x)); r.Action != "no" {
			t.Error(x, r)
		}
	}
	if n := stats.Value("p.ip_parsing_failed"); n != 2 {
		t.Error(n)
	}
}

func TestErrors(t *testing.T) {
	const at = "matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config."
	_, err := matching.Build(t, matching.Single(matching.Header("x"), config+`"`), extension.Context{}, metrics.New(1), ip.Factory{})
	if err == nil || err.Error() != at+"cidr_ranges: must not be empty\n"+at+"stat_prefix: must not be empty" {
		t.Error(err)
	}
}
