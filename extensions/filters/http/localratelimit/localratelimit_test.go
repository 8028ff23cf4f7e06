package localratelimit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func share(percent uint32) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: percent}}
}

func headers(pairs ...string) (out []*corev3.HeaderValueOption) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: pairs[i], Value: pairs[i+1]}})
	}
	return out
}

// limit returns a limit of three requests that come back one in four seconds,
// enabled and enforced.
func limit(change func(m *localv3.LocalRateLimit)) *localv3.LocalRateLimit {
	m := &localv3.LocalRateLimit{
		StatPrefix: "p", TokenBucket: &typev3.TokenBucket{MaxTokens: 3, FillInterval: durationpb.New(4 * time.Second)},
		FilterEnabled: share(100), FilterEnforced: share(100),
	}
	if change != nil {
		change(m)
	}
	return m
}

// A bench is a filter with its surroundings.
type bench struct {
	t     testing.TB
	loop  *loop.Fake
	stats *metrics.Scope
	ctx   extension.HTTPContext
	build httpfilter.Builder
	conn  *filtertest.Stream // whose connection the streams share, nil for one each
	route *route.Route
}

func newBench(t testing.TB, m *localv3.LocalRateLimit) *bench {
	t.Helper()
	b := &bench{t: t, loop: loop.New(1), stats: metrics.New(1)}
	b.ctx = filtertest.Context(b.stats, nil)
	b.ctx.Formats = filtertest.Formats{}
	var errs conf.Errors
	if b.build = (Factory{}).BuildHTTPFilter(m, b.ctx, conf.Path{}, &errs); errs.Err() != nil {
		t.Fatal(errs)
	}
	return b
}

func (b *bench) stream() *filtertest.Stream {
	s := filtertest.New(b.loop)
	if b.conn != nil {
		s.Conn = b.conn.Conn
	}
	s.Table = func(*httpmsg.Headers) *route.Route { return b.route }
	s.Build(b.build)
	return s
}

// get returns what a request gets: status, flags, details, headers, and what the
// filter added to the request.
func (b *bench) get() string {
	s := b.stream()
	s.Request(true, ":path", "/x")
	if s.Local == nil {
		s.Details = "-"
		s.Respond(true, ":status", "200")
	}
	var out []string
	for _, f := range s.Out.Headers.Fields()[1:] {
		out = append(out, f.Name+"="+f.Value)
	}
	if s.Local == nil {
		for _, f := range s.In.Headers.Fields()[1:] {
			out = append(out, ">"+f.Name+"="+f.Value)
		}
	} else if s.In.Headers != nil || s.Out.Body.String() != "local_rate_limited" {
		b.t.Errorf("body %q", s.Out.Body.String())
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s %s", s.Out.Headers.StatusCode(), s.Info.Flags.Append(nil), s.Details, strings.Join(out, " ")))
}

func (b *bench) want(want ...string) {
	b.t.Helper()
	for i, w := range want {
		if got := b.get(); got != w {
			b.t.Errorf("request %d: got %s\nwant %s", i, got, w)
		}
	}
}

func (b *bench) wantStats(enabled, enforced, ok, limited uint64) {
	b.t.Helper()
	const p = "p.http_local_rate_limit."
	got := [4]uint64{b.stats.Value(p + "enabled"), b.stats.Value(p + "enforced"), b.stats.Value(p + "ok"), b.stats.Value(p + "rate_limited")}
	if got != [4]uint64{enabled, enforced, ok, limited} {
		b.t.Errorf("enabled, enforced, ok, rate_limited: %v", got)
	}
	if !slices.Contains(b.stats.Names(), p+"shadow_mode") {
		b.t.Error("no shadow_mode")
	}
}

const allowed, limited = "200 - -", "429 RL local_rate_limited"

func TestEnforced(t *testing.T) {
	b := newBench(t, limit(nil))
	b.want(allowed, allowed, allowed, limited, limited)
	b.loop.Advance(3999 * time.Millisecond)
	b.want(limited)
	b.loop.Advance(time.Millisecond)
	b.want(allowed, limited)
	b.loop.Advance(time.Hour)
	b.want(allowed, allowed, allowed, limited)
	b.wantStats(12, 5, 7, 5)
}

// TestHeaders has the numbers of a real Envoy.
func TestHeaders(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) {
		m.EnableXRatelimitHeaders = ratelimitv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03
		m.EnableRetryAfterHeader = true
		m.ResponseHeadersToAdd = headers("x-lim", "%REQ(:path)%", "x-empty", "")
	}))
	numbers := func(remaining, reset int) string {
		return fmt.Sprintf(" x-ratelimit-limit=3 x-ratelimit-remaining=%d x-ratelimit-reset=%d", remaining, reset)
	}
	b.want(allowed+numbers(2, 0), allowed+numbers(1, 0), allowed+numbers(0, 4), limited+" x-lim=/x retry-after=4"+numbers(0, 4))
	b.loop.Advance(2200 * time.Millisecond)
	b.want(limited + " x-lim=/x retry-after=2" + numbers(0, 2))
}

func TestRetryAfter(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) {
		m.EnableRetryAfterHeader, m.TokenBucket.MaxTokens = true, 0
		m.ResponseHeadersToAdd = headers("retry-after", "7")
	}))
	b.want(limited + " retry-after=7")
	b = newBench(t, limit(func(m *localv3.LocalRateLimit) {
		m.EnableRetryAfterHeader, m.TokenBucket.MaxTokens = true, 0
		m.Status = &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable}
	}))
	b.want("503 RL local_rate_limited")
}

