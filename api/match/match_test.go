package match_test

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

var _ route.HeaderMatcher = (*match.Header)(nil)

// load fills in a message from JSON. A value that is not UTF-8 cannot stand there.
func load[M proto.Message](t testing.TB, msg M, json string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(json), msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

func newString(t testing.TB, json string) *match.String {
	t.Helper()
	var errs conf.Errors
	s := match.NewString(load(t, new(matcherv3.StringMatcher), json), conf.Path{}, &errs)
	if s == nil {
		t.Fatal(errs)
	}
	return s
}

func TestString(t *testing.T) {
	for _, tc := range []struct{ json, yes, no string }{
		{`{"exact":"Ab"}`, "Ab", "ab|Abc|b|"},
		{`{"exact":""}`, "", "a"},
		{`{"exact":"Ab","ignore_case":true}`, "aB|AB", "abc|a"},
		{`{"prefix":"Ab"}`, "Ab|Abc", "abc|A|"},
		{`{"prefix":"Ab","ignore_case":true}`, "aBc", "a|"},
		{`{"suffix":"Ab"}`, "Ab|cAb", "b|"},
		{`{"suffix":"Ab","ignore_case":true}`, "cab", "b|"},
		{`{"contains":"Ab"}`, "xAby", "xab|A|"},
		{`{"contains":"Ab","ignore_case":true}`, "xaby|AB|xxab", "xa|"},
		{`{"exact":"k","ignore_case":true}`, "K", "\u212a"},
		{`{"safe_regex":{"regex":"a|ab"}}`, "a|ab", "abc|xa|"},
		{`{"safe_regex":{"regex":"(?i)a.c"}}`, "Abc|a\xe9C", "a\nc|a\xc3\xa9c"},
	} {
		s := newString(t, tc.json)
		for _, text := range strings.Split(tc.yes, "|") {
			if !s.Match(text) {
				t.Errorf("%s does not match %q", tc.json, text)
			}
		}
		for _, text := range strings.Split(tc.no, "|") {
			if s.Match(text) {
				t.Errorf("%s matches %q", tc.json, text)
			}
		}
	}
}

// What Envoy 1.40 answers to these headers: none, v, an empty one, 5, caf\xe9,
// café, and two fields a and b.
func TestHeader(t *testing.T) {
	requests := [][]string{nil, {"v"}, {""}, {"5"}, {"caf\xe9"}, {"café"}, {"a", "b"}}
	for _, tc := range []struct{ json, want string }{
		{`"string_match":{"exact":"v"}`, ".y....."},
		{`"exact_match":"v"`, ".y....."},
		{`"exact_match":""`, ".yyyyyy"},
		{`"present_match":true`, ".yyyyyy"},
		{`"present_match":false`, "y......"},
		{`"present_match":true,"invert_match":true`, "y......"},
		{`"present_match":false,"invert_match":true`, ".yyyyyy"},
		{`"invert_match":false`, ".yyyyyy"},
		{`"string_match":{"exact":"v"},"invert_match":true`, "..yyyyy"},
		{`"string_match":{"safe_regex":{"regex":"v?"}},"treat_missing_header_as_empty":true`, "yyy...."},
		{`"string_match":{"exact":"v"},"treat_missing_header_as_empty":true,"invert_match":true`, "y.yyyyy"},
		{`"present_match":true,"treat_missing_header_as_empty":true`, "yyyyyyy"},
		{`"range_match":{"start":-10,"end":10}`, "...y..."},
		{`"string_match":{"exact":"V","ignore_case":true}`, ".y....."},
		{`"string_match":{"safe_regex":{"regex":"caf."}}`, "....y.."},
		{`"string_match":{"safe_regex":{"regex":"caf[^a]"}}`, "....y.."},
		{`"safe_regex_match":{"regex":"café"}`, ".....y."},
		{`"string_match":{"exact":"a,b"}`, "......."},
		{`"string_match":{"exact":"b"}`, "......y"},
		{`"string_match":{"exact":"a"},"invert_match":true`, ".yyyyy."},
		{`"prefix_match":"a"`, "......y"},
		{`"suffix_match":"b"`, "......y"},
		{`"contains_match":"f"`, "....yy."},
	} {
		h := newHeader(t, `{"name":"X-H",`+tc.json+`}`)
		got := ""
		for _, values := range requests {
			var headers httpmsg.Headers
			headers.Add("x-other", "v")
			for _, v := range values {
				headers.Add("x-h", v)
			}
			if h.MatchHeaders(&headers) {
				got += "y"
			} else {
				got += "."
			}
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.json, got, tc.want)
		}
	}
}

