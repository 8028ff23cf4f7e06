package iprange_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/matching/iprange"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// sub leads to "sub" if the header y is q.
var sub = `{"matcher":{"matcherTree":{"input":` + matching.Header("y") + `,"exactMatchMap":{"map":{"q":` + matching.Action("sub") + `}}}}}`

func ranges(exclusive string) string {
	return matching.CustomTree(`xds.type.matcher.v3.IPMatcher","rangeMatchers":[
		{"ranges":[{"addressPrefix":"10.0.0.0","prefixLen":8}],` + exclusive + `"onMatch":` + matching.Action("ten") + `},
		{"ranges":[{"addressPrefix":"10.1.0.0","prefixLen":16},{"addressPrefix":"10.2.0.9","prefixLen":40}],"onMatch":` + sub + `},
		{"ranges":[{"addressPrefix":"2001:db8::","prefixLen":32}],"onMatch":` + matching.Action("six") + `}]`)
}

// As in Envoy 1.40.
func TestRanges(t *testing.T) {
	matching.Check(t, ranges(""), extension.Context{}, iprange.Factory{}, map[string]string{
		"x=10.1.2.3 y=q": "sub", "x=10.1.2.3": "ten", "x=10.3.0.1": "ten", "x=10.2.0.9 y=q": "sub", "x=10.2.0.8 y=q": "ten",
		"x=2001:db8::1": "six", "x=11.1.1.1": "none", "x=::ffff:10.1.1.1": "none", "": "none", "x= bad=": "none",
		"x=name bad=": "none", "x=10.1.2.3:80 bad=": "none",
	})
	matching.Check(t, ranges(`"exclusive":true,`), extension.Context{}, iprange.Factory{},
		map[string]string{"x=10.1.2.3 y=q": "sub", "x=10.1.2.3": "none", "x=10.3.0.1": "ten"})
}

func TestErrors(t *testing.T) {
	const at = "matcher_tree.custom_match.typed_config."
	for config, want := range map[string]string{
		`{}`: at + "range_matchers[0].ranges: must not be empty\n" + at + "range_matchers[0].on_match: one of matcher, action is required",
		`{"ranges":[{"addressPrefix":"x"}],"onMatch":` + matching.Action("a") + `}`: at + "range_matchers[0].ranges[0].address_prefix: malformed IP address: x",
	} {
		if _, err := matching.Build(t, matching.CustomTree(`xds.type.matcher.v3.IPMatcher","rangeMatchers":[`+config+`]`), extension.Context{}, metrics.New(1), iprange.Factory{}); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", config, err, want)
		}
	}
}