func TestStatus(t *testing.T) {
	for code, want := range map[typev3.StatusCode]int{0: 429, 200: 429, 399: 429, 400: 400, 503: 503} {
		b := newBench(t, limit(func(m *localv3.LocalRateLimit) {
			m.TokenBucket.MaxTokens, m.RateLimitedAsResourceExhausted = 0, code == 503
			m.Status = &typev3.HttpStatus{Code: code}
		}))
		s := b.stream()
		s.Request(true, ":path", "/")
		if s.Local == nil || s.Local.Status != want || s.Local.HasGRPCStatus != (code == 503) || s.Local.GRPCStatus != 8 {
			t.Errorf("%d: %v", code, s.Local)
		}
	}
}

func TestNotEnforced(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) {
		m.FilterEnforced = nil
		m.RequestHeadersToAddWhenNotEnforced = headers("x-lim", "%REQ(:path)%", "x-empty", "%REQ(no)%")
		m.ResponseHeadersToAdd = headers("x-not", "added")
	}))
	b.want(allowed, allowed, allowed, allowed+" >x-lim=/x")
	b.wantStats(4, 0, 3, 1)
}

func TestNotEnabled(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) { m.FilterEnabled = nil; m.TokenBucket.MaxTokens = 0 }))
	b.want(allowed)
	b.wantStats(0, 0, 0, 0)
	m := limit(func(m *localv3.LocalRateLimit) { m.TokenBucket.MaxTokens = 0 })
	m.FilterEnabled.RuntimeKey, m.FilterEnforced.RuntimeKey = "on", "force"
	runtime := filtertest.Runtime{"on": "0"}
	b = newBench(t, m)
	b.ctx.Runtime = runtime
	b.build = Factory{}.BuildHTTPFilter(m, b.ctx, conf.Path{}, &conf.Errors{})
	b.want(allowed)
	runtime["on"], runtime["force"] = "100", "0"
	b.want(allowed)
	runtime["force"] = "100"
	b.want(limited)
	b.wantStats(2, 1, 0, 2)
}

func TestNoBucket(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) {
		m.TokenBucket, m.LocalRateLimitPerDownstreamConnection = nil, true
	}))
	b.want(allowed, allowed)
	b.wantStats(2, 0, 2, 0)
}

func TestPerConnection(t *testing.T) {
	b := newBench(t, limit(func(m *localv3.LocalRateLimit) { m.LocalRateLimitPerDownstreamConnection = true }))
	b.want(allowed, allowed, allowed, allowed) // a connection each
	b.conn = b.stream()
	b.want(allowed, allowed, allowed, limited)
	// A configuration that takes the place of another has buckets of its own.
	b.build = Factory{}.BuildHTTPFilter(limit(func(m *localv3.LocalRateLimit) {
		m.LocalRateLimitPerDownstreamConnection, m.TokenBucket.MaxTokens = true, 1
	}), b.ctx, conf.Path{}, &conf.Errors{})
	b.want(allowed, limited)
}

func TestRoute(t *testing.T) {
	b := newBench(t, limit(nil))
	var errs conf.Errors
	b.route = &route.Route{FilterConfigs: []route.FilterConfig{{Filter: "filter", Config: Factory{}.BuildRouteConfig(
		limit(func(m *localv3.LocalRateLimit) { m.StatPrefix, m.TokenBucket.MaxTokens = "r", 1 }), b.ctx, conf.Path{}, &errs)}}}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	b.want(allowed, limited)
	b.route = nil
	b.want(allowed, allowed, allowed, limited)
	if n := b.stats.Value("r.http_local_rate_limit.rate_limited"); n != 1 {
		t.Errorf("route: %d", n)
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		msg   *localv3.LocalRateLimit
		route bool
		want  string
	}{
		{msg: &localv3.LocalRateLimit{}, want: "p.stat_prefix: must not be empty"},
		{msg: &localv3.LocalRateLimit{StatPrefix: "x"}, route: true, want: "p.token_bucket: must be set in the configuration of a route"},
		{msg: limit(func(m *localv3.LocalRateLimit) { m.TokenBucket.FillInterval = nil }),
			want: "p.token_bucket.fill_interval: must be at least 50ms, is 0s"},
		{msg: limit(func(m *localv3.LocalRateLimit) { m.LocalClusterRateLimit = &ratelimitv3.LocalClusterRateLimit{} }),
			want: "p.local_cluster_rate_limit: field local_cluster_rate_limit is not implemented"},
		{msg: limit(func(m *localv3.LocalRateLimit) { m.ResponseHeadersToAdd = headers(":path", "x") }),
			want: "p.response_headers_to_add[0].header.key: :-prefixed or host headers may not be modified"},
	} {
		var errs conf.Errors
		ctx := filtertest.Context(metrics.New(1), nil)
		var built bool
		if tc.route {
			built = Factory{}.BuildRouteConfig(tc.msg, ctx, conf.Path{}.Field("p"), &errs) != nil
		} else {
			built = Factory{}.BuildHTTPFilter(tc.msg, ctx, conf.Path{}.Field("p"), &errs) != nil
		}
		if built || errs.Error() != tc.want {
			t.Errorf("built %v, got %s, want %s", built, errs.Error(), tc.want)
		}
	}
	_, missing, err := fields().Split(Factory{}.Config().ProtoReflect().Descriptor())
	want := []string{"local_cluster_rate_limit"}
	if err != nil || !slices.Equal(missing, want) {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	for _, tokens := range []uint32{1 << 30, 0} {
		b := newBench(t, limit(func(m *localv3.LocalRateLimit) { m.TokenBucket.MaxTokens = tokens }))
		s := b.stream()
		s.Headers().Add(":path", "/")
		run := func() {
			s.RequestMap(true)
			if !s.Destroyed {
				s.Leave()
			}
			s.Recycle()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%d tokens: %v allocations", tokens, n)
		}
	}
}
