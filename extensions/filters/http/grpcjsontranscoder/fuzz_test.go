package grpcjsontranscoder

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestParseTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"/":             "a segment is empty",
		"":              "must begin with /",
		"a":             "must begin with /",
		"/a//b":         "a segment is empty",
		"/a/":           "a segment is empty",
		"/a:":           "the verb is empty",
		"/a:b:c":        "unexpected :",
		"/{a":           "a variable has no end",
		"/{}":           "the name of a field is empty",
		"/{a.}":         "the name of a field is empty",
		"/{a={b}}":      "a variable is in another one",
		"/**/*":         "only literals may follow **",
		"/{a=**}/{b}":   "only literals may follow **",
		"/*a":           "unexpected a",
		"/a}":           "unexpected }",
		"/a/*/{b.c}:v":  "a * * : v b.c 2-3",
		"/{a=x/*/**}/y": "x * ** y : a 0--2",
		"/{a=**}:v":     "** : v a 0--1",
	} {
		got := ""
		if p, err := parseTemplate(text); err != nil {
			got = err.Error()
		} else {
			got = strings.Join(p.segments, " ") + " :"
			if p.verb != "" {
				got += " " + p.verb
			}
			for _, v := range p.variables {
				got += " " + strings.Join(v.field, ".") + " " + jsonText(v.start) + "-" + jsonText(v.end)
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// FuzzTemplate checks that a path made from a template is found by it.
func FuzzTemplate(f *testing.F) {
	f.Add("/v1/{a.b=x/*/**}/c:verb")
	f.Add("/{a}/{b=**}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseTemplate(text)
		if err != nil {
			return
		}
		var m matcher
		r := &rule{variables: p.variables}
		m.register("GET", p, r)
		path := ""
		for _, s := range p.segments {
			switch s {
			case oneSegment:
				s = "one"
			case manySegments:
				s = "many/more"
			}
			path += "/" + s
		}
		if p.verb != "" {
			path += ":" + p.verb
		}
		found, rest := m.find("GET", path)
		if found != r {
			if strings.Contains(text, ":") && p.verb == "" {
				return // what looks like a verb in a literal
			}
			t.Fatalf("%s is not found by %s", path, text)
		}
		for _, b := range m.bindings(r, rest, "") {
			if b.value == "" {
				t.Fatalf("%s: %v has no value", path, b.field)
			}
		}
	})
}

// FuzzPath checks that no request is too much for a matcher.
func FuzzPath(f *testing.F) {
	var errs conf.Errors
	cfg := newSettings(plain(f), conf.Path{}, &errs)
	f.Add("GET", "/shelves/3/books/7", "book.title=a%20b&x&=&a..b=c")
	f.Add("POST", "/archive/shelves/1/books/2:archive", "")
	f.Fuzz(func(_ *testing.T, method, path, query string) {
		r, rest := cfg.matcher.find(method, path)
		if r == nil {
			return
		}
		c := &call{rule: r, cfg: cfg}
		if c.bind(cfg.matcher.bindings(r, rest, query)) == nil {
			_, _ = cfg.translateRequest(r, nil, c.values)
		}
	})
}

// FuzzArray checks that the elements of an array are found however it arrives, and as the
// standard library finds them.
func FuzzArray(f *testing.F) {
	f.Add([]byte(`[{"a":"]\"}"}, [1,2] ,3,"x",null]`))
	f.Add([]byte(`[1,]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		run := func(step int) (elements []string, err error) {
			var r arrayReader
			each := func(element []byte) error {
				elements = append(elements, string(element))
				return nil
			}
			for from := 0; from < len(text); from += step {
				if err := r.feed(text[from:min(from+step, len(text))], each); err != nil {
					return elements, err
				}
			}
			return elements, r.finish()
		}
		whole, err := run(len(text) + 1)
		single, err1 := run(1)
		if !errors.Is(err, err1) || strings.Join(whole, "\n") != strings.Join(single, "\n") {
			t.Fatalf("%q %v, in single bytes %q %v", whole, err, single, err1)
		}
		var want []json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			return
		}
		if err != nil || len(whole) != len(want) {
			t.Fatalf("%q %v, want %q", whole, err, want)
		}
		for i := range want {
			if whole[i] != string(want[i]) {
				t.Fatalf("%q, want %q", whole[i], want[i])
			}
		}
	})
}

// FuzzCompact checks that JSON means the same afterwards.
func FuzzCompact(f *testing.F) {
	f.Add("a<b> \"\\\x7f\u2028\U000e0001 é")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := json.MarshalIndent(map[string]any{text: []string{text}}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		out := appendCompact(nil, in)
		var want, got map[string][]string
		if err := errors.Join(json.Unmarshal(in, &want), json.Unmarshal(out, &got)); err != nil {
			t.Fatal(err)
		}
		for key := range want {
			if len(got) != 1 || len(got[key]) != 1 || got[key][0] != want[key][0] {
				t.Fatalf("%s became %s", in, out)
			}
		}
	})
}
