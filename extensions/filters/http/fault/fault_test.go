package fault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func percent(n uint32) *typev3.FractionalPercent { return &typev3.FractionalPercent{Numerator: n} }

func fixedDelay(d time.Duration, n uint32) *commonv3.FaultDelay {
	return &commonv3.FaultDelay{FaultDelaySecifier: &commonv3.FaultDelay_FixedDelay{FixedDelay: durationpb.New(d)}, Percentage: percent(n)}
}

func headerDelay(n uint32) *commonv3.FaultDelay {
	return &commonv3.FaultDelay{FaultDelaySecifier: &commonv3.FaultDelay_HeaderDelay_{}, Percentage: percent(n)}
}

func httpAbort(status, n uint32) *faultv3.FaultAbort {
	return &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: status}, Percentage: percent(n)}
}

func grpcAbort(status, n uint32) *faultv3.FaultAbort {
	return &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_GrpcStatus{GrpcStatus: status}, Percentage: percent(n)}
}

func headerAbort(n uint32) *faultv3.FaultAbort {
	return &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HeaderAbort_{}, Percentage: percent(n)}
}

func fixedRate(kbps uint64, n uint32) *commonv3.FaultRateLimit {
	return &commonv3.FaultRateLimit{Percentage: percent(n), LimitType: &commonv3.FaultRateLimit_FixedLimit_{
		FixedLimit: &commonv3.FaultRateLimit_FixedLimit{LimitKbps: kbps}}}
}

func headerRate(n uint32) *commonv3.FaultRateLimit {
	return &commonv3.FaultRateLimit{Percentage: percent(n), LimitType: &commonv3.FaultRateLimit_HeaderLimit_{}}
}

// A bench is a filter with its surroundings.
type bench struct {
	t       testing.TB
	loop    *loop.Fake
	stats   *metrics.Scope
	runtime filtertest.Runtime
	build   httpfilter.Builder
	route   *route.Route
}

func newBench(t testing.TB, m *faultv3.HTTPFault) *bench {
	t.Helper()
	b := &bench{t: t, loop: loop.New(1), stats: metrics.New(1), runtime: filtertest.Runtime{}}
	b.route = &route.Route{Forward: &route.Forward{Cluster: "c"}}
	ctx := filtertest.Context(b.stats, nil)
	ctx.Runtime = b.runtime
	var errs conf.Errors
	if b.build = (Factory{}).BuildHTTPFilter(m, ctx, conf.Path{}, &errs); errs.Err() != nil {
		t.Fatal(errs)
	}
	t.Cleanup(func() {
		active, timers, buffers := b.stats.Value("http.in.fault.active_faults"), b.loop.ArmedTimers(), b.loop.Buffers().InUse()
		if active != 0 || timers != 0 || buffers != 0 {
			t.Errorf("left: %d active faults, %d timers, %d buffers", active, timers, buffers)
		}
	})
	return b
}

func (b *bench) stream() *filtertest.Stream {
	s := filtertest.New(b.loop)
	s.Table = func(*httpmsg.Headers) *route.Route { return b.route }
	s.Build(b.build)
	return s
}

// get sends a request and waits. It returns how long the request was held, the
// status and the flags; 200 is the upstream's.
func (b *bench) get(headers ...string) string {
	s := b.stream()
	start := b.loop.Now()
	s.Request(true, append([]string{":path", "/"}, headers...)...)
	for s.Local == nil && s.In.Headers == nil {
		if b.loop.ArmedTimers() == 0 {
			b.t.Fatal("the request waits for nothing")
		}
		b.loop.Advance(time.Millisecond)
	}
	held := b.loop.Now().Sub(start)
	status := "200"
	if s.Local != nil {
		status = fmt.Sprint(s.Local.Status)
		if s.Local.HasGRPCStatus {
			status += fmt.Sprintf("/%d", s.Local.GRPCStatus)
		}
		if s.Details != "fault_filter_abort" {
			b.t.Errorf("details %s", s.Details)
		}
	} else {
		s.Respond(true, ":status", "200")
	}
	flags := s.Info.Flags
	s.Recycle() // empties the buffers
	return fmt.Sprintf("%v %s %s", held, status, flags.Append(nil))
}

func (b *bench) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got %s, want %s", got, want)
	}
}