func newHeader(t testing.TB, json string) *match.Header {
	t.Helper()
	var errs conf.Errors
	h := match.NewHeader(load(t, new(routev3.HeaderMatcher), json), conf.Path{}, &errs)
	if h == nil {
		t.Fatal(errs)
	}
	return h
}

func TestJoinedAndRenamedHeaders(t *testing.T) {
	var headers httpmsg.Headers
	headers.Add(":authority", "a")
	headers.Add("accept", "1")
	headers.Add("cookie", "c=1")
	headers.Add("accept", "2")
	headers.Add("cookie", "d=2")
	for json, want := range map[string]bool{
		`{"name":"accept","exact_match":"1,2"}`:                      true,
		`{"name":"accept","exact_match":"1"}`:                        false,
		`{"name":"accept","exact_match":"1","invert_match":true}`:    true,
		`{"name":"cookie","exact_match":"d=2"}`:                      true,
		`{"name":"cookie","exact_match":"c=1,d=2"}`:                  false,
		`{"name":"Host","exact_match":"a"}`:                          true,
		`{"name":"vary","treat_missing_header_as_empty":true}`:       true,
		`{"name":"x-h","exact_match":"","invert_match":true}`:        false,
		`{"name":"vary","present_match":false}`:                      true,
		`{"name":"accept","present_match":true,"invert_match":true}`: false,
	} {
		if got := newHeader(t, json).MatchHeaders(&headers); got != want {
			t.Errorf("%s: %v, want %v", json, got, want)
		}
	}
}

func TestRange(t *testing.T) {
	for _, tc := range []struct{ span, yes, no string }{
		{`"start":-10,"end":10`, "-10|9|+5|05|0", "10|-11|0x5|5,6|99999999999999999999||--1|-|+|5 |1_0"},
		{`"start":"-9223372036854775808","end":"9223372036854775807"`,
			"-9223372036854775808|9223372036854775806", "9223372036854775807|9223372036854775808|-9223372036854775809"},
		{`"start":5,"end":1`, "", "3"},
	} {
		h := newHeader(t, `{"name":"x","range_match":{`+tc.span+`}}`)
		for _, want := range []bool{true, false} {
			list := tc.yes
			if !want {
				list = tc.no
			}
			for _, text := range strings.Split(list, "|") {
				var headers httpmsg.Headers
				headers.Add("x", text)
				if got := h.MatchHeaders(&headers); got != want && list != "" {
					t.Errorf("%s, %q: %v", tc.span, text, got)
				}
			}
		}
	}
}

func TestQueryParameter(t *testing.T) {
	for _, tc := range []struct{ json, yes, no string }{
		{`{"name":"a","string_match":{"exact":"1"}}`, "/?a=1 /?a=1&a=2 /?b&a=1 /?&&a=1", "/ /a=1 /?a=2&a=1 /?a=%31 /?b;a=1 /?c?a=1 /?a /?A=1"},
		{`{"name":"a","string_match":{"exact":""}}`, "/?a /?a= /?x&a", "/?a=1 /?"},
		{`{"name":"a","present_match":true}`, "/?a /?a=2", "/?%61=1 /"},
		{`{"name":"a"}`, "/?a", "/"},
		{`{"name":"a","present_match":false}`, "/ /?b", "/?a"},
	} {
		var errs conf.Errors
		q := match.NewQueryParameter(load(t, new(routev3.QueryParameterMatcher), tc.json), conf.Path{}, &errs)
		if q == nil {
			t.Fatal(errs)
		}
		for _, path := range strings.Fields(tc.yes) {
			if !q.Match(path) {
				t.Errorf("%s does not match %s", tc.json, path)
			}
		}
		for _, path := range strings.Fields(tc.no) {
			if q.Match(path) {
				t.Errorf("%s matches %s", tc.json, path)
			}
		}
	}
}

