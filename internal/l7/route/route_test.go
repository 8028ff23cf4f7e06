package route

import (
	"errors"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

var _ route.Table = (*Table)(nil)

// formats is a compiler for %REQ(name)% and plain text.
type formats struct{ format.Compiler }

// With returns f: it knows no formatters.
func (f formats) With([]*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) format.Compiler {
	return f
}

func (formats) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	text := msg.GetTextFormatSource().GetInlineString()
	if strings.Contains(text, "%NOPE%") {
		errs.Add(path.Field("text_format_source"), "no operator NOPE")
		return nil
	}
	return newFormat(text, !msg.GetOmitEmptyValues())
}

func (formats) Compile(text string) (format.Format, error) {
	if strings.Contains(text, "%NOPE%") {
		return nil, errors.New("no operator NOPE")
	}
	return newFormat(text, true), nil
}

func newFormat(text string, dash bool) format.Format {
	before, rest, ok := strings.Cut(text, "%REQ(")
	name, after, _ := strings.Cut(rest, ")%")
	return &reqFormat{before, strings.ToLower(name), after, !ok, dash}
}

type reqFormat struct {
	before, name, after string
	literal, dash       bool
}

func (f *reqFormat) Append(dst []byte, e *format.Entry) []byte {
	value, found := e.Request.Find(f.name)
	if !found && !f.literal && f.dash {
		value = "-"
	}
	return append(dst, f.before+value+f.after...)
}

func (f *reqFormat) Literal() (string, bool) { return f.before, f.literal }

// clusters knows c and d.
type clusters struct{}

type cluster struct{ upstream.Cluster }

func (clusters) Get(name string) upstream.Cluster {
	if name == "c" || name == "d" {
		return cluster{}
	}
	return nil
}

func (c clusters) Known(name string) bool { return c.Get(name) != nil }

// settings is a runtime with nothing but percentages.
type settings map[string]uint32

type snapshot struct {
	runtimeconf.Snapshot
	settings
}

func (s settings) Snapshot() runtimeconf.Snapshot { return snapshot{settings: s} }

func (s snapshot) Percent(key string, otherwise uint32) uint32 {
	if v, ok := s.settings[key]; ok {
		return v
	}
	return otherwise
}

func (s snapshot) Integer(key string, otherwise uint64) uint64 {
	if v, ok := s.settings[key]; ok {
		return uint64(v)
	}
	return otherwise
}

// bufferFactory takes envoy.extensions.filters.http.buffer.v3.BufferPerRoute.
type bufferFactory struct{}

func (bufferFactory) Name() string               { return "envoy.filters.http.buffer" }
func (bufferFactory) Category() string           { return extension.HTTPFilters }
func (bufferFactory) Config() proto.Message      { return new(bufferv3.Buffer) }
func (bufferFactory) RouteConfig() proto.Message { return new(bufferv3.BufferPerRoute) }
func (bufferFactory) Fields() []conf.Fields      { return nil }
func (bufferFactory) Terminal() bool             { return false }

func (bufferFactory) BuildHTTPFilter(proto.Message, extension.HTTPContext, conf.Path, *conf.Errors) httpfilter.Builder {
	return nil
}

func (bufferFactory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	cfg := msg.(*bufferv3.BufferPerRoute)
	if cfg.GetBuffer() == nil {
		errs.Add(path.Field("buffer"), "is required here")
		return nil
	}
	return int(cfg.GetBuffer().GetMaxRequestBytes().GetValue())
}

func testContext(t testing.TB) BuildContext {
	t.Helper()
	registry := new(extension.Registry)
	if err := registry.Add(append(fakes(), bufferFactory{}, inputFactory{}, pathFactory{})...); err != nil {
		t.Fatal(err)
	}
	return BuildContext{ValidateClusters: true, HTTPContext: extension.HTTPContext{Context: extension.Context{
		Registry: registry, Runtime: settings{"half": 500_000, "w.c": 0, "zero.c": 0, "zero.d": 0}, Clusters: clusters{}, Formats: formats{},
		LookupEnv: func(name string) (string, bool) { return "of " + name, name == "SET" },
	}, Root: metrics.New(1)}}
}

func parse(yaml string) (*routev3.RouteConfiguration, error) {
	cfg := new(routev3.RouteConfiguration)
	_, err := protoconv.Load(cfg, protoconv.Options{}, protoconv.Source{Data: []byte(yaml)})
	return cfg, err
}

func build(t testing.TB, yaml string) *Table {
	t.Helper()
	cfg, err := parse(yaml)
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	var errs conf.Errors
	table := Build(cfg, testContext(t), conf.Path{}, &errs)
	if table == nil {
		t.Fatalf("%s\n%s", errs, yaml)
	}
	return table
}