func (b *bench) wantStats(want string) {
	b.t.Helper()
	got := strings.ReplaceAll(strings.TrimSpace(b.stats.String()), "http.in.fault.", "")
	b.want(strings.ReplaceAll(got, "\n", ", "), want)
}

const none = "0s 200 -"

// TestFaults has what a real Envoy answers.
func TestFaults(t *testing.T) {
	both := &faultv3.HTTPFault{Delay: fixedDelay(100*time.Millisecond, 100), Abort: httpAbort(503, 100)}
	byHeader := &faultv3.HTTPFault{Delay: headerDelay(100), Abort: headerAbort(100)}
	const delayHeader, abortHeader, grpcHeader = "x-envoy-fault-delay-request", "x-envoy-fault-abort-request", "x-envoy-fault-abort-grpc-request"
	for _, tc := range []struct {
		name    string
		msg     *faultv3.HTTPFault
		runtime filtertest.Runtime
		headers []string
		want    string
		stats   string
	}{
		{name: "nothing", msg: &faultv3.HTTPFault{}, want: none},
		{name: "never", msg: &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 0), Abort: httpAbort(503, 0), ResponseRateLimit: fixedRate(1, 0)}, want: none},
		{name: "delay", msg: &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 100)}, want: "1s 200 DI", stats: "delays_injected: 1"},
		{name: "abort", msg: &faultv3.HTTPFault{Abort: httpAbort(429, 100)}, want: "0s 429 FI", stats: "aborts_injected: 1"},
		{name: "delay and abort", msg: both, want: "100ms 503 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},
		{name: "gRPC", msg: &faultv3.HTTPFault{Abort: grpcAbort(5, 100)}, want: "0s 200/5 FI", stats: "aborts_injected: 1"},

		{name: "headers", msg: byHeader, headers: []string{delayHeader, "50", abortHeader, "418"}, want: "50ms 418 DI,FI",
			stats: "aborts_injected: 1, delays_injected: 1"},
		{name: "no headers", msg: byHeader, want: none},
		{name: "bad headers", msg: byHeader, headers: []string{delayHeader, "abc", abortHeader, "700"}, want: none},
		{name: "negative delay", msg: byHeader, headers: []string{delayHeader, "-5"}, want: none},
		{name: "no delay", msg: byHeader, headers: []string{delayHeader, "0"}, want: none},
		{name: "gRPC header", msg: byHeader, headers: []string{grpcHeader, "7"}, want: "0s 200/7 FI", stats: "aborts_injected: 1"},
		{name: "both headers", msg: byHeader, headers: []string{grpcHeader, "7", abortHeader, "418"}, want: "0s 418 FI", stats: "aborts_injected: 1"},
		{name: "percentage of a header", msg: byHeader, headers: []string{abortHeader, "418", abortHeader + "-percentage", "0"}, want: none},
		{name: "bad percentage", msg: byHeader, headers: []string{abortHeader, "418", abortHeader + "-percentage", "x"}, want: "0s 418 FI",
			stats: "aborts_injected: 1"},
		{name: "percentage of a header is no more than the configuration's", msg: &faultv3.HTTPFault{Abort: headerAbort(0)},
			headers: []string{abortHeader, "418", abortHeader + "-percentage", "100"}, want: none},
		{name: "headers without permission", msg: both, headers: []string{delayHeader, "1", abortHeader, "418", abortHeader + "-percentage", "0"},
			want: "100ms 503 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},

		{name: "runtime turns off", msg: both, runtime: filtertest.Runtime{"fault.http.delay.fixed_delay_percent": "0", "fault.http.abort.abort_percent": "0"},
			want: none},
		{name: "runtime changes", msg: both, runtime: filtertest.Runtime{"fault.http.delay.fixed_duration_ms": "3", "fault.http.abort.http_status": "700"},
			want: "3ms 700 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},
		{name: "runtime asks for the impossible", msg: both, runtime: filtertest.Runtime{"fault.http.abort.http_status": "99999"},
			want: "100ms 503 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},
		{name: "runtime removes the delay", msg: both, runtime: filtertest.Runtime{"fault.http.delay.fixed_duration_ms": "0"},
			want: "0s 503 FI", stats: "aborts_injected: 1"},
		{name: "runtime changes gRPC", msg: &faultv3.HTTPFault{Abort: grpcAbort(5, 100)}, runtime: filtertest.Runtime{
			"fault.http.abort.http_status": "405", "fault.http.abort.grpc_status": "3"}, want: "0s 200/3 FI", stats: "aborts_injected: 1"},
		{name: "keys of its own", msg: &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 0), DelayPercentRuntime: "p", DelayDurationRuntime: "d",
			Abort: httpAbort(503, 0), AbortPercentRuntime: "p", AbortHttpStatusRuntime: "s"}, runtime: filtertest.Runtime{"p": "100", "d": "7", "s": "404"},
			want: "7ms 404 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},
		{name: "no more active faults", msg: &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 100), Abort: httpAbort(503, 100), MaxActiveFaults: wrapperspb.UInt32(0)},
			want: none, stats: "faults_overflow: 2"},
		{name: "no more by runtime", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100)}, runtime: filtertest.Runtime{"fault.http.max_active_faults": "0"},
			want: none, stats: "faults_overflow: 1"},
		{name: "one for all faults of a stream", msg: &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 100), Abort: httpAbort(503, 100),
			MaxActiveFaults: wrapperspb.UInt32(1)}, want: "1s 503 DI,FI", stats: "aborts_injected: 1, delays_injected: 1"},

		{name: "downstream cluster", msg: both, headers: []string{"x-envoy-downstream-service-cluster", "ds"}, runtime: filtertest.Runtime{
			"fault.http.ds.delay.fixed_duration_ms": "9", "fault.http.delay.fixed_duration_ms": "8", "fault.http.ds.abort.http_status": "404",
			"fault.http.delay.fixed_delay_percent": "0"},
			want: "9ms 404 DI,FI", stats: "aborts_injected: 1, delays_injected: 1, ds.aborts_injected: 1, ds.delays_injected: 1"},
		{name: "downstream cluster turned off", msg: both, headers: []string{"x-envoy-downstream-service-cluster", "ds"}, runtime: filtertest.Runtime{
			"fault.http.ds.delay.fixed_delay_percent": "0", "fault.http.ds.abort.abort_percent": "0"}, want: none},
		{name: "downstream cluster ignored", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), DisableDownstreamClusterStats: true},
			headers: []string{"x-envoy-downstream-service-cluster", "ds"}, runtime: filtertest.Runtime{"fault.http.ds.abort.abort_percent": "0"},
			want: "0s 503 FI", stats: "aborts_injected: 1"},

		{name: "upstream cluster", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), UpstreamCluster: "c"}, want: "0s 503 FI", stats: "aborts_injected: 1"},
		{name: "another upstream cluster", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), UpstreamCluster: "d"}, want: none},
		{name: "node", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), DownstreamNodes: []string{"m", "n"}},
			headers: []string{"x-envoy-downstream-service-node", "n"}, want: "0s 503 FI", stats: "aborts_injected: 1"},
		{name: "another node", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), DownstreamNodes: []string{"m", "n"}}, want: none},
		{name: "header matches", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), Headers: []*routev3.HeaderMatcher{{Name: "x"}}},
			headers: []string{"x", "y"}, want: "0s 503 FI", stats: "aborts_injected: 1"},
		{name: "no header matches", msg: &faultv3.HTTPFault{Abort: httpAbort(503, 100), Headers: []*routev3.HeaderMatcher{{Name: "x"}}}, want: none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.msg)
			for k, v := range tc.runtime {
				b.runtime[k] = v
			}
			b.want(b.get(tc.headers...), tc.want)
			b.wantStats(tc.stats)
		})
	}
}

