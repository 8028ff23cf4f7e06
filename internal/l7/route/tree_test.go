package route

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// inputFactory makes the input of request headers.
type inputFactory struct{}

func (inputFactory) Name() string          { return "request-headers" }
func (inputFactory) Category() string      { return extension.MatchInputs }
func (inputFactory) Config() proto.Message { return new(matcherv3.HttpRequestHeaderMatchInput) }
func (inputFactory) Fields() []conf.Fields { return nil }

func (inputFactory) BuildMatchInput(msg proto.Message, _ extension.Context, _ conf.Path, _ *conf.Errors) matcher.Input {
	name := msg.(*matcherv3.HttpRequestHeaderMatchInput).GetHeaderName()
	return matcher.TextInput(func(d matcher.Data) matcher.Value { return matcher.TextValue(d.Request.Find(name)) })
}

// pathFactory makes paths that begin with a text and end with "a".
type pathFactory struct{}

func (pathFactory) Name() string          { return "ends-with-a" }
func (pathFactory) Category() string      { return extension.PathMatchers }
func (pathFactory) Config() proto.Message { return new(wrapperspb.StringValue) }
func (pathFactory) Fields() []conf.Fields { return nil }

func (pathFactory) BuildPathMatcher(msg proto.Message, _ conf.Path, _ *conf.Errors) route.PathMatcher {
	return endingWithA(msg.(*wrapperspb.StringValue).GetValue())
}

type endingWithA string

func (m endingWithA) Prefix() string   { return string(m) }
func (m endingWithA) Template() string { return string(m) + "*a" }

func (m endingWithA) MatchPath(path string) bool {
	return strings.HasPrefix(path, string(m)) && strings.HasSuffix(path, "a")
}

func endsWithA(prefix string) *corev3.TypedExtensionConfig {
	packed, err := anypb.New(wrapperspb.String(prefix))
	if err != nil {
		panic(err)
	}
	return &corev3.TypedExtensionConfig{Name: "x", TypedConfig: packed}
}

const tenant = `{name: x, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: tenant}}`

func routeAction(fields string) string {
	return `{action: {name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.` + fields + `}}}`
}

