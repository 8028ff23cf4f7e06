package conformance

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests of this file are of the harness itself.

func testNames() *names {
	return &names{id: "case007", log: "/tmp/log", ports: map[string]string{"up": "4711"},
		seen: map[string]string{"127.0.0.1:4711": "up", "127.0.0.1:47110": "client"}}
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"GET /⏎\r\n":              "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"$up, $":                  "case007_up, $",
		"^/x$":                    "^/x$",
		"{{log}} {{port:up}}":     "/tmp/log 4711",
		"{{ab * 3}}":              "ababab",
		"{{x-%d: a\r\n * 2}}":     "x-0: a\r\nx-1: a\r\n",
		"%REQ(a)% {{x}} {{ * 2}}": "%REQ(a)% {{x}} {{ * 2}}",
	} {
		if got := testNames().expand(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	got := testNames().expandAll(map[string]any{"$a": []any{"{{port:up}}", "{{port:up}}0", true}})
	want := map[string]any{"case007_a": []any{4711, "47110", true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWireBytes(t *testing.T) {
	b, err := wireBytes("a\x00\u0080\u00ff")
	if err != nil || string(b) != "a\x00\x80\xff" {
		t.Errorf("%q, %v", b, err)
	}
	if text := wireText(b); text != "a\x00\u0080\u00ff" {
		t.Errorf("%q", text)
	}
	if _, err := wireBytes("€"); err == nil {
		t.Error("a character that is no byte passes")
	}
}

func TestNormalize(t *testing.T) {
	now := time.Now().UTC().Format(http.TimeFormat)
	for text, want := range map[string]string{
		"date: " + now + "\r\n":                              "date: NOW\r\n",
		"date: Mon, 01 Jan 2001 00:00:00 GMT\r\n":            "date: Mon, 01 Jan 2001 00:00:00 GMT\r\n",
		"x-date: " + now + "\r\n":                            "x-date: " + now + "\r\n",
		"a\r\nx-envoy-upstream-service-time: 12\r\n":         "a\r\nx-envoy-upstream-service-time: MS\r\n",
		"x-request-id: 0e3f1a52-77aa-9c1e-8d52-0123456789ab": "x-request-id: UUID-9",
		"x-request-id: mine":                                 "x-request-id: mine",
		"x-envoy-expected-rq-timeout-ms: 15000\r\n":          "x-envoy-expected-rq-timeout-ms: 15000\r\n",
		"x-envoy-expected-rq-timeout-ms: 14993\r\n":          "x-envoy-expected-rq-timeout-ms: 15000 less what has passed\r\n",
		"127.0.0.1:4711 127.0.0.1:47110 127.0.0.1:47":        "{up} {client} 127.0.0.1:47",
		`"port_value": 4711, "port_value": 80`:               `"port_value": {up}, "port_value": 80`,
		"x-forwarded-port: 4711\r\n":                         "x-forwarded-port: {up}\r\n",
		"invalid path. admin commands are:\n  /x: y\n":       "invalid path. admin commands are:\nLIST",
		"FieldMask goo.gle/debugstr    \n":                   "FieldMask goo.gle/debug \n",
		`"last_updated": "2026-01-01T00:00:00Z"`:             `"last_updated": "NOW"`,
		"cluster.case007_up.upstream_rq_total, case007":      "cluster.$up.upstream_rq_total, case007",
	} {
		if got := testNames().normalize(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		`{"b": 1.0, "a": {}}`: "{\n \"a\": {},\n \"b\": 1.0\n}",
		"{} {}":               "{} {}",
		"text":                "text",
		"12":                  "12",
	} {
		if got := canonical(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	got := testNames().lines([]byte("a\r\n\r\n\x80" + strings.Repeat("b", 40) + "c"))
	if want := []string{"a\r\n", "\r\n", "\u0080{{b * 40}}c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDiff(t *testing.T) {
	a := outcome{"same": {"x"}, "log": {"1", "2", "3", "4"}, "gone": {"x"}}
	b := outcome{"same": {"x"}, "log": {"1", "3", "3b", "4"}, "new": {"\r\n"}}
	want := `  gone
    - x
  log
    - 2
      3
    + 3b
  new
    + \r\n
`
	if got := diff(a, b); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := diff(a, a); got != "" {
		t.Errorf("equal, but %s", got)
	}
}

// TestDiffers: what is recorded of a difference on purpose gives back the whole.
func TestDiffers(t *testing.T) {
	envoy := outcome{"same": {"x"}, "log": {"1"}, "gone": {"x"}}
	nuncio := outcome{"same": {"x"}, "log": {"2"}, "new": {"y"}}
	r := &recording{Envoy: envoy, Nuncio: envoy.change(nuncio)}
	if d := diff(nuncio, r.nuncio()); d != "" {
		t.Error(d)
	}
	if _, same := r.Nuncio["same"]; same {
		t.Error("a section that does not differ is recorded")
	}
}

func TestVerdict(t *testing.T) {
	one, two := outcome{"log": {"1"}}, outcome{"log": {"2"}}
	for _, c := range []struct {
		name    string
		differs string
		rec     *recording
		got     outcome
		ok      bool
	}{
		{"equal", "", &recording{Envoy: one}, one, true},
		{"not equal", "", &recording{Envoy: one}, two, false},
		{"no recording", "", nil, one, false},
		{"differs", "why", &recording{Envoy: one, Nuncio: two}, two, true},
		{"differs in another way", "why", &recording{Envoy: one, Nuncio: two}, outcome{"log": {"3"}}, false},
		{"differs no more", "why", &recording{Envoy: one, Nuncio: two}, one, false},
	} {
		recs := &recordings{cases: map[string]*recording{"x": c.rec}}
		if why, ok := verdict(&testCase{Name: "x", Differs: c.differs}, recs, &run{got: c.got}); ok != c.ok && !*updateFlag {
			t.Errorf("%s: %v %s", c.name, ok, why)
		}
	}
}

func TestOverlay(t *testing.T) {
	below := map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": []any{1}, "c": 1}
	got := overlay(below, map[string]any{"a": map[string]any{"y": 3}, "b": []any{2}, "c": nil})
	if want := map[string]any{"a": map[string]any{"x": 1, "y": 3}, "b": []any{2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if below["a"].(map[string]any)["y"] != 2 {
		t.Error("what is below has changed")
	}
}

func TestRequestLen(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\na\r\n0\r\n\r\n12345\r\n0\r\nx-t: 1\r\n\r\n",
	} {
		for i := range request {
			if n := requestLen([]byte(request[:i])); n != 0 {
				t.Errorf("%q is a request of %d bytes", request[:i], n)
			}
		}
		if n := requestLen([]byte(request + "GET / HT")); n != len(request) {
			t.Errorf("%q: %d bytes, want %d", request, n, len(request))
		}
	}
}

func TestLoadTopic(t *testing.T) {
	load := func(text string) (*topic, error) {
		file := filepath.Join(t.TempDir(), "things.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return loadTopic(file)
	}
	topic, err := load(`
about: things
defaults: {hcm: {a: 1, b: {c: 2}}}
cases:
- name: one
  why: RFC
  hcm: {b: {d: 3}}
  send: x
  client: [receive: ok, {send: y, conn: 2}, fin]
  upstream: [[request, fin], [request, send: z]]
  upstreams: {dead: refuse, other: reply}
- {name: two, why: RFC, send: x}
`)
	if err != nil {
		t.Fatal(err)
	}
	one := topic.Cases[0]
	if want := []step{{do: "send", text: "x"}, {do: "receive", text: "ok"}, {do: "send", text: "y", conn: 1}, {do: "fin"}}; !slices.Equal(one.Client, want) {
		t.Errorf("client %v, want %v", one.Client, want)
	}
	if u := one.Upstreams; len(u["up"].scripts) != 2 || !u["dead"].refuse || u["other"].reply != "reply" {
		t.Errorf("upstreams %v", u)
	}
	if got, want := one.over(topic.Defaults).HCM, map[string]any{"a": 1, "b": map[string]any{"c": 2, "d": 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("hcm %v, want %v", got, want)
	}
	if topic.choose(func(name string) bool { return name == "two" }); len(topic.Cases) != 1 || topic.Cases[0].Name != "two" {
		t.Errorf("chosen are %v", topic.Cases)
	}
	for _, bad := range []string{
		"cases: [{name: a, why: b, sned: x}]",
		"cases: [{name: a}]",
		"cases: [{name: a b, why: b}]",
		"cases: [{name: a, why: b}, {name: a, why: b}]",
		"cases: [{name: a, why: b, client: [jump]}]",
		"cases: [{name: a, why: b, client: [send]}]",
		"cases: [{name: a, why: b, client: [{send: x, receive: y}]}]",
		"cases: [{name: a, why: b, client: [{send: x, conn: 0}]}]",
		"cases: [{name: a, why: b, client: [pause: soon]}]",
		"cases: [{name: a, why: b, upstream: [admin: GET /]}]",
	} {
		if _, err := load(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