func TestSubstitution(t *testing.T) {
	for _, tc := range []struct{ regex, with, in, want string }{
		{"^/rr/([^/]+)(/.*)?$", `\2/inst/\1`, "/rr/svc/a/b", "/a/b/inst/svc"},
		{"^/rr/([^/]+)(/.*)?$", `\2/inst/\1`, "/rr/svc", "/inst/svc"},
		{"one", "two", "/one/one", "/two/two"},
		{"x*", "-", "/starxx/a", "-/-s-t-a-r-/-a-"},
		{"/bs", `/\\\0`, "/bs", `/\/bs`},
		{"/d", "/$1${1}", "/d", "/$1${1}"},
		{"(?i)/CIX", "/x", "/cix/CIX", "/x/x"},
		{"zz", "x", "/a", "/a"},
		{"(a)", `x\2`, "/a", "/a"}, // there is no such group
		{"\\xe9", "é", "/\xe9\xff", "/é\xff"},
	} {
		var errs conf.Errors
		cfg := &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: tc.regex}, Substitution: tc.with}
		s := match.NewSubstitution(cfg, conf.Path{}, &errs)
		if s == nil {
			t.Fatal(errs)
		}
		if got := s.Replace(tc.in); got != tc.want {
			t.Errorf("%q with %q of %q: %q, want %q", tc.regex, tc.with, tc.in, got, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	str := func(msg proto.Message, path conf.Path, errs *conf.Errors) bool {
		return match.NewString(msg.(*matcherv3.StringMatcher), path, errs) == nil
	}
	header := func(msg proto.Message, path conf.Path, errs *conf.Errors) bool {
		return match.NewHeader(msg.(*routev3.HeaderMatcher), path, errs) == nil
	}
	query := func(msg proto.Message, path conf.Path, errs *conf.Errors) bool {
		return match.NewQueryParameter(msg.(*routev3.QueryParameterMatcher), path, errs) == nil
	}
	subst := func(msg proto.Message, path conf.Path, errs *conf.Errors) bool {
		return match.NewSubstitution(msg.(*matcherv3.RegexMatchAndSubstitute), path, errs) == nil
	}
	s, h, q, r := new(matcherv3.StringMatcher), new(routev3.HeaderMatcher), new(routev3.QueryParameterMatcher), new(matcherv3.RegexMatchAndSubstitute)
	for _, tc := range []struct {
		build func(proto.Message, conf.Path, *conf.Errors) bool
		msg   proto.Message
		json  string
		want  string
	}{
		{str, s, `{}`, "p: one of exact, prefix, suffix, contains, safe_regex is required"},
		{str, s, `{"custom":{"name":"x"}}`, "p.custom: field custom is not implemented"},
		{str, s, `{"safe_regex":{"regex":"a"},"ignore_case":true}`, "p.ignore_case: has no effect on a regex: use (?i) in the regex"},
		{str, s, `{"safe_regex":{"regex":"(a"}}`, "p.safe_regex.regex: error parsing regexp: missing closing ): `(a`"},
		{str, s, `{"safe_regex":{"regex":"a)(b"}}`, "p.safe_regex.regex: error parsing regexp: unexpected ): `a)(b`"},
		{str, s, `{"safe_regex":{"regex":"((a{100}){100}){100}"}}`, "p.safe_regex.regex: error parsing regexp: invalid repeat count: `{100}`"},
		{str, s, `{"safe_regex":{"regex":"[a-z]{10}","google_re2":{"max_program_size":13}}}`, "p.safe_regex.regex: program size of 14 is more than the limit of 13"},
		{header, h, `{}`, "p.name: must not be empty"},
		{header, h, `{"name":"a","safe_regex_match":{"regex":"*"}}`, "p.safe_regex_match.regex: error parsing regexp: missing argument to repetition operator: `*`"},
		{query, q, `{"string_match":{}}`, "p.name: must not be empty\np.string_match: one of exact, prefix, suffix, contains, safe_regex is required"},
		{subst, r, `{"pattern":{"regex":"(a)"},"substitution":"a\\"}`, "p.substitution: a backslash must be followed by a digit or a backslash"},
		{subst, r, `{"pattern":{"regex":"["}}`, "p.pattern.regex: error parsing regexp: missing closing ]: `[`"},
	} {
		var errs conf.Errors
		msg := load(t, proto.Clone(tc.msg), tc.json)
		if !tc.build(msg, conf.Path{}.Field("p"), &errs) || errs.Error() != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.json, errs, tc.want)
		}
	}
}

