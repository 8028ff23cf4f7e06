package healthcheck

import (
	"fmt"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

type server struct {
	extension.Server
	failed bool
}

func (s *server) HealthCheckFailed() bool { return s.failed }
func (s *server) ServiceCluster() string  { return "me" }

// cluster is an upstream.Cluster with that health.
type cluster struct {
	upstream.Cluster
	total, healthy, degraded int
}

func (c cluster) Health() (total, healthy, degraded int) { return c.total, c.healthy, c.degraded }

type clusters struct {
	upstream.Clusters
	byName map[string]cluster
}

func (c clusters) Get(name string) upstream.Cluster {
	if found, ok := c.byName[name]; ok {
		return found
	}
	return nil
}

// A bench is a filter for checks of /hc, with its surroundings.
type bench struct {
	t      testing.TB
	loop   *loop.Fake
	stats  *metrics.Scope
	server *server
	build  httpfilter.Builder
}

func newBench(t testing.TB, m *healthv3.HealthCheck, c upstream.Clusters) *bench {
	t.Helper()
	b := &bench{t: t, loop: loop.New(1), stats: metrics.New(1), server: &server{}}
	m.Headers = []*routev3.HeaderMatcher{{Name: ":path", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
		StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "/hc"}}}}}
	ctx := filtertest.Context(b.stats, c)
	ctx.Server = b.server
	var errs conf.Errors
	if b.build = (Factory{}).BuildHTTPFilter(m, ctx, conf.Path{}, &errs); errs.Err() != nil {
		t.Fatal(errs)
	}
	return b
}

// get sends a request and answers with status, if the filter does not. It returns
// status, details, flags, whether the stream is a health check, and the headers that
// the filter added.
func (b *bench) get(path string, status string, extra ...string) string {
	s := filtertest.New(b.loop)
	s.Build(b.build)
	s.Request(true, ":method", "GET", ":path", path)
	if s.Local == nil {
		s.Details = "upstream"
		s.Respond(true, append([]string{":status", status}, extra...)...)
	}
	out := fmt.Sprintf("%d %s %s %v", s.Out.Headers.StatusCode(), s.Details, s.Info.Flags.Append(nil), s.Info.HealthCheck)
	for _, f := range s.Out.Headers.Fields() {
		if short, ok := strings.CutPrefix(f.Name, "x-envoy-"); ok {
			out += " " + short + "=" + f.Value
		}
	}
	return out
}

func (b *bench) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// stat returns the counters that are not zero.
func (b *bench) wantStats(want string) {
	b.t.Helper()
	got := strings.ReplaceAll(strings.TrimSpace(b.stats.String()), "http.in.health_check.", "")
	b.want(strings.ReplaceAll(got, "\n", ", "), want)
}

func percent(m map[string]float64) map[string]*typev3.Percent {
	out := map[string]*typev3.Percent{}
	for name, v := range m {
		out[name] = &typev3.Percent{Value: v}
	}
	return out
}

func TestNoPassThrough(t *testing.T) {
	b := newBench(t, &healthv3.HealthCheck{PassThroughMode: wrapperspb.Bool(false)}, nil)
	b.want(b.get("/hc", "200"), "200 health_check_ok - true upstream-healthchecked-cluster=me")
	b.want(b.get("/other", "404"), "404 upstream - false")
	b.server.failed = true
	b.want(b.get("/hc", "200"), "503 health_check_failed LH true upstream-healthchecked-cluster=me immediate-health-check-fail=true")
	b.want(b.get("/other", "200"), "200 upstream - false immediate-health-check-fail=true")
	b.wantStats("failed: 1, ok: 1, request_total: 2")
}

func TestClusters(t *testing.T) {
	all := clusters{byName: map[string]cluster{"a": {total: 4, healthy: 1, degraded: 1}, "empty": {}, "gone": {total: 2}}}
	for _, tc := range []struct {
		percentages map[string]float64
		want, stats string
	}{
		{map[string]float64{"a": 50}, "200 health_check_ok_cluster_healthy -", "ok: 1, request_total: 1"},
		{map[string]float64{"a": 50.9}, "200 health_check_ok_cluster_healthy -", "ok: 1, request_total: 1"},
		{map[string]float64{"a": 51}, "503 health_check_failed_cluster_unhealthy LH", "failed: 1, failed_cluster_unhealthy: 1, request_total: 1"},
		{map[string]float64{"gone": 0}, "200 health_check_ok_cluster_healthy -", "ok: 1, request_total: 1"},
		{map[string]float64{"empty": 0}, "200 health_check_ok_cluster_healthy -", "ok: 1, request_total: 1"},
		{map[string]float64{"empty": 1}, "503 health_check_failed_cluster_empty LH", "failed: 1, failed_cluster_empty: 1, request_total: 1"},
		{map[string]float64{"a": 1, "no": 0}, "503 health_check_failed_no_cluster_found LH", "failed: 1, failed_cluster_not_found: 1, request_total: 1"},
	} {
		b := newBench(t, &healthv3.HealthCheck{
			PassThroughMode: wrapperspb.Bool(false), ClusterMinHealthyPercentages: percent(tc.percentages)}, all)
		b.want(b.get("/hc", "200"), tc.want+" true upstream-healthchecked-cluster=me")
		b.wantStats(tc.stats)
	}
}