// TestShare checks that a percentage hits about as many requests as it says.
func TestShare(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: 500},
		Percentage: &typev3.FractionalPercent{Numerator: 2500, Denominator: typev3.FractionalPercent_TEN_THOUSAND}}})
	hit := 0
	for range 4000 {
		if b.get() != none {
			hit++
		}
	}
	if hit < 900 || hit > 1100 {
		t.Errorf("%d of 4000 were aborted", hit)
	}
}

func TestRoute(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{Abort: httpAbort(500, 100)})
	var errs conf.Errors
	b.route.FilterConfigs = []route.FilterConfig{{Filter: "filter", Config: Factory{}.BuildRouteConfig(
		&faultv3.HTTPFault{Abort: httpAbort(404, 100)}, extension.HTTPContext{}, conf.Path{}, &errs)}}
	b.want(b.get(), "0s 404 FI")
	b.route = nil
	b.want(b.get(), "0s 500 FI")
}

func TestMetadataAndBody(t *testing.T) {
	metadata, _ := structpb.NewStruct(map[string]any{"a": "b"})
	m := &faultv3.HTTPFault{Abort: httpAbort(500, 100), FilterMetadata: metadata}
	m.Abort.ResponseBody = "own"
	s := newBench(t, m).stream()
	s.Request(true)
	if s.Out.Body.String() != "own" || s.Info.Metadata["filter"].GetFields()["a"].GetStringValue() != "b" {
		t.Errorf("%q, %v", s.Out.Body.String(), s.Info.Metadata)
	}
	s.Recycle()
}

