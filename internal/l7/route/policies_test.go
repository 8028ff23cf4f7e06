package route

import (
	"slices"
	"strings"
	"testing"
	"time"

	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// forward returns what happens to a request for path.
func forward(t *testing.T, table *Table, path string, pairs ...string) *route.Forward {
	t.Helper()
	r := table.Match(headers(path, pairs...), nil, 0)
	if r == nil || r.Forward == nil {
		t.Fatalf("%s goes nowhere", path)
	}
	return r.Forward
}

// The nearest list of mirrors that is not empty counts.
func TestMirrors(t *testing.T) {
	table := build(t, `
request_mirror_policies: [{cluster: c}]
virtual_hosts:
- name: v
  domains: [v]
  request_mirror_policies: [{cluster: d}]
  routes:
  - match: {prefix: /own}
    route:
      cluster: c
      request_mirror_policies:
      - {cluster_header: Host, disable_shadow_host_suffix_append: true, runtime_fraction: {default_value: {numerator: 30}, runtime_key: k}}
      - {cluster: d, host_rewrite_literal: h, request_headers_mutations: [{remove: x-a}, {append: {header: {key: x-b, value: "1"}}}]}
  - {match: {prefix: /}, route: {cluster: c}}
- {name: w, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c}}]}
`)
	if m := forward(t, table, "/", ":authority", "w").Mirrors; len(m) != 1 || m[0].Cluster != "c" || m[0].KeepHost || m[0].Fraction != nil || m[0].Request != nil {
		t.Errorf("of the table: %+v", m)
	}
	if m := forward(t, table, "/", ":authority", "v").Mirrors; len(m) != 1 || m[0].Cluster != "d" {
		t.Errorf("of the virtual host: %+v", m)
	}
	m := forward(t, table, "/own", ":authority", "v").Mirrors
	if len(m) != 2 || m[0].Cluster != "" || m[0].ClusterHeader != ":authority" || !m[0].KeepHost || m[0].Fraction.Key != "k" || m[0].Fraction.Millionths != 300_000 {
		t.Fatalf("of the route: %+v", m)
	}
	h := headers("/own", "x-a", "0")
	m[1].Request.MutateHeaders(h, &format.Entry{Request: h})
	if m[1].HostRewrite != "h" || !m[1].KeepHost || text(h, ":method", ":scheme", ":authority", ":path", "x-forwarded-proto") != "x-b=1" {
		t.Errorf("%+v, %s", m[1], text(h))
	}
}

// TestClusterPolicies builds what clusters may have instead of routes.
func TestClusterPolicies(t *testing.T) {
	load := func(yaml string) (route.Policies, string) {
		cfg := new(httpv3.HttpProtocolOptions)
		if _, err := protoconv.Load(cfg, protoconv.Options{}, protoconv.Source{Data: []byte(yaml)}); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		p := Policies{}.Build(cfg, testContext(t).Context, conf.Path{}, &errs)
		return p, errs.Error()
	}
	const explicit = "explicit_http_config: {http_protocol_options: {}}\n"
	p, errs := load(explicit + `
retry_policy: {retry_on: 5xx, num_retries: 7}
hash_policy: [{header: {header_name: x-key}}]
request_mirror_policies: [{cluster: nowhere}]
`)
	if errs != "" || p.Retry.NumRetries != 7 || p.Hash == nil || len(p.Mirrors) != 1 || p.Mirrors[0].Cluster != "nowhere" {
		t.Errorf("%+v %s", p, errs)
	}
	if p, errs = load(explicit); errs != "" || p.Retry != nil || p.Hash != nil || p.Mirrors != nil {
		t.Errorf("%+v %s", p, errs)
	}
	const want = `request_mirror_policies[0]: one of cluster and cluster_header is required
retry_policy.retry_back_off.max_interval: must not be less than base_interval`
	if _, errs = load(explicit + "retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}\nrequest_mirror_policies: [{}]"); errs != want {
		t.Errorf("got\n%s\nwant\n%s", errs, want)
	}
}

func TestInternalRedirects(t *testing.T) {
	table := routes(t, `
- {match: {prefix: /none}, route: {cluster: c, max_internal_redirects: 3}}
- {match: {prefix: /old}, route: {cluster: c, internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 3}}
- {match: {prefix: /pass}, route: {cluster: c, internal_redirect_action: PASS_THROUGH_INTERNAL_REDIRECT}}
- {match: {prefix: /plain}, route: {cluster: c, internal_redirect_policy: {}}}
- match: {prefix: /full}
  route:
    cluster: c
    internal_redirect_action: HANDLE_INTERNAL_REDIRECT
    internal_redirect_policy:
      max_internal_redirects: 0
      redirect_response_codes: [200, 303, 308]
      allow_cross_scheme_redirect: true
      response_headers_to_copy: [X-A, x-b]
      predicates: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig}}]
`)
	for path, want := range map[string]*route.InternalRedirect{
		"/none": nil, "/pass": nil, "/old": {MaxRedirects: 3, Codes: []int{302}}, "/plain": {MaxRedirects: 1, Codes: []int{302}},
		"/full": {Codes: []int{303, 308}, AllowCrossScheme: true, CopyHeaders: []string{"x-a", "x-b"}, Predicates: make([]route.RedirectPredicate, 1)},
	} {
		got := forward(t, table, path).Redirect
		if (got == nil) != (want == nil) || got != nil && (got.MaxRedirects != want.MaxRedirects || !slices.Equal(got.Codes, want.Codes) ||
			got.AllowCrossScheme != want.AllowCrossScheme || !slices.Equal(got.CopyHeaders, want.CopyHeaders) || len(got.Predicates) != len(want.Predicates)) {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestTimeoutsAndHedging(t *testing.T) {
	table := build(t, `
virtual_hosts:
- name: v
  domains: ['*']
  hedge_policy: {hedge_on_per_try_timeout: true}
  include_is_timeout_retry_header: true
  per_request_buffer_limit_bytes: 7
  routes:
  - {match: {prefix: /plain}, route: {cluster: c}}
  - {match: {prefix: /old}, per_request_buffer_limit_bytes: 9, route: {cluster: c, hedge_policy: {initial_requests: 2}, max_grpc_timeout: 3s, grpc_timeout_offset: 1s, flush_timeout: 0s}}
  - {match: {prefix: /new}, route: {cluster: c, max_grpc_timeout: 3s, grpc_timeout_offset: 1s, max_stream_duration: {}}}
  - match: {prefix: /max}
    request_body_buffer_limit: 11
    per_request_buffer_limit_bytes: 9
    route:
      cluster: c
      flush_timeout: 4s
      max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 2s}
      early_data_policy: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.early_data.v3.DefaultEarlyDataPolicy}}
`)
	if r := table.Match(headers("/plain"), nil, 0); !r.VirtualHost.IncludeIsTimeoutRetry {
		t.Error("include_is_timeout_retry_header does nothing")
	}
	for path, want := range map[string]route.Forward{
		"/plain": {HedgeOnPerTryTimeout: true, MaxRequestBuffer: 7, LowersRequestBuffer: true},
		"/old":   {GRPC: route.GRPCTimeout{Response: true, Max: 3 * time.Second, Offset: time.Second}, HasFlushTimeout: true, MaxRequestBuffer: 9, LowersRequestBuffer: true},
		"/new":   {HedgeOnPerTryTimeout: true, MaxRequestBuffer: 7, LowersRequestBuffer: true},
		"/max": {HedgeOnPerTryTimeout: true, GRPC: route.GRPCTimeout{Stream: true, Offset: 2 * time.Second},
			HasFlushTimeout: true, FlushTimeout: 4 * time.Second, MaxRequestBuffer: 11},
	} {
		f := forward(t, table, path)
		if f.GRPC != want.GRPC || f.HedgeOnPerTryTimeout != want.HedgeOnPerTryTimeout || f.HasFlushTimeout != want.HasFlushTimeout ||
			f.FlushTimeout != want.FlushTimeout || f.MaxRequestBuffer != want.MaxRequestBuffer || f.LowersRequestBuffer != want.LowersRequestBuffer {
			t.Errorf("%s: %+v", path, f)
		}
	}
}

func TestRetryExtensions(t *testing.T) {
	p := forward(t, routes(t, `
- match: {prefix: /}
  route:
    cluster: c
    retry_policy:
      refresh_cluster_on_retry: true
      retry_priority: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 1}}
      rate_limited_retry_back_off: {max_interval: 0.0001s, reset_headers: [{name: Retry-After}, {name: X-Reset, format: UNIX_TIMESTAMP}]}
`), "/").Retry
	if !p.RefreshCluster || p.Priority == nil || p.RateLimited.MaxInterval != time.Millisecond ||
		!slices.Equal(p.RateLimited.Headers, []route.ResetHeader{{Name: "retry-after"}, {Name: "x-reset", UnixTime: true}}) {
		t.Errorf("%+v, %+v", p, p.RateLimited)
	}
	p = forward(t, routes(t, "- {match: {prefix: /}, route: {cluster: c, retry_policy: {rate_limited_retry_back_off: {reset_headers: [{name: a}]}}}}"), "/").Retry
	if p.RateLimited.MaxInterval != 300*time.Second || p.Priority != nil || p.RefreshCluster {
		t.Errorf("%+v, %+v", p, p.RateLimited)
	}
}

func TestClusterSpecifiers(t *testing.T) {
	const specifier = `typed_config: {"@type": type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction, cluster: `
	const unknown = `typed_config: {"@type": type.googleapis.com/google.protobuf.Empty}`
	table := build(t, `
cluster_specifier_plugins:
- {extension: {name: a, `+specifier+`x}}}
- {extension: {name: a, `+specifier+`last}}}
- {is_optional: true, extension: {name: o, `+unknown+`}}
virtual_hosts:
- name: v
  domains: ['*']
  routes:
  - {match: {prefix: /named}, route: {cluster_specifier_plugin: a}}
  - {match: {prefix: /inline}, route: {inline_cluster_specifier_plugin: {extension: {name: i, `+specifier+`inline}}}}}
  - {match: {prefix: /o}, route: {cluster_specifier_plugin: o}}
  - {match: {prefix: /p}, route: {inline_cluster_specifier_plugin: {is_optional: true, extension: {name: i, `+unknown+`}}}}
  - {match: {prefix: /}, route: {cluster: next}}
validate_clusters: false
`)
	for path, want := range map[string]string{"/named": "last", "/inline": "inline", "/o": "next", "/p": "next"} {
		if got := forward(t, table, path).ClusterName(headers(path), nil, 0); got != want {
			t.Errorf("%s goes to %q, want %q", path, got, want)
		}
	}
}

func TestWeightsOfRuntimeAndHash(t *testing.T) {
	const two = "clusters: [{name: c, weight: 1}, {name: d, weight: 1}]"
	table := routes(t, `
- {match: {prefix: /runtime}, route: {weighted_clusters: {runtime_key_prefix: w, `+two+`}}}
- {match: {prefix: /zero}, route: {weighted_clusters: {runtime_key_prefix: zero, `+two+`}}}
- {match: {prefix: /hash}, route: {hash_policy: [{header: {header_name: x}}], weighted_clusters: {use_hash_policy: true, `+two+`}}}
- {match: {prefix: /nohash}, route: {hash_policy: [{header: {header_name: x}}], weighted_clusters: {use_hash_policy: false, `+two+`}}}
`)
	for _, tc := range []struct {
		path, x string
		random  uint64
		want    string
	}{
		{"/runtime", "", 0, "d"}, {"/runtime", "", 1, "d"},
		// The hash of "foo" is odd, that of "bar" too, that of "1" is even.
		{"/hash", "foo", 0, "d"}, {"/hash", "foo", 1, "d"}, {"/nohash", "foo", 0, "c"}, {"/nohash", "foo", 1, "d"},
	} {
		if got := table.Match(headers(tc.path, "x", tc.x), nil, tc.random).Forward.Cluster; got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	h := headers("/hash")
	if got := table.Match(h, nil, 1).Forward.Cluster; got != "d" {
		t.Errorf("without a hash the random value counts, not %s", got)
	}
	if r := table.Match(headers("/zero"), nil, 0); r != nil {
		t.Errorf("weights that are all zero lead to %+v", r.Forward)
	}
}

func TestRequestStats(t *testing.T) {
	cfg, err := parse(`
virtual_hosts:
- name: v.h
  domains: ['*']
  virtual_clusters: [{name: get, headers: [{name: ":method", string_match: {exact: GET}}, {name: x}]}, {name: any, headers: [{name: x}]}]
  routes:
  - {match: {prefix: /stat}, route: {cluster: c}, stat_prefix: s.p}
  - {match: {prefix: /direct}, direct_response: {status: 200}, stat_prefix: d}
  - {match: {prefix: /}, route: {cluster: c}}
- {name: w, domains: [w], routes: [{match: {prefix: /}, route: {cluster: c}}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, scope := testContext(t), metrics.New(1)
	ctx.Root = scope
	var errs conf.Errors
	table := Build(cfg, ctx, conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	host := table.Match(headers("/"), nil, 0).VirtualHost
	for _, tc := range []struct {
		pairs []string
		want  string
	}{
		{[]string{"x", "1"}, "get"}, {[]string{"x", "1", ":method", "POST"}, "any"}, {nil, ""},
	} {
		s := host.VirtualCluster(headers("/", tc.pairs...))
		if s.Name != tc.want {
			t.Errorf("%v: %s, want %s", tc.pairs, s.Name, tc.want)
		}
		s.Total.Inc(0)
	}
	r := table.Match(headers("/stat"), nil, 0)
	r.Stats.RetrySuccess.Inc(0)
	r.Stats.Responses.Record(0, 204)
	if s := table.Match(headers("/direct"), nil, 0).Stats; s == nil || s.Name != "d" {
		t.Errorf("direct response: %+v", s)
	}
	if table.Match(headers("/"), nil, 0).Stats != nil || table.Match(headers("/", ":authority", "w"), nil, 0).VirtualHost.VirtualCluster != nil {
		t.Error("statistics that nobody asked for")
	}
	for name, want := range map[string]uint64{
		"vhost.v.h.vcluster.get.upstream_rq_total": 1, "vhost.v.h.vcluster.any.upstream_rq_total": 1, "vhost.v.h.vcluster.other.upstream_rq_total": 1,
		"vhost.v.h.route.s.p.upstream_rq_retry_success": 1, "vhost.v.h.route.s.p.upstream_rq_204": 1, "vhost.v.h.route.s.p.upstream_rq_2xx": 1,
		"vhost.v.h.route.s.p.upstream_rq_timeout": 0, "vhost.v.h.route.s.p.upstream_rq_retry_overflow": 0,
		"vhost.v.h.route.s.p.upstream_rq_retry_limit_exceeded": 0, "vhost.v.h.route.s.p.upstream_rq_retry": 0, "vhost.v.h.route.d.upstream_rq_total": 0,
	} {
		if got := scope.Value(name); got != want || !slices.Contains(scope.Names(), name) {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if names := strings.Join(scope.Names(), " "); strings.Contains(names, "vhost.w.") {
		t.Error(names)
	}
}
