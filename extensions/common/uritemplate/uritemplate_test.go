package uritemplate

import (
	"regexp"
	"strings"
	"testing"
)

// What Envoy 1.40 takes, and which paths match (yes) or not (no).
func TestParse(t *testing.T) {
	for _, tc := range []struct{ text, yes, no string }{
		{"/", "/", "/a"},
		{"/lit", "/lit", "/lit/ /LIT /li"},
		{"/*", "/a /a-b /a=b /*", "/ /a/b /a|b"},
		{"/**", "/ /a /a/b //", "/a|b"},
		{"/a/*/b", "/a/x/b /a/x%20y/b /a/x*y/b /a/x;y/b /a/x'y/b", "/a//b /a/x/y/b /a/x|y/b"},
		{"/**/a", "/b/a //a /b/c/a", "/a"},
		{"/*/**", "/a/ /a/b /a/b/c", "/a"},
		{"/{a}", "/x", "/ /x/y"},
		{"/{a=*}", "/x", "/ /x/y"},
		{"/{a=**}", "/ /x/y", "x"},
		{"/{a=*/**}", "/x/ /x/y/z", "/x"},
		{"/m/{a=x/*/y}", "/m/x/1/y", "/m/x/y"},
		{"/{a=**}.ts", "/x.ts /a/b.ts /.ts", "/ts"},
		{"/*.m3u8", "/a.m3u8 /a.b.m3u8", "/.m3u8 /am3u8"},
		{"/**.mpd", "/a/b.mpd /.mpd", "/a/b"},
		{"/{a}.x/y", "/q.x/y", "/qx/y"},
		{"/v{a}", "/v1", "/v /1"},
		{"/a{x}b/c{y}", "/aQb/c1", "/ab/c1 /aQb/c"},
		{"/p{a=**}", "/p /px/y", "/q"},
		{"/{x}a/", "/xa/", "/xa /a/"},
		{"/{a=b}c", "/bc", "/b"},
		{"/v/{a}:cancel", "/v/x:cancel", "/v/x"},
		{"/$a.b(c)+", "/$a.b(c)+", "/$aXb(c)+"},
		{"/s/", "/s/", "/s"},
		{"/*/", "/a/", "/a"},
		{"/ab=c", "/ab=c", "/ab"},
		{"/a%20b;c,d@:!&'", "/a%20b;c,d@:!&'", ""},
		{"/**/{b=c}", "/x/c //c", "/c"},
		{"/{a}/{b}/{c}/{d}/{e}", "/1/2/3/4/5", "/1/2/3/4"},
		{"/{aaaaaaaaaaaaaaaa}", "/x", ""},
		{"/a*", "/ /a /aa", "/a* /ab"}, // as in Envoy: the letter any number of times
		{"/*a*", "/a /ba /bac /*a*", "/b/a"},
		{"/{a==}", "/=", "/x"},
	} {
		parsed, err := Parse(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		re := regexp.MustCompile(`\A(?:` + parsed.Regex + `)\z`)
		for _, path := range strings.Fields(tc.yes) {
			if !re.MatchString(path) {
				t.Errorf("%s does not match %s: %s", tc.text, path, parsed.Regex)
			}
		}
		for _, path := range strings.Fields(tc.no) {
			if re.MatchString(path) {
				t.Errorf("%s matches %s: %s", tc.text, path, parsed.Regex)
			}
		}
	}
}

// Envoy 1.40 refuses all of these too.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                         `must begin with "/" and have printable ASCII characters only`,
		"a":                        `must begin with "/" and have printable ASCII characters only`,
		"/a b":                     `must begin with "/" and have printable ASCII characters only`,
		"/é":                       `must begin with "/" and have printable ASCII characters only`,
		"//":                       `"" is not literal text of a path`,
		"/a//b":                    `"" is not literal text of a path`,
		"/a}":                      `"a}" is not literal text of a path`,
		"/a^":                      `"a^" is not literal text of a path`,
		"/[a]":                     `"[a]" is not literal text of a path`,
		"/a?b":                     `"a?b" is not literal text of a path`,
		"/a#b":                     `"a#b" is not literal text of a path`,
		"/ab{x":                    `"ab{x" is not literal text of a path`,
		"/x{a=b/*}y":               `"x{a=b" is not literal text of a path`,
		"/a[{x}":                   `"a[" is not literal text of a path`,
		"/ab}c{d}":                 `"ab}c" is not literal text of a path`,
		"/{x}[":                    `"[" is not literal text of a path`,
		"/{x}{y}":                  `"{y}" is not literal text of a path`,
		"/{a}-{b}":                 `"-{b}" is not literal text of a path`,
		"/*{x}":                    `"{x}" is not literal text of a path`,
		"/{a=/}":                   `"" is not literal text of a path`,
		"/{a=b/}":                  `"" is not literal text of a path`,
		"/*.x/y":                   "text after * is for the last segment only",
		"/**.x/y":                  "text after ** is for the last segment only",
		"/**/*":                    "nothing but literal text may follow **",
		"/**/{b}":                  "nothing but literal text may follow **",
		"/**/a{x}":                 "nothing but literal text may follow **",
		"/{a=**}/*":                "nothing but literal text may follow **",
		"/{a":                      "a { has no }",
		"/a/{":                     "a { has no }",
		"/{}":                      `"" is not the name of a variable`,
		"/{=a}":                    `"" is not the name of a variable`,
		"/{1}":                     `"1" is not the name of a variable`,
		"/{x/y}":                   `"x/y" is not the name of a variable`,
		"/{aaaaaaaaaaaaaaaaa}":     "the name of variable aaaaaaaaaaaaaaaaa is longer than 16 characters",
		"/{a}/{a}":                 "variable a is there twice",
		"/{a}/{b}/{c}/{d}/{e}/{f}": "there are more than 5 variables",
		"/{a=}":                    "variable a matches nothing",
		"/{a=***}":                 "variable a: no text may follow a glob",
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestParseRewrite(t *testing.T) {
	variables := []string{"a", "b"}
	for _, tc := range []struct{ text, want, err string }{
		{"/x/{b}/{a}", `/x/\2/\1`, ""},
		{"/", "/", ""},
		{"/{a}{a}", `/\1\1`, ""},
		{"/a*=b", "/a*=b", ""},
		{"", "", `must begin with "/"`},
		{"{a}", "", `must begin with "/"`},
		{"//x", "", "must not have two slashes in a row"},
		{"/{a}//", "", "must not have two slashes in a row"},
		{"/{a", "", "a { has no }"},
		{"/a}", "", `"/a}" is not literal text of a path`},
		{"/a?b", "", `"/a?b" is not literal text of a path`},
		{`/a\1`, "", `"/a\\1" is not literal text of a path`},
		{"/{c}", "", `variable "c" is not in the template of path_match_policy`},
		{"/{}", "", `variable "" is not in the template of path_match_policy`},
	} {
		got, err := ParseRewrite(tc.text, variables)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
			t.Errorf("%s: %q, %v", tc.text, got, err)
		}
	}
}

// Every template that is taken makes a regular expression with a group for each
// variable, or one with a repetition that the compiler refuses.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/{b=*/**}.c", "/x{y}z/*.m4s", "/**", "/{a}*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		re, err := regexp.Compile(parsed.Regex)
		switch {
		case err != nil && !strings.Contains(err.Error(), "invalid nested repetition"):
			t.Errorf("%q: %v", text, err)
		case err == nil && re.NumSubexp() != len(parsed.Variables):
			t.Errorf("%q: %d groups, %q", text, re.NumSubexp(), parsed.Variables)
		}
	})
}