// routes builds a table of one virtual host, from the list of its routes.
func routes(t testing.TB, list string) *Table {
	t.Helper()
	return build(t, "virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n"+indent(list, "  "))
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by)
}

// headers makes a request: path, then pairs. The others are those of GET from a.
func headers(path string, pairs ...string) *httpmsg.Headers {
	h := new(httpmsg.Headers)
	h.Add(":method", "GET")
	h.Add(":authority", "a")
	h.Add(":scheme", "http")
	if path != "" {
		h.Add(":path", path)
	}
	h.Add("x-forwarded-proto", "http")
	for i := 0; i < len(pairs); i += 2 {
		if strings.HasPrefix(pairs[i], ":") {
			h.SetName(pairs[i], pairs[i+1])
		} else {
			h.Add(pairs[i], pairs[i+1])
		}
	}
	return h
}

func nameOf(r *route.Route) string {
	if r == nil {
		return "-"
	}
	return r.Name
}

func TestVirtualHosts(t *testing.T) {
	const hosts = `
virtual_hosts:
- {name: good, domains: [good.example], routes: [{name: good, match: {prefix: /}, route: {cluster: c}}]}
- {name: suf, domains: ["*.suf.com"], routes: [{name: suf, match: {prefix: /}, route: {cluster: c}}]}
- {name: suf2, domains: ["*-x.suf.com"], routes: [{name: suf2, match: {prefix: /}, route: {cluster: c}}]}
- {name: pre, domains: ["PRE.*"], routes: [{name: pre, match: {prefix: /}, route: {cluster: c}}]}
- {name: v6, domains: ["[::1]"], routes: [{name: v6, match: {prefix: /}, route: {cluster: c}}]}
`
	strict, loose := build(t, hosts), build(t, "ignore_port_in_host_matching: true"+hosts)
	withStar := build(t, hosts+"- {name: any, domains: ['*'], routes: [{name: any, match: {prefix: /}, route: {cluster: c}}]}")
	for _, tc := range []struct{ host, strict, loose string }{ // as Envoy answers
		{"good.example", "good", "good"}, {"good.example:99", "-", "good"}, {"GOOD.example", "good", "good"},
		{"good.example.", "-", "-"}, {"x.suf.com", "suf", "suf"}, {"y.x.suf.com", "suf", "suf"},
		{"x.suf.com:80", "-", "suf"}, {".suf.com", "-", "-"}, {"suf.com", "-", "-"}, {"pre.com", "pre", "pre"},
		{"pre.a.b", "pre", "pre"}, {"pre.", "-", "-"}, {"[::1]", "v6", "v6"}, {"[::1]:80", "-", "v6"}, {"", "-", "-"},
		{"good.example:", "-", "good"}, {"good.example:ab", "-", "good"}, {"zz-x.suf.com", "suf2", "suf2"}, {"other", "-", "-"},
	} {
		h := headers("/", ":authority", tc.host)
		if got := nameOf(strict.Match(h, nil, 0)); got != tc.strict {
			t.Errorf("%q: %s, want %s", tc.host, got, tc.strict)
		}
		if got := nameOf(loose.Match(h, nil, 0)); got != tc.loose {
			t.Errorf("%q without port: %s, want %s", tc.host, got, tc.loose)
		}
		want := tc.strict
		if want == "-" {
			want = "any"
		}
		if got := nameOf(withStar.Match(h, nil, 0)); got != want {
			t.Errorf("%q with *: %s, want %s", tc.host, got, want)
		}
	}
	h := headers("/")
	h.RemoveName(":authority")
	if r := withStar.Match(h, nil, 0); r != nil {
		t.Error("a request without host matches", r.Name)
	}
	if r := routes(t, "- {match: {prefix: /}, route: {cluster: c}}").Match(h, nil, 0); r == nil {
		t.Error("a request without host does not match the only virtual host, *")
	}
}

