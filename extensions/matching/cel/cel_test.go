package cel_test

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/matching/cel"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func call(function string, args ...string) string {
	return `{"callExpr":{"function":"` + function + `","args":[` + strings.Join(args, ",") + `]}}`
}

func attribute(of, name string) string {
	return `{"selectExpr":{"operand":{"identExpr":{"name":"` + of + `"}},"field":"` + name + `"}}`
}

func text(s string) string { return `{"constExpr":{"stringValue":"` + s + `"}}` }

func is(of, name, value string) string { return call("_==_", attribute(of, name), text(value)) }

func build(t *testing.T, exprMatch string) (matcher.Tree, error) {
	t.Helper()
	input := matching.Packed(`xds.type.matcher.v3.HttpAttributesCelMatchInput"`)
	return matching.Build(t, matching.Single(input, `xds.type.matcher.v3.CelMatcher","exprMatch":`+exprMatch),
		extension.Context{}, metrics.New(1), cel.Input{}, cel.Matcher{})
}

func TestMatch(t *testing.T) {
	request := &httpmsg.Headers{}
	request.AddID(httpmsg.Method, "PUT")
	answered := &streaminfo.Stream{ResponseDetails: "via_upstream"}
	nothing, asked := matcher.Data{}, matcher.Data{Request: request}
	done := matcher.Data{Request: request, Response: new(httpmsg.Headers), Stream: answered}
	put, put2 := is("request", "method", "PUT"), is("request", "method", "GET")
	details := is("response", "code_details", "via_upstream")
	for _, tc := range []struct {
		name, exprMatch string
		want            [3]string // for nothing, asked, done
	}{
		{"request", `{"celExprParsed":{"expr":` + put + `}}`, [3]string{"no", "yes", "yes"}},
		{"checked", `{"celExprChecked":{"expr":` + put + `}}`, [3]string{"no", "yes", "yes"}},
		{"older parsed", `{"parsedExpr":{"expr":` + put + `}}`, [3]string{"no", "yes", "yes"}},
		{"older checked", `{"checkedExpr":{"expr":` + put + `}}`, [3]string{"no", "yes", "yes"}},
		{"checked first", `{"celExprChecked":{"expr":` + put + `},"celExprParsed":{"expr":` + put2 + `},"celExprString":"false"}`, [3]string{"no", "yes", "yes"}},
		{"response", `{"celExprParsed":{"expr":` + details + `}}`, [3]string{"?", "?", "yes"}},
		{"negated response", `{"celExprParsed":{"expr":` + call("_||_", put, details) + `}}`, [3]string{"?", "yes", "yes"}},
		{"response not asked for", `{"celExprParsed":{"expr":` + call("_&&_", put2, details) + `}}`, [3]string{"?", "no", "no"}},
		{"not a bool", `{"celExprParsed":{"expr":` + attribute("request", "method") + `}}`, [3]string{"no", "no", "no"}},
		{"no node", `{"celExprParsed":{"expr":` + call("_==_", `{"selectExpr":{"operand":`+attribute("xds", "node")+`,"field":"id"}}`, text("")) + `}}`, [3]string{"no", "no", "no"}},
	} {
		tree, err := build(t, tc.exprMatch)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		for i, d := range []matcher.Data{nothing, asked, done} {
			r := tree.Match(d)
			got, _ := r.Action.(string)
			if r.Outcome == matcher.Unsure {
				got = "?"
			}
			if got != tc.want[i] {
				t.Errorf("%s, %d: %s, want %s", tc.name, i, got, tc.want[i])
			}
		}
	}
}

func TestErrors(t *testing.T) {
	const at = "matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config.expr_match: failed to create an expression: "
	for exprMatch, want := range map[string]string{
		`{}`:                       "CEL expression not set.",
		`{"celExprString":"true"}`: "CEL expression not set.",
		`{"celExprParsed":{"expr":` + call("nothing") + `}}`: "No overload found in reference resolve step for nothing",
		`{"celExprParsed":{}}`:                               "unsupported expr: &{0 <nil>}",
	} {
		if _, err := build(t, exprMatch); err == nil || err.Error() != at+want {
			t.Errorf("%s: %v", exprMatch, err)
		}
	}
}
