package cors

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

var on, off = wrapperspb.Bool(true), wrapperspb.Bool(false)

func origins(exact ...string) (out []*matcherv3.StringMatcher) {
	for _, s := range exact {
		out = append(out, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}})
	}
	return out
}

func share(percent uint32, key string) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: percent}, RuntimeKey: key}
}

// newStream returns a stream whose route has these policies, the most specific
// first.
func newStream(t testing.TB, runtime filtertest.Runtime, policies ...*corsv3.CorsPolicy) (*filtertest.Stream, *metrics.Scope) {
	t.Helper()
	var errs conf.Errors
	scope := metrics.New(1)
	ctx := filtertest.Context(scope, nil)
	if runtime != nil {
		ctx.Runtime = runtime
	}
	r := &route.Route{Forward: &route.Forward{}, FilterConfigs: []route.FilterConfig{{Filter: "another", Config: 1}}}
	for _, p := range policies {
		r.FilterConfigs = append(r.FilterConfigs, route.FilterConfig{
			Filter: "filter", Config: Factory{}.BuildRouteConfig(p, ctx, conf.Path{}, &errs)})
	}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	s.Build(Factory{}.BuildHTTPFilter(&corsv3.Cors{}, ctx, conf.Path{}, &errs))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	return s, scope
}

// TestDeprecatedPolicies has those without a name for the filter, which count if none
// has its name.
func TestDeprecatedPolicies(t *testing.T) {
	var errs conf.Errors
	ctx := filtertest.Context(metrics.New(1), nil)
	policy := func(filter, origin string) route.FilterConfig {
		p := Factory{}.BuildRouteConfig(&corsv3.CorsPolicy{AllowOriginStringMatch: origins(origin)}, ctx, conf.Path{}, &errs)
		return route.FilterConfig{Filter: filter, Config: p}
	}
	for want, configs := range map[string][]route.FilterConfig{
		"http://old": {policy("another", "http://a"), policy("", "http://old"), policy("", "http://host")},
		"http://new": {policy("filter", "http://new"), policy("", "http://old")},
	} {
		r := &route.Route{Forward: &route.Forward{}, FilterConfigs: configs}
		f := &filter{cb: filtertest.New(loop.New(1))}
		f.findPolicies(r)
		if !f.allows(want) || f.allows("http://a") || f.allows("http://host") {
			t.Errorf("%s: got policies %+v", want, f.policies)
		}
	}
	if errs.Err() != nil {
		t.Error(errs)
	}
}

func full() *corsv3.CorsPolicy {
	return &corsv3.CorsPolicy{
		AllowOriginStringMatch: origins("http://a"), AllowMethods: "GET,POST", AllowHeaders: "*", ExposeHeaders: "x-res",
		MaxAge: "99", AllowCredentials: on, AllowPrivateNetworkAccess: on,
	}
}

func with(p *corsv3.CorsPolicy, change func(*corsv3.CorsPolicy)) *corsv3.CorsPolicy {
	change(p)
	return p
}

func preflight(origin string) []string {
	return []string{":method", "OPTIONS", "origin", origin, "access-control-request-method", "PUT",
		"access-control-request-headers", "h1,h2", "access-control-request-private-network", "true"}
}

func get(origin string) []string { return []string{":method", "GET", "origin", origin} }

