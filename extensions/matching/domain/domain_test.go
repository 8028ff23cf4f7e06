package domain_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/matching/domain"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// sub leads to "sub" if the header y is q.
var sub = `{"matcher":{"matcherTree":{"input":` + matching.Header("y") + `,"exactMatchMap":{"map":{"q":` + matching.Action("sub") + `}}}}}`

// As in Envoy 1.40.
func TestDomains(t *testing.T) {
	matching.Check(t, matching.CustomTree(`xds.type.matcher.v3.ServerNameMatcher","domainMatchers":[
		{"domains":["*"],"onMatch":`+matching.Action("star")+`},{"domains":["*.com","X.org"],"onMatch":`+matching.Action("com")+`},
		{"domains":["*.a.com"],"onMatch":`+sub+`},{"domains":["b.a.com"],"onMatch":`+sub+`}]`), extension.Context{}, domain.Factory{}, map[string]string{
		"x=b.a.com": "com", "x=c.a.com": "com", "x=a.com": "com", "x=com": "star", "x=A.COM": "star", "x=x.org": "star",
		"x=X.org": "com", "x=.com": "com", "x=z": "star", "x=": "none", "": "none", "x=c.a.com y=q": "sub", "x=b.a.com y=q": "sub",
	})
}

func TestErrors(t *testing.T) {
	const at = "matcher_tree.custom_match.typed_config.domain_matchers[0].domains"
	for config, want := range map[string]string{
		`[]`:                 at + ": must not be empty",
		`[""]`:               at + "[0]: must not be empty",
		`["a*"]`:             at + "[0]: must be a domain, *.domain or *, not a*",
		`["*.*.a"]`:          at + "[0]: must be a domain, *.domain or *, not *.*.a",
		`["*."]`:             at + "[0]: must be a domain, *.domain or *, not *.",
		`["a","a"]`:          at + "[1]: domain a is used twice",
		`["*","*"]`:          at + "[1]: domain * is used twice",
		`["*.a","a", "*.a"]`: at + "[2]: domain *.a is used twice",
	} {
		if _, err := matching.Build(t, matching.CustomTree(`xds.type.matcher.v3.ServerNameMatcher","domainMatchers":[{"domains":`+config+`,"onMatch":`+matching.Action("a")+`}]`), extension.Context{}, metrics.New(1), domain.Factory{}); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", config, err, want)
		}
	}
}