func TestNilMessages(t *testing.T) {
	var errs conf.Errors
	match.NewString(nil, conf.Path{}, &errs)
	match.NewRegex(nil, conf.Path{}, &errs)
	match.NewSubstitution(nil, conf.Path{}, &errs)
	match.NewHeader(nil, conf.Path{}, &errs)
	match.NewQueryParameter(nil, conf.Path{}, &errs)
	if len(errs) == 0 {
		t.Error("no error")
	}
}

func TestRegexPrefix(t *testing.T) {
	for regex, want := range map[string]string{
		"/a/.*": "/a/", "^/a/[0-9]+$": "/a/", "/a|/b": "/", "(/x/)y": "/x/", ".*": "", "(?i)/a": "", "/aé": "/aé", "a*": "",
		"": "", "/a?": "/", "\\x{100}a": "",
	} {
		var errs conf.Errors
		r := match.NewRegex(&matcherv3.RegexMatcher{Regex: regex}, conf.Path{}, &errs)
		if r == nil {
			t.Fatal(errs)
		}
		if got := r.Prefix(); got != want {
			t.Errorf("%q: prefix %q, want %q", regex, got, want)
		}
	}
}

func TestFieldsExist(t *testing.T) {
	for _, tc := range []struct {
		f  conf.Fields
		md protoreflect.MessageDescriptor
	}{
		{match.StringFields(), new(matcherv3.StringMatcher).ProtoReflect().Descriptor()},
		{match.RegexFields(), new(matcherv3.RegexMatcher).ProtoReflect().Descriptor()},
		{match.SubstitutionFields(), new(matcherv3.RegexMatchAndSubstitute).ProtoReflect().Descriptor()},
		{match.HeaderFields(), new(routev3.HeaderMatcher).ProtoReflect().Descriptor()},
		{match.QueryParameterFields(), new(routev3.QueryParameterMatcher).ProtoReflect().Descriptor()},
	} {
		if _, _, err := tc.f.Split(tc.md); err != nil {
			t.Error(err)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	var headers httpmsg.Headers
	headers.Add("x-h", "value")
	headers.Add("accept", "text/html")
	matchers := []*match.Header{
		newHeader(t, `{"name":"x-h","string_match":{"safe_regex":{"regex":"v[a-z]+e"}}}`),
		newHeader(t, `{"name":"x-h","string_match":{"contains":"ALU","ignore_case":true}}`),
		newHeader(t, `{"name":"accept","string_match":{"suffix":"html"}}`),
		newHeader(t, `{"name":"x-h","range_match":{"start":1,"end":2},"invert_match":true}`),
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range matchers {
			if !m.MatchHeaders(&headers) {
				t.Fatal("no match")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Patterns come from trusted people, text does not; neither may panic.
func FuzzRegex(f *testing.F) {
	f.Fuzz(func(t *testing.T, pattern, with, text string) {
		var errs conf.Errors
		cfg := &matcherv3.RegexMatcher{Regex: pattern}
		if r := match.NewRegex(cfg, conf.Path{}, &errs); r != nil && r.Match(text) && !strings.HasPrefix(text, r.Prefix()) {
			t.Errorf("%q matches %q, which does not begin with %q", pattern, text, r.Prefix())
		}
		if s := match.NewSubstitution(&matcherv3.RegexMatchAndSubstitute{Pattern: cfg, Substitution: with}, conf.Path{}, &errs); s != nil {
			s.Replace(text)
		}
	})
}