// TestDelayHoldsBody checks that a delayed request waits with its body, and that
// a stream that ends meanwhile leaves nothing.
func TestDelayHoldsBody(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{Delay: fixedDelay(time.Second, 100)})
	s := b.stream()
	s.DecodeLimit = 3
	for _, trailers := range []bool{false, true} {
		s.Request(false, ":path", "/")
		s.Body("abcd", false)
		if s.In.Headers != nil || s.In.Paused != 1 {
			t.Fatalf("paused %d", s.In.Paused)
		}
		if trailers {
			s.Trailers("x", "y")
		} else {
			s.Body("e", true)
		}
		if b.stats.Value("http.in.fault.active_faults") != 1 {
			t.Error("no active fault")
		}
		b.loop.Advance(time.Second)
		if s.In.Headers == nil || !strings.HasPrefix(s.In.Body.String(), "abcd") || !s.In.Ended || s.In.Paused != 0 || (s.In.Trailers != nil) != trailers {
			t.Errorf("%q ended %v", s.In.Body.String(), s.In.Ended)
		}
		s.Leave()
		s.Recycle()
	}
	s.Request(false, ":path", "/")
	s.Body("abcd", false)
	s.Leave()
	if b.loop.ArmedTimers() != 0 {
		t.Error("the timer is still armed")
	}
	s.Recycle()
}

// respond sends a response of n bytes through the filter.
func respond(s *filtertest.Stream, n int, trailers bool) {
	s.Request(true, ":path", "/")
	s.Respond(false, ":status", "200")
	s.RespondBody(strings.Repeat("x", n), !trailers)
	if trailers {
		s.RespondTrailers("t", "1")
	}
}

func TestRateLimit(t *testing.T) {
	for _, trailers := range []bool{false, true} {
		b := newBench(t, &faultv3.HTTPFault{ResponseRateLimit: fixedRate(1, 100)})
		s := b.stream()
		for range 2 { // the second time recycled
			respond(s, 1024, trailers)
			if s.Out.Body.Len() != 0 {
				t.Error("data passed in the turn it came in")
			}
			var sizes []int
			for !s.Out.Ended {
				b.loop.Advance(50 * time.Millisecond)
				sizes = append(sizes, s.Out.Body.Len())
				if len(sizes) > 100 {
					t.Fatal("no end")
				}
			}
			// A twentieth at once, and as much each 50 ms.
			if len(sizes) != 20 || sizes[0] != 102 || sizes[1] != 153 || sizes[19] != 1024 {
				t.Errorf("after 50 ms each: %v", sizes)
			}
			if (s.Out.Trailers != nil) != trailers || s.Info.Flags != 0 {
				t.Errorf("trailers %v, flags %v", s.Out.Trailers, s.Info.Flags)
			}
			s.Recycle()
		}
		b.wantStats("response_rl_injected: 2")
	}
}