// As Envoy 1.40 routes.
func TestMatcher(t *testing.T) {
	table := build(t, `
virtual_hosts:
- name: v
  domains: ["*"]
  matcher:
    matcher_tree:
      input: `+tenant+`
      exact_match_map:
        map:
          one: `+routeAction("Route, name: one, match: {path: /p}, route: {cluster: unknown}")+`
          list: `+routeAction("RouteList, routes: [{name: a, match: {prefix: /a}, route: {cluster: c}}, {name: b, match: {prefix: /B, case_sensitive: false}, route: {cluster: c}}]")+`
    on_no_match: `+routeAction("Route, name: other, match: {prefix: /}, route: {cluster: c}")+`
`)
	for _, tc := range []struct{ tenant, path, want, why string }{
		{"one", "/p", "one", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["one"]|route 0 one matched`},
		{"one", "/", "-", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["one"]|route 0 one: path "/p" against "/"`},
		{"list", "/a", "a", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["list"]|route 0 a matched`},
		{"list", "/bx", "b", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["list"]|` +
			`route 0 a: path prefix "/a" against "/bx"|route 1 b matched`},
		{"list", "/c", "-", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["list"]|` +
			`route 0 a: path prefix "/a" against "/c"|route 1 b: path prefix "/b" in any case against "/c"`},
		{"z", "/c", "other", `virtual host v by domain "*"|matcher leads to virtual_hosts[0].matcher.on_no_match|route 0 other matched`},
	} {
		h := headers(tc.path, "tenant", tc.tenant)
		if got := nameOf(table.Match(h, nil, 0)); got != tc.want {
			t.Errorf("%s %s: %s", tc.tenant, tc.path, got)
		}
		if got := strings.Join(table.Explain(h, nil, 0).Lines(), "|"); got != tc.why {
			t.Errorf("%s %s:\n got %s\nwant %s", tc.tenant, tc.path, got, tc.why)
		}
		if n := testing.AllocsPerRun(10, func() { table.Match(h, nil, 0) }); n != 0 {
			t.Errorf("%s %s: %v allocations", tc.tenant, tc.path, n)
		}
	}
	empty := build(t, "virtual_hosts: [{name: v, domains: ['*'], matcher: {}}]")
	if r := empty.Match(headers("/"), nil, 0); r != nil {
		t.Error(r)
	}
	if got := empty.Explain(headers("/"), nil, 0).Reason; got != "the matcher of the virtual host finds no action" {
		t.Error(got)
	}
}

func TestMatcherErrors(t *testing.T) {
	for matcher, want := range map[string]string{
		"{on_no_match: {}}": "on_no_match: one of matcher, action is required",
		"{on_no_match: " + strings.TrimSuffix(routeAction("Route, match: {prefix: /}, route: {cluster: c}"), "}") + ", keep_matching: true}}": "on_no_match.keep_matching: is not supported here",
		"{on_no_match: " + routeAction("Route, match: {prefix: /}") + "}":                                                                     "on_no_match.action.typed_config: one of route, redirect, direct_response, filter_action, non_forwarding_action is required",
		"{on_no_match: " + routeAction("RouteList, routes: [{}]") + "}":                                                                       "on_no_match.action.typed_config.routes[0].match: one of prefix, path, safe_regex, path_separated_prefix, connect_matcher, path_match_policy is required",
		"{on_no_match: " + routeAction("RetryPolicy") + "}":                                                                                   "on_no_match.action.typed_config: the action must be of type envoy.config.route.v3.Route or RouteList, not envoy.config.route.v3.RetryPolicy",
		`{matcher_tree: {input: {name: x, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestTrailerMatchInput, header_name: x}}, exact_match_map: {map: {a: ` +
			routeAction("Route, match: {prefix: /}, route: {cluster: c}") + `}}}}`: "matcher_tree.input.typed_config: routes can be matched on request headers and filter state only",
	} {
		cfg, _ := parse("{virtual_hosts: [{name: v, domains: ['*'], matcher: " + matcher + "}]}")
		var errs conf.Errors
		if table := Build(cfg, testContext(t), conf.Path{}, &errs); table != nil || !strings.HasPrefix(errs.Error(), "virtual_hosts[0].matcher."+want) {
			t.Errorf("%s\n got %s\nwant %s", matcher, errs, want)
		}
	}
	check(t, "virtual_hosts: [{name: v, domains: ['*'], matcher: {}, routes: [{match: {prefix: /}, route: {cluster: c}}]}]",
		"virtual_hosts[0]: only one of routes and matcher may be set")
}

// As in Envoy 1.40.
func TestVirtualHostHeader(t *testing.T) {
	const hosts = `
virtual_hosts:
- {name: x, domains: [x.com], routes: [{name: x, match: {prefix: /}, route: {cluster: c}}]}
- {name: s, domains: ["*.s.com"], routes: [{name: s, match: {prefix: /}, route: {cluster: c}}]}
- {name: d, domains: ["*"], routes: [{name: d, match: {prefix: /}, route: {cluster: c}}]}
`
	table, loose := build(t, "vhost_header: HV"+hosts), build(t, "vhost_header: hv\nignore_port_in_host_matching: true"+hosts)
	for _, tc := range []struct{ host, header, want string }{
		{"x.com", "-", "-"}, {"a", "x.com", "x"}, {"a", "X.COM", "x"}, {"a", "x.com:80", "d"}, {"a", "a.s.com", "s"}, {"a", "", "d"}, {"x.com", "zz", "d"},
	} {
		h := headers("/", ":authority", tc.host)
		if tc.header != "-" {
			h.Add("hv", tc.header)
			h.Add("hv", "second")
		}
		if got := nameOf(table.Match(h, nil, 0)); got != tc.want {
			t.Errorf("%v: %s", tc, got)
		}
	}
	if got := nameOf(loose.Match(headers("/", "hv", "x.com:80"), nil, 0)); got != "x" {
		t.Error(got)
	}
	if got := table.Explain(headers("/"), nil, 0).Reason; got != "the request has no header hv, which names the virtual host" {
		t.Error(got)
	}
	if got := build(t, "vhost_header: Host"+hosts).Match(headers("/", ":authority", "x.com"), nil, 0).Name; got != "x" {
		t.Error(got)
	}
}

func TestInternalOnlyHeaders(t *testing.T) {
	if got := build(t, "internal_only_headers: [X-Int, z]").InternalOnlyHeaders(); len(got) != 2 || got[0] != "x-int" || got[1] != "z" {
		t.Error(got)
	}
}

// Each condition fails once, and says why.
func TestExplain(t *testing.T) {
	table := routes(t, `
- {name: path, match: {path: /x}, route: {cluster: c}}
- {match: {prefix: /X, case_sensitive: false}, route: {cluster: c}}
- {match: {path_separated_prefix: /sep}, route: {cluster: c}}
- {match: {safe_regex: {regex: "/r.*"}}, route: {cluster: c}}
- {match: {connect_matcher: {}}, route: {cluster: c}}
- {match: {path_match_policy: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: /t}}}, route: {cluster: c}}
- {match: {prefix: /, grpc: {}}, route: {cluster: c}}
- {match: {prefix: /, runtime_fraction: {default_value: {numerator: 10}, runtime_key: none}}, route: {cluster: c}}
- {match: {prefix: /, headers: [{name: ":method", string_match: {exact: GET}}, {name: x-env, string_match: {exact: prod}}]}, route: {cluster: c}}
- {match: {prefix: /, headers: [{name: x-env, string_match: {prefix: D, ignore_case: true}, invert_match: true}]}, route: {cluster: c}}
- {match: {prefix: /, headers: [{name: gone, present_match: true}]}, route: {cluster: c}}
- {match: {prefix: /, headers: [{name: x-env, range_match: {start: 1, end: 5}}]}, route: {cluster: c}}
- {match: {prefix: /, headers: [{name: x-env, string_match: {safe_regex: {regex: "a+"}}}]}, route: {cluster: c}}
- {match: {prefix: /, query_parameters: [{name: q, string_match: {exact: "2"}}]}, route: {cluster: c}}
- {match: {prefix: /, query_parameters: [{name: z, present_match: true}]}, route: {cluster: c}}
- {match: {prefix: /, cookies: [{name: c, string_match: {exact: v}}]}, route: {cluster: c}}
- {match: {prefix: /, tls_context: {presented: true}}, route: {cluster: c}}
- {match: {prefix: /, tls_context: {presented: false, validated: true}}, route: {cluster: c}}
- {match: {prefix: /, dynamic_metadata: [{filter: f, path: [{key: k}], value: {string_match: {exact: w}}}]}, route: {cluster: c}}
- {match: {prefix: /, filter_state: [{key: k, string_match: {exact: w}}]}, route: {cluster: c}}
- {match: {prefix: /, filter_state: [{key: gone, address_match: {ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}}]}, route: {cluster: c}}
- {name: last, match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: c, weight: 1}, {name: d, weight: 1}]}}}
`)
	info := &streaminfo.Stream{Downstream: new(streaminfo.Connection)}
	info.SetFilterState("k", "v")
	info.SetMetadata("f", &structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue("v")}})
	got := table.Explain(headers("/path?q=1", "x-env", "dev", "cookie", "c=w"), info, 500_001)
	want := []string{`virtual host v by domain "*"`,
		`route 0 path: path "/x" against "/path"`,
		`route 1: path prefix "/x" in any case against "/path"`,
		`route 2: path separated prefix "/sep" against "/path"`,
		`route 3: path regex "/r.*" against "/path"`,
		`route 4: connect_matcher: the method is "GET"`,
		`route 5: path template "/t*a" against "/path"`,
		`route 6: grpc: content-type is ""`,
		`route 7: runtime fraction of 10%, or what none says: the request is at 50.0001%`,
		`route 8: header x-env: exact "prod", got "dev"`,
		`route 9: header x-env: not prefix "d" in any case, got "dev"`,
		`route 10: header gone: present, it is missing`,
		`route 11: header x-env: range [1, 5), got "dev"`,
		`route 12: header x-env: regex "a+", got "dev"`,
		`route 13: query parameter q: exact "2", got "1"`,
		`route 14: query parameter z: present, it is missing`,
		`route 15: cookie c: exact "v", got "w"`,
		`route 16: tls_context: certificate presented: true, got false`,
		`route 17: tls_context: certificate validated: true, got false`,
		`route 18: dynamic metadata f ["k"]: got "\"v\""`,
		`route 19: filter state k: exact "w", got "v"`,
		`route 20: filter state gone: address in [10.0.0.0/8], it is missing`,
		`route 21 last matched`,
		`weighted cluster d`,
	}
	lines := got.Lines()
	for i := range max(len(lines), len(want)) {
		if i >= len(lines) || i >= len(want) || lines[i] != want[i] {
			t.Fatalf("line %d of\n%s", i, strings.Join(lines, "\n"))
		}
	}
}

func TestExplainIsBounded(t *testing.T) {
	table := routes(t, strings.Repeat("- {match: {path: /x}, route: {cluster: c}}\n", 100)+"- {name: last, match: {prefix: /}, route: {cluster: c}}")
	x := table.Explain(headers("/"), nil, 0)
	if len(x.Steps) != route.MaxExplained || x.Left != 37 || x.Steps[63].Name != "last" || x.Steps[63].Index != 100 || x.Steps[63].Failed != "" {
		t.Error(len(x.Steps), x.Left, x.Steps[len(x.Steps)-1])
	}
}

func TestExplainNoRoute(t *testing.T) {
	table := build(t, `