func TestPassThrough(t *testing.T) {
	b := newBench(t, &healthv3.HealthCheck{PassThroughMode: wrapperspb.Bool(true)}, nil)
	b.want(b.get("/hc", "404"), "404 upstream - true upstream-healthchecked-cluster=me")
	b.want(b.get("/hc", "200"), "200 upstream - true upstream-healthchecked-cluster=me")
	b.server.failed = true
	b.want(b.get("/hc", "200"), "503 health_check_failed LH true upstream-healthchecked-cluster=me immediate-health-check-fail=true")
	b.wantStats("failed: 1, request_total: 1")
}

func TestCache(t *testing.T) {
	b := newBench(t, &healthv3.HealthCheck{PassThroughMode: wrapperspb.Bool(true), CacheTime: durationpb.New(2 * time.Second)}, nil)
	const cluster = " upstream-healthchecked-cluster=me"
	b.want(b.get("/other", "500"), "500 upstream - false")
	b.want(b.get("/hc", "500"), "500 upstream - true"+cluster)
	b.want(b.get("/hc", "200"), "500 health_check_cached LH true"+cluster)
	b.want(b.get("/other", "200"), "200 upstream - false")
	b.loop.Advance(1999 * time.Millisecond)
	b.want(b.get("/hc", "200"), "500 health_check_cached LH true"+cluster)
	b.loop.Advance(time.Millisecond)
	b.want(b.get("/hc", "200", "x-envoy-degraded", ""), "200 upstream - true degraded="+cluster)
	b.want(b.get("/hc", "500"), "200 health_check_cached - true degraded="+cluster)
	b.server.failed = true
	b.want(b.get("/hc", "200"), "503 health_check_failed LH true"+cluster+" immediate-health-check-fail=true")
	b.server.failed = false // that answer was not the upstream's
	b.want(b.get("/hc", "500"), "200 health_check_cached - true degraded="+cluster)
	b.wantStats("cached_response: 4, degraded: 2, failed: 3, ok: 2, request_total: 5")
}

// TestBody checks that the answer waits for the end of the request.
func TestBody(t *testing.T) {
	for _, trailers := range []bool{false, true} {
		b := newBench(t, &healthv3.HealthCheck{PassThroughMode: wrapperspb.Bool(false)}, nil)
		s := filtertest.New(b.loop)
		s.Build(b.build)
		s.Request(false, ":method", "POST", ":path", "/hc")
		s.Body("abc", false)
		if s.Local != nil {
			t.Error("answered before the end")
		}
		if trailers {
			s.Trailers("a", "b")
		} else {
			s.Body("d", true)
		}
		if s.Local == nil || s.Local.Status != 200 || s.In.Headers != nil || s.In.Body.Len() > 0 {
			t.Errorf("reply %v", s.Local)
		}
	}
}

func TestConfig(t *testing.T) {
	on, off := wrapperspb.Bool(true), wrapperspb.Bool(false)
	for _, tc := range []struct {
		msg  *healthv3.HealthCheck
		want string
	}{
		{&healthv3.HealthCheck{}, "p.pass_through_mode: must be set"},
		{&healthv3.HealthCheck{PassThroughMode: off, CacheTime: durationpb.New(time.Second)},
			"p.cache_time: must not be set when pass_through_mode is disabled"},
		{&healthv3.HealthCheck{PassThroughMode: on, ClusterMinHealthyPercentages: percent(map[string]float64{"a": 1})},
			"p.cluster_min_healthy_percentages: must not be set when pass_through_mode is enabled"},
		{&healthv3.HealthCheck{PassThroughMode: off, ClusterMinHealthyPercentages: percent(map[string]float64{"a": 101})},
			`p.cluster_min_healthy_percentages["a"]: must be from 0 to 100`},
		{&healthv3.HealthCheck{PassThroughMode: off, Headers: []*routev3.HeaderMatcher{{}}}, "p.headers[0].name: must not be empty"},
		{&healthv3.HealthCheck{PassThroughMode: off, CacheTime: durationpb.New(time.Microsecond)}, ""},
	} {
		var errs conf.Errors
		b := (Factory{}).BuildHTTPFilter(tc.msg, filtertest.Context(metrics.New(1), nil), conf.Path{}.Field("p"), &errs)
		if (b == nil) != (tc.want != "") || errs.Error() != tc.want {
			t.Errorf("got %s, want %s", errs.Error(), tc.want)
		}
	}
	if _, missing, err := fields().Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	b := newBench(t, &healthv3.HealthCheck{PassThroughMode: wrapperspb.Bool(false)}, nil)
	s := filtertest.New(b.loop)
	s.Build(b.build)
	s.Headers().Add(":path", "/other")
	run := func() {
		s.RequestMap(true)
		s.Leave()
		s.Recycle()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
