package match_test

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// The values are those that Envoy 1.40 finds.
func TestCookieValue(t *testing.T) {
	for _, tc := range []struct {
		headers []string
		value   string
		ok      bool
	}{
		{nil, "", false},
		{[]string{"a=x"}, "x", true},
		{[]string{"a=y; a=x"}, "y", true},
		{[]string{"a=y", "a=x"}, "y", true},
		{[]string{"b=1; a=x"}, "x", true},
		{[]string{"b=1;a=x"}, "x", true},
		{[]string{"b=1;   a=x"}, "x", true},
		{[]string{"  a=x"}, "x", true},
		{[]string{"b=1;\ta=x"}, "", false},
		{[]string{`a="x"`}, "x", true},
		{[]string{`a="x`}, `"x`, true},
		{[]string{`a="`}, `"`, true},
		{[]string{`a=""`}, "", true},
		{[]string{`a=="x"`}, `="x"`, true},
		{[]string{"a= x"}, " x", true},
		{[]string{"a=x ;b=1"}, "x ", true},
		{[]string{"a =x"}, "", false},
		{[]string{`"a"=x`}, "", false},
		{[]string{"a"}, "", false},
		{[]string{"a="}, "", true},
		{[]string{"A=x"}, "", false},
		{[]string{"b=1,a=x"}, "", false},
		{[]string{"a=x;"}, "x", true},
		{[]string{";a=x"}, "x", true},
		{[]string{"=;a=x"}, "x", true},
		{[]string{"b=1", "a=x"}, "x", true},
	} {
		h := new(httpmsg.Headers)
		h.Add("a", "no cookie")
		for _, v := range tc.headers {
			h.Add("cookie", v)
		}
		if value, ok := match.CookieValue(h, "a"); value != tc.value || ok != tc.ok {
			t.Errorf("%q: %q, %v", tc.headers, value, ok)
		}
	}
}

func TestCookie(t *testing.T) {
	exact := func(text string) *matcherv3.StringMatcher {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: text}}
	}
	var errs conf.Errors
	is := match.NewCookie(&routev3.CookieMatcher{Name: "a", StringMatch: exact("x")}, conf.Path{}, &errs)
	isNot := match.NewCookie(&routev3.CookieMatcher{Name: "a", StringMatch: exact("x"), InvertMatch: true}, conf.Path{}, &errs)
	empty := match.NewCookie(&routev3.CookieMatcher{Name: "a", StringMatch: exact("")}, conf.Path{}, &errs)
	for _, tc := range []struct {
		cookie           string
		is, isNot, empty bool
		why              string
	}{
		{"a=x", true, false, false, `cookie a: exact "x", got "x"`},
		{"a=y", false, true, false, `cookie a: exact "x", got "y"`},
		{"a=", false, true, true, `cookie a: exact "x", got ""`},
		{"b=x", false, true, false, `cookie a: exact "x", it is missing`},
	} {
		h := new(httpmsg.Headers)
		h.Add("cookie", tc.cookie)
		if is.MatchHeaders(h) != tc.is || isNot.MatchHeaders(h) != tc.isNot || empty.MatchHeaders(h) != tc.empty {
			t.Error(tc.cookie)
		}
		if got := is.Explain(h); got != tc.why {
			t.Errorf("%s: %s", tc.cookie, got)
		}
		if n := testing.AllocsPerRun(10, func() { is.MatchHeaders(h) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	if len(errs) > 0 {
		t.Error(errs)
	}
}

// Whatever the header holds, a cookie is found where a reading of the rules finds it.
func FuzzCookieValue(f *testing.F) {
	f.Add(`a=x; b="y"`, "b")
	f.Fuzz(func(t *testing.T, header, name string) {
		h := new(httpmsg.Headers)
		h.Add("cookie", header)
		value, ok := match.CookieValue(h, name)
		want, found := naiveCookie(header, name)
		if value != want || ok != found {
			t.Errorf("%q of %q: %q, %v, want %q, %v", name, header, value, ok, want, found)
		}
	})
}

func naiveCookie(header, name string) (string, bool) {
	for header != "" {
		end := 0
		for end < len(header) && header[end] != ';' {
			end++
		}
		pair := header[:end]
		header = header[min(end+1, len(header)):]
		for pair != "" && pair[0] == ' ' {
			pair = pair[1:]
		}
		for i := range len(pair) {
			if pair[i] == '=' {
				if pair[:i] == name {
					value := pair[i+1:]
					if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
						value = value[1 : len(value)-1]
					}
					return value, true
				}
				break
			}
		}
	}
	return "", false
}