virtual_hosts:
- {name: tls, domains: [tls.com], require_tls: ALL, routes: [{match: {prefix: /}, route: {cluster: c}}]}
- {name: x, domains: ["*.x.com"], routes: []}
`)
	noHost, noProto := headers("/"), headers("/", ":authority", "tls.com")
	noHost.RemoveName(":authority")
	noProto.RemoveName("x-forwarded-proto")
	for _, tc := range []struct {
		x    *route.Explanation
		want string
	}{
		{table.Explain(headers("/", ":authority", "No.com"), nil, 0), `no virtual host has a domain for "no.com"`},
		{table.Explain(noHost, nil, 0), "the request has no host"},
		{table.Explain(noProto, nil, 0), `virtual host tls by domain "tls.com"|x-forwarded-proto is missing`},
		{table.Explain(headers("/", ":authority", "tls.com"), nil, 0), `virtual host tls by domain "tls.com"|the virtual host requires TLS: redirect to https`},
		{table.Explain(headers("/", ":authority", "a.x.com"), nil, 0), `virtual host x by domain "*.x.com"`},
	} {
		if got := strings.Join(tc.x.Lines(), "|"); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
	if table.Match(noProto, nil, 0) != nil {
		t.Error("a request without x-forwarded-proto has a route")
	}
}