func TestRateLimitByHeader(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{ResponseRateLimit: headerRate(100)})
	s := b.stream()
	for _, tc := range []struct {
		headers []string
		limited bool
	}{
		{nil, false},
		{[]string{"x-envoy-fault-throughput-response", "0"}, false},
		{[]string{"x-envoy-fault-throughput-response", "q"}, false},
		{[]string{"x-envoy-fault-throughput-response", "2", "x-envoy-fault-throughput-response-percentage", "0"}, false},
		{[]string{"x-envoy-fault-throughput-response", "2"}, true},
		{[]string{"x-envoy-fault-throughput-response", "18446744073709551615"}, true},
	} {
		s.Request(true, tc.headers...)
		s.Respond(false, ":status", "200")
		s.RespondBody("abc", false)
		if limited := s.Out.Body.Len() == 0; limited != tc.limited {
			t.Errorf("%v: limited %v", tc.headers, limited)
		}
		b.loop.Run()
		if s.Out.Body.String() != "abc" || s.Out.Ended {
			t.Errorf("%v: %q ended %v", tc.headers, s.Out.Body.String(), s.Out.Ended)
		}
		s.RespondBody("", true)
		b.loop.Run()
		if !s.Out.Ended {
			t.Errorf("%v: not ended", tc.headers)
		}
		s.Recycle()
	}
	b.runtime["fault.http.rate_limit.response_percent"] = "0"
	s.Request(true, "x-envoy-fault-throughput-response", "2")
	s.Respond(false, ":status", "200")
	s.RespondBody("abc", true)
	if !s.Out.Ended {
		t.Error("limited against the runtime")
	}
	s.Recycle()
}

// TestRateLimitWatermarks checks that the source of a slow response pauses.
func TestRateLimitWatermarks(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{ResponseRateLimit: fixedRate(1, 100)})
	s := b.stream()
	s.EncodeLimit = 600
	respond(s, 1000, true)
	if s.Out.Paused != 1 {
		t.Errorf("paused %d", s.Out.Paused)
	}
	b.loop.Advance(time.Second)
	if s.Out.Paused != 0 || !s.Out.Ended {
		t.Errorf("paused %d, ended %v", s.Out.Paused, s.Out.Ended)
	}
	s.Recycle()
	respond(s, 1000, false)
	s.Leave() // with bytes that wait
	s.Recycle()
}

// TestManyClusters checks that names from requests cannot fill the memory.
func TestManyClusters(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{Abort: httpAbort(503, 100)})
	for i := range maxClusters + 10 {
		b.get("x-envoy-downstream-service-cluster", fmt.Sprint("c", i))
	}
	if n := len(b.stats.Names()); n > 2*maxClusters+10 {
		t.Errorf("%d metrics", n)
	}
	if n := b.stats.Value("http.in.fault.aborts_injected"); n != maxClusters+10 {
		t.Errorf("%d aborts", n)
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		msg  *faultv3.HTTPFault
		want string
	}{
		{&faultv3.HTTPFault{Delay: &commonv3.FaultDelay{}, Abort: &faultv3.FaultAbort{}, ResponseRateLimit: &commonv3.FaultRateLimit{}},
			"p.delay: one of fixed_delay and header_delay must be set\n" +
				"p.abort: one of http_status, grpc_status and header_abort must be set\n" +
				"p.response_rate_limit: one of fixed_limit and header_limit must be set"},
		{&faultv3.HTTPFault{Delay: fixedDelay(0, 1), Abort: httpAbort(600, 1), ResponseRateLimit: fixedRate(0, 1)},
			"p.delay.fixed_delay: must be greater than 0\np.abort.http_status: must be from 200 to 599\n" +
				"p.response_rate_limit.fixed_limit.limit_kbps: must be greater than 0"},
		{&faultv3.HTTPFault{Headers: []*routev3.HeaderMatcher{{}}}, "p.headers[0].name: must not be empty"},
	} {
		var errs conf.Errors
		at := conf.Path{}.Field("p")
		if b := (Factory{}).BuildHTTPFilter(tc.msg, filtertest.Context(metrics.New(1), nil), at, &errs); b != nil || errs.Error() != tc.want {
			t.Errorf("got %s, want %s", errs.Error(), tc.want)
		}
		if c := (Factory{}).BuildRouteConfig(tc.msg, extension.HTTPContext{}, at, &errs); c != nil {
			t.Errorf("route: %v", c)
		}
	}
	if _, missing, err := fields().Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	b := newBench(t, &faultv3.HTTPFault{Delay: headerDelay(100), Abort: httpAbort(503, 0), ResponseRateLimit: headerRate(100)})
	s := b.stream()
	s.Headers().Add(":path", "/")
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