// TestCORS has the answers of a real Envoy. Headers are without "access-control-".
func TestCORS(t *testing.T) {
	const valid, invalid = "http.in.cors.origin_valid: 1\n", "http.in.cors.origin_invalid: 1\n"
	fromUpstream := "allow-origin: *"
	strict := &corsv3.CorsPolicy{AllowOriginStringMatch: origins("http://vh"), ForwardNotMatchingPreflights: off, AllowMethods: "PUT"}
	for _, tc := range []struct {
		name     string
		policies []*corsv3.CorsPolicy
		runtime  filtertest.Runtime
		request  []string
		answered bool
		want     string
		stats    string
	}{
		{name: "preflight", policies: []*corsv3.CorsPolicy{full()}, request: preflight("http://a"), answered: true, stats: valid,
			want: "allow-origin: http://a, allow-credentials: true, allow-methods: GET,POST, allow-headers: h1,h2, max-age: 99, allow-private-network: true, " +
				"expose-headers: x-res"},
		{name: "request", policies: []*corsv3.CorsPolicy{full()}, request: get("http://a"), stats: valid,
			want: "allow-origin: http://a, allow-credentials: true, expose-headers: x-res"},
		{name: "other origin", policies: []*corsv3.CorsPolicy{full()}, request: get("http://b"), stats: invalid, want: fromUpstream},
		{name: "preflight of another origin", policies: []*corsv3.CorsPolicy{full()}, request: preflight("http://b"), stats: invalid,
			want: fromUpstream},
		{name: "and not forwarded", policies: []*corsv3.CorsPolicy{full(), strict}, request: preflight("http://vh"), answered: true, stats: invalid,
			want: "allow-credentials: true, allow-methods: GET,POST, allow-headers: h1,h2, max-age: 99, allow-private-network: true"},
		{name: "general policies fill in", policies: []*corsv3.CorsPolicy{{AllowHeaders: "x", MaxAge: "5"}, strict, full()}, request: preflight("http://vh"),
			answered: true, stats: valid,
			want: "allow-origin: http://vh, allow-credentials: true, allow-methods: PUT, allow-headers: x, max-age: 5, allow-private-network: true, " +
				"expose-headers: x-res"},
		{name: "credentials turned off", policies: []*corsv3.CorsPolicy{{AllowCredentials: off, AllowPrivateNetworkAccess: off}, full()}, request: preflight("http://a"),
			answered: true, stats: valid,
			want: "allow-origin: http://a, allow-methods: GET,POST, allow-headers: h1,h2, max-age: 99, expose-headers: x-res"},
		{name: "any origin", policies: []*corsv3.CorsPolicy{{AllowOriginStringMatch: origins("http://x", "*"), AllowMethods: "*"}}, request: preflight("http://q"),
			answered: true, stats: valid, want: "allow-origin: http://q, allow-methods: PUT"},
		{name: "OPTIONS without a method asked for", policies: []*corsv3.CorsPolicy{full()}, request: []string{":method", "OPTIONS", "origin", "http://a"},
			stats: valid, want: "allow-origin: http://a, allow-credentials: true, expose-headers: x-res"},
		{name: "no origins", policies: []*corsv3.CorsPolicy{{}}, request: get("http://a"), stats: invalid, want: fromUpstream},
		{name: "no policy", request: preflight("http://a"), want: fromUpstream},
		{name: "no origin", policies: []*corsv3.CorsPolicy{full()}, request: []string{":method", "GET"}, want: fromUpstream},
		{name: "empty origin", policies: []*corsv3.CorsPolicy{full()}, request: get(""), want: fromUpstream},
		{name: "off", policies: []*corsv3.CorsPolicy{with(full(), func(p *corsv3.CorsPolicy) { p.FilterEnabled = share(0, "") })},
			request: preflight("http://a"), want: fromUpstream},
		{name: "shadow", policies: []*corsv3.CorsPolicy{with(full(), func(p *corsv3.CorsPolicy) {
			p.FilterEnabled, p.ShadowEnabled = share(0, ""), share(100, "")
		})}, request: preflight("http://a"), stats: valid, want: fromUpstream},
		{name: "turned on", policies: []*corsv3.CorsPolicy{with(full(), func(p *corsv3.CorsPolicy) { p.FilterEnabled = share(0, "k") })},
			runtime: filtertest.Runtime{"k": "100"}, request: get("http://a"), stats: valid,
			want: "allow-origin: http://a, allow-credentials: true, expose-headers: x-res"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, scope := newStream(t, tc.runtime, tc.policies...)
			s.Request(true, tc.request...)
			if answered := s.Out.Headers != nil; answered != tc.answered {
				t.Fatalf("answered %v", answered)
			}
			if !tc.answered {
				s.Respond(true, ":status", "204", "access-control-allow-origin", "*")
			} else if s.Details != "cors_response" || s.Out.Headers.StatusCode() != 200 || s.In.Headers != nil {
				t.Errorf("%s, status %d", s.Details, s.Out.Headers.StatusCode())
			}
			var got []string
			for _, f := range s.Out.Headers.Fields() {
				if name, ok := strings.CutPrefix(f.Name, "access-control-"); ok {
					got = append(got, name+": "+f.Value)
				}
			}
			if list := strings.Join(got, ", "); list != tc.want {
				t.Errorf("got  %s\nwant %s", list, tc.want)
			}
			if scope.String() != tc.stats {
				t.Errorf("statistics %q, want %q", scope.String(), tc.stats)
			}
		})
	}
}

// TestDirect checks that only routes that forward have policies.
func TestDirect(t *testing.T) {
	for _, r := range []*route.Route{nil, {Direct: &route.Direct{Status: 200}}} {
		s, scope := newStream(t, nil, full())
		s.Table = func(*httpmsg.Headers) *route.Route { return r }
		s.Request(true, preflight("http://a")...)
		if s.Out.Headers != nil || scope.String() != "" {
			t.Error("the filter acted")
		}
	}
}

func TestRecycle(t *testing.T) {
	s, _ := newStream(t, nil, full())
	for range 2 {
		s.Request(true, preflight("http://a")...)
		if n := s.Out.Headers.Len(); n != 8 {
			t.Errorf("%d headers", n)
		}
		s.Recycle()
		s.Request(true, get("http://b")...)
		s.Respond(true, ":status", "200")
		if n := s.Out.Headers.Len(); n != 1 {
			t.Errorf("%d headers of another origin", n)
		}
		s.Recycle()
	}
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	bad := &corsv3.CorsPolicy{AllowOriginStringMatch: []*matcherv3.StringMatcher{{}}}
	if c := (Factory{}).BuildRouteConfig(bad, extension.HTTPContext{}, conf.Path{}, &errs); c != nil ||
		!strings.HasPrefix(errs.Error(), "allow_origin_string_match[0]: one of ") {
		t.Error(c, errs)
	}
	for i, msg := range []proto.Message{Factory{}.Config(), Factory{}.RouteConfig()} {
		if _, missing, err := (Factory{}).Fields()[i].Split(msg.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
			t.Error(missing, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, origin := range []string{"", "http://a"} {
		s, _ := newStream(t, nil, full())
		s.Headers().Add(":method", "GET")
		s.Headers().Add("origin", origin)
		run := func() {
			s.RequestMap(true)
			s.Leave()
			s.Recycle()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("origin %q: %v allocations", origin, n)
		}
	}
}