func TestConditions(t *testing.T) {
	table := routes(t, `
- {name: never1, match: {prefix: "/q?x"}, route: {cluster: c}}
- {name: never2, match: {path: "/p?x"}, route: {cluster: c}}
- {name: sep, match: {path_separated_prefix: /s}, route: {cluster: c}}
- {name: sepci, match: {path_separated_prefix: /T, case_sensitive: false}, route: {cluster: c}}
- {name: ci, match: {prefix: /Ci, case_sensitive: false}, route: {cluster: c}}
- {name: cipath, match: {path: /Ex, case_sensitive: false}, route: {cluster: c}}
- {name: regex, match: {safe_regex: {regex: "/r[0-9]+"}, case_sensitive: false}, route: {cluster: c}}
- {name: post, match: {prefix: /h, headers: [{name: ":method", string_match: {exact: POST}}]}, route: {cluster: c}}
- {name: header, match: {prefix: /h, headers: [{name: x, present_match: true}]}, route: {cluster: c}}
- {name: query, match: {prefix: /h, query_parameters: [{name: a, string_match: {exact: "1"}}]}, route: {cluster: c}}
- {name: grpc, match: {prefix: /h, grpc: {}}, route: {cluster: c}}
- {name: half, match: {prefix: /half, runtime_fraction: {default_value: {numerator: 0}, runtime_key: half}}, route: {cluster: c}}
- {name: tenth, match: {prefix: /half, runtime_fraction: {default_value: {numerator: 90}}}, route: {cluster: c}}
- {name: connect, match: {connect_matcher: {}}, route: {cluster: c}}
- {name: rest, match: {prefix: /h}, route: {cluster: c}}
`)
	for _, tc := range []struct {
		h      *httpmsg.Headers
		random uint64
		want   string
	}{
		{headers("/q?x"), 0, "-"}, {headers("/q"), 0, "-"}, {headers("/p?x"), 0, "-"}, {headers("/p"), 0, "-"},
		{headers("/s"), 0, "sep"}, {headers("/sa"), 0, "-"}, {headers("/s/"), 0, "sep"}, {headers("/s/a"), 0, "sep"},
		{headers("/s?q"), 0, "sep"}, {headers("/S"), 0, "-"}, {headers("/t/a"), 0, "sepci"}, {headers("/T"), 0, "sepci"},
		{headers("/ci1"), 0, "ci"}, {headers("/CI"), 0, "ci"}, {headers("/eX?a"), 0, "cipath"}, {headers("/exx"), 0, "-"},
		{headers("/r1"), 0, "regex"}, {headers("/R1"), 0, "-"}, {headers("/r1?a"), 0, "regex"}, {headers("/r1a"), 0, "-"},
		{headers("/h"), 0, "rest"}, {headers("/h", ":method", "POST"), 0, "post"}, {headers("/h", "x", ""), 0, "header"},
		{headers("/h?a=1"), 0, "query"}, {headers("/h?a=2"), 0, "rest"},
		{headers("/h", "content-type", "application/grpc"), 0, "grpc"},
		{headers("/h", "content-type", "application/grpc+proto"), 0, "grpc"},
		{headers("/h", "content-type", "application/grpc;x"), 0, "rest"},
		{headers("/h", "content-type", "application/grpc-web"), 0, "rest"},
		{headers("/half"), 499_999, "half"}, {headers("/half"), 500_000, "tenth"}, {headers("/half"), 1_900_000, "rest"},
		{headers("", ":method", "CONNECT"), 0, "connect"}, {headers("/x", ":method", "CONNECT"), 0, "connect"},
		{headers("/h", ":method", "CONNECT"), 0, "connect"}, {headers(""), 0, "-"}, {headers("*"), 0, "-"},
	} {
		if got := nameOf(table.Match(tc.h, nil, tc.random)); got != tc.want {
			t.Errorf("%v, %d: %s, want %s", tc.h.Fields(), tc.random, got, tc.want)
		}
	}
}

func TestIgnorePathParameters(t *testing.T) {
	table := build(t, `
ignore_path_parameters_in_path_matching: true
virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - {name: exact, match: {path: /a}, route: {cluster: c}}
  - {name: regex, match: {safe_regex: {regex: "/b+"}}, route: {cluster: c}}
`)
	for path, want := range map[string]string{"/a;x=1": "exact", "/a;x/b": "exact", "/bb;a?q": "regex", "/a?b;c": "exact", "/ab;": "-"} {
		if got := nameOf(table.Match(headers(path), nil, 0)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestRequireTLS(t *testing.T) {
	for _, tc := range []struct{ require, proto, internal, want string }{
		{"ALL", "http", "true", "https://a:80/x?q"}, {"ALL", "https", "", ""},
		{"EXTERNAL_ONLY", "http", "true", ""}, {"EXTERNAL_ONLY", "http", "", "https://a:80/x?q"},
		{"NONE", "http", "", ""},
	} {
		table := build(t, `virtual_hosts: [{name: v, domains: ['*'], require_tls: `+tc.require+
			`, routes: [{match: {prefix: /}, route: {cluster: c}}]}]`)
		h := headers("/x?q", ":authority", "a:80", "x-envoy-internal", tc.internal)
		h.Set(httpmsg.XForwardedProto, tc.proto)
		got := ""
		if r := table.Match(h, nil, 0); r.Direct != nil {
			if got = r.Direct.Location(h, nil); r.Direct.Status != 301 {
				t.Errorf("status %d", r.Direct.Status)
			}
		}
		if got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

func TestFieldsExist(t *testing.T) {
	for _, f := range Fields() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(f.Message)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Split(d.(protoreflect.MessageDescriptor)); err != nil {
			t.Error(err)
		}
	}
}
