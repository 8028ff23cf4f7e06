package router

import (
	"strings"
	"testing"
	"time"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func TestRequestAndResponse(t *testing.T) {
	b := newBench(t, nil, nil)
	b.post("x-envoy-upstream-alt-stat-name", "foo", "x-envoy-hedge-on-per-try-timeout", "true")
	b.stream.Body("waits ", false)
	a := b.ready()
	b.stream.Body("flows ", false)
	b.stream.Body("ends", false)
	b.stream.Trailers("t", "1")
	want := ":method: POST\n:path: /\n:authority: host\n:scheme: http\nx-envoy-expected-rq-timeout-ms: 15000\n" +
		"x-envoy-original-path: /\n\nwaits flows ends\ntrailers:\nt: 1\n"
	if got := a.SentText(); got != want {
		t.Errorf("sent:\n%s\nwant\n%s", got, want)
	}
	b.loop.Advance(7 * time.Millisecond)
	a.Respond(false, ":status", "200", "x-a", "b")
	a.Send("hello ", false)
	a.Send("world", false)
	a.SendTrailers("r", "2")
	b.wantReply("200 [-] via_upstream\nx-a: b\nx-envoy-upstream-service-time: 7\n\nhello world\ntrailers:\nr: 2")
	b.wantStats("cluster.a.upstream_rq_200=1", "cluster.a.upstream_rq_2xx=1", "cluster.a.upstream_rq_completed=1",
		"cluster.a.external.upstream_rq_200=1", "cluster.a.internal.upstream_rq_completed=0", "cluster.a.canary.upstream_rq_completed=0")
	for _, name := range []string{"cluster.a.upstream_rq_time", "cluster.a.external.upstream_rq_time"} {
		if got := b.stats.Recorded(name); len(got) != 1 || got[0] != 7 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if a.WasReset {
		t.Error("a complete exchange was reset")
	}
}

func TestStatVariants(t *testing.T) {
	t.Run("internal canary", func(t *testing.T) {
		b := newBench(t, nil, nil)
		b.get("x-envoy-internal", "true")
		b.ready().Respond(true, ":status", "404", "x-envoy-upstream-canary", "true")
		b.wantStats("cluster.a.internal.upstream_rq_404=1", "cluster.a.canary.upstream_rq_4xx=1", "cluster.a.external.upstream_rq_completed=0")
		if got := b.stats.Recorded("cluster.a.canary.upstream_rq_time"); len(got) != 1 {
			t.Errorf("canary times %v", got)
		}
	})
	t.Run("canary host", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) { b.cluster.Hosts[0].IsCanary = true })
		b.get()
		b.ready().Respond(true, ":status", "200")
		b.wantStats("cluster.a.canary.upstream_rq_200=1")
	})
	t.Run("no dynamic stats", func(t *testing.T) {
		b := newBench(t, &routerv3.Router{DynamicStats: wrap(false)}, nil)
		b.get()
		b.ready().Respond(true, ":status", "200")
		b.wantStats("cluster.a.upstream_rq_completed=0", "cluster.a.external.upstream_rq_completed=0")
	})
	t.Run("health check", func(t *testing.T) {
		b := newBench(t, nil, nil)
		b.stream.Info.HealthCheck = true
		b.get()
		b.ready().Respond(true, ":status", "200")
		b.wantStats("cluster.a.upstream_rq_completed=0")
	})
	t.Run("gRPC codes suppressed", func(t *testing.T) {
		b := newBench(t, &routerv3.Router{SuppressGrpcRequestFailureCodeStats: true}, nil)
		b.get("content-type", "application/grpc+proto")
		b.ready().Respond(true, ":status", "503")
		b.wantStats("cluster.a.upstream_rq_completed=1", "cluster.a.upstream_rq_503=0", "cluster.a.external.upstream_rq_503=1")
	})
}

func TestStreamInfo(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Hosts[0] = filtertest.NewHost("127.0.0.1:8001", "one")
		b.cluster.Info().ObservabilityName = "alias"
	})
	start := b.loop.Now()
	b.post()
	b.loop.Advance(time.Millisecond)
	a := b.ready()
	b.loop.Advance(time.Millisecond)
	b.stream.Body("body", true)
	b.loop.Advance(time.Millisecond)
	a.Respond(false, ":status", "200")
	b.loop.Advance(time.Millisecond)
	a.Send("x", false)
	b.loop.Advance(time.Millisecond)
	meter := streaminfo.Meter{Received: 50, Sent: 60, HeaderReceived: 40, HeaderSent: 30}
	a.Count(meter)
	a.Send("y", true)
	up := &b.stream.Info.Upstream
	ms := func(t time.Time) int { return int(t.Sub(start).Milliseconds()) }
	got := []int{ms(up.PoolReady), ms(up.FirstTxByte), ms(up.LastTxByte), ms(up.FirstRxByte), ms(up.FirstBodyByte), ms(up.LastRxByte)}
	for i, want := range []int{1, 1, 2, 3, 4, 5} {
		if got[i] != want {
			t.Errorf("times %v", got)
		}
	}
	if up.Cluster != "alias" || up.ClusterRaw != "a" || up.Hostname != "one" || up.Host.String() != "127.0.0.1:8001" ||
		up.ConnectionID != 1 || !up.HasVersion || up.Version != httpmsg.HTTP11 || up.Bytes != meter {
		t.Errorf("%+v", *up)
	}
	if len(up.HostsAttempted) != 1 || up.HostnamesAttempted[0] != "one" || up.ConnectionIDsAttempted[0] != 1 || b.stream.Info.AttemptCount != 1 {
		t.Errorf("attempted %v %v %v, count %d", up.HostsAttempted, up.HostnamesAttempted, up.ConnectionIDsAttempted, b.stream.Info.AttemptCount)
	}
}

// TestBytesOfABrokenStream: the access log is written before OnDestroy.
func TestBytesOfABrokenStream(t *testing.T) {
	b := newBench(t, nil, nil)
	b.get()
	b.ready().Count(streaminfo.Meter{Sent: 7})
	b.stream.Leave()
	if got := b.stream.Info.Upstream.Bytes.Sent; got != 7 {
		t.Errorf("%d bytes", got)
	}
	if !b.last().WasReset {
		t.Error("the upstream works for nobody")
	}
}

func TestClientLeavesBeforeThePoolAnswers(t *testing.T) {
	b := newBench(t, nil, nil)
	b.get()
	b.stream.Leave()
	if !b.last().Cancelled {
		t.Error("not cancelled")
	}
}

func TestRequestHeaders(t *testing.T) {
	tests := []struct {
		name  string
		m     *routerv3.Router
		setUp func(b *bench)
		in    []string
		want  string // without the fields of get
	}{
		{"plain", nil, nil, nil, "x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n"},
		{"suppressed", &routerv3.Router{SuppressEnvoyHeaders: true}, nil, nil, ""},
		{"attempt count", nil, func(b *bench) { b.route.VirtualHost.IncludeAttemptCount = true }, nil,
			"x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-attempt-count: 1\nx-envoy-original-path: /\n"},
		{"timeout of the request", nil, nil, []string{"x-envoy-upstream-rq-timeout-ms", "70"},
			"x-envoy-expected-rq-timeout-ms: 70\nx-envoy-original-path: /\n"},
		{"no number", nil, nil, []string{"x-envoy-upstream-rq-timeout-ms", "7s"},
			"x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n"},
		{"per try", nil, nil, []string{"x-envoy-upstream-rq-per-try-timeout-ms", "40"},
			"x-envoy-expected-rq-timeout-ms: 40\nx-envoy-original-path: /\n"},
		{"per try too long", nil, nil, []string{"x-envoy-upstream-rq-per-try-timeout-ms", "40000"},
			"x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n"},
		{"no timeout", nil, func(b *bench) { b.route.Forward.Timeout = 0 }, nil, "x-envoy-original-path: /\n"},
		{"maximal stream duration", nil, func(b *bench) { b.route.Forward.HasMaxStreamDuration = true }, nil, "x-envoy-original-path: /\n"},
		{"expected timeout not respected", nil, nil, []string{"x-envoy-expected-rq-timeout-ms", "30"},
			"x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n"},
		{"expected timeout respected", &routerv3.Router{RespectExpectedRqTimeout: true}, nil, []string{"x-envoy-expected-rq-timeout-ms", "30"},
			"x-envoy-expected-rq-timeout-ms: 30\nx-envoy-original-path: /\n"},
		{"huge", nil, nil, []string{"x-envoy-upstream-rq-timeout-ms", "18446744073709551615"},
			"x-envoy-expected-rq-timeout-ms: 9223372036854\nx-envoy-original-path: /\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.m, tt.setUp)
			b.get(tt.in...)
			const given = ":method: GET\n:path: /\n:authority: host\n:scheme: http\n"
			if got := b.ready().SentText(); got != given+tt.want {
				t.Errorf("sent\n%s\nwant\n%s", got, given+tt.want)
			}
		})
	}
}

func TestAutoHostRewrite(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.route.Forward.AutoHostRewrite, b.route.Forward.AppendXForwardedHost = true, true
		b.cluster.Hosts = []*filtertest.Host{filtertest.NewHost("127.0.0.1:8001", "one"), filtertest.NewHost("127.0.0.1:8002", "two")}
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
	})
	b.get()
	first := b.ready()
	if h := &first.Headers; h.Get(httpmsg.Authority) != "one" || h.Get(httpmsg.XForwardedHost) != "host" || h.Get(httpmsg.XEnvoyOriginalHost) != "host" {
		t.Errorf("sent\n%s", first.SentText())
	}
	first.Respond(true, ":status", "500")
	b.loop.Advance(time.Second)
	if h := &b.ready().Headers; h.Get(httpmsg.Authority) != "two" || h.Get(httpmsg.XEnvoyOriginalHost) != "host" {
		t.Errorf("sent again\n%s", b.last().SentText())
	}
}

func TestMissingScheme(t *testing.T) {
	for proto, want := range map[string]string{"https": "https", "": "http", "x": "http"} {
		b := newBench(t, nil, nil)
		b.stream.Request(true, ":method", "GET", ":path", "/", ":authority", "host", "x-forwarded-proto", proto)
		if got := b.ready().Headers.Get(httpmsg.Scheme); got != want {
			t.Errorf("x-forwarded-proto %q: scheme %q", proto, got)
		}
	}
}

func TestInterimResponses(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.get()
	a := b.ready()
	a.Interim(":status", "199")
	a.Interim(":status", "103", "link", "a")
	a.Interim(":status", "103", "link", "b")
	a.Respond(true, ":status", "500")
	if got := strings.Join(b.stream.Interims, "|"); got != ":status: 103\nlink: a\n" {
		t.Errorf("interim responses %q", got)
	}
	b.wantReply("500 [-] via_upstream\nx-envoy-upstream-service-time: 0")
	b.wantStats("cluster.a.upstream_rq_103=1", "cluster.a.upstream_rq_1xx=1", "cluster.a.upstream_rq_500=1", "cluster.a.upstream_rq_completed=2")
}

func TestEarlyResponse(t *testing.T) {
	b := newBench(t, nil, nil)
	b.post()
	a := b.ready()
	b.stream.Body("part", false)
	a.Respond(true, ":status", "413")
	b.wantReply("413 [-] via_upstream")
	if !a.WasReset {
		t.Error("the rest of the request has no reader")
	}
	if got := b.stats.Recorded("cluster.a.upstream_rq_time"); got != nil {
		t.Errorf("a time since a request that is not complete: %v", got)
	}
}

func TestBackPressureOfTheUpstream(t *testing.T) {
	b := newBench(t, nil, nil)
	b.post()
	b.stream.Body(strings.Repeat("x", 101), false)
	if b.stream.Paused != 1 {
		t.Error("a body over the limit waits for the stream, and more is read")
	}
	a := b.ready()
	if b.stream.Paused != 0 {
		t.Error("still paused after the body was sent")
	}
	a.High()
	a.High()
	if b.stream.Paused != 2 {
		t.Errorf("paused %d times", b.stream.Paused)
	}
	a.Low()
	b.wantStats("cluster.a.upstream_flow_control_backed_up_total=3", "cluster.a.upstream_flow_control_drained_total=2")
	a.Break(httpmsg.ResetConnectionTermination, "")
	b.wantStats("cluster.a.upstream_flow_control_drained_total=3")
}

func TestBackPressureOfTheDownstream(t *testing.T) {
	b := newBench(t, nil, nil)
	b.stream.High()
	b.get()
	a := b.ready()
	b.stream.High()
	if a.Disabled != 0 {
		t.Error("the upstream is paused before it responds")
	}
	a.Respond(false, ":status", "200")
	if a.Disabled != 2 {
		t.Errorf("paused %d times", a.Disabled)
	}
	b.stream.Low()
	b.stream.Low()
	b.stream.High()
	if a.Disabled != 1 {
		t.Errorf("paused %d times", a.Disabled)
	}
	b.stream.Low()
	a.Send("x", true)
	b.stream.High()
	b.stream.Low()
	b.wantStats("cluster.a.upstream_flow_control_paused_reading_total=3", "cluster.a.upstream_flow_control_resumed_reading_total=3")
}

func TestTimeouts(t *testing.T) {
	t.Run("begins with the complete request", func(t *testing.T) {
		b := newBench(t, nil, nil)
		b.post()
		b.ready()
		b.loop.Advance(time.Minute)
		b.stream.Body("x", true)
		b.loop.Advance(15*time.Second - time.Millisecond)
		if b.stream.Destroyed {
			t.Fatal("too early")
		}
		b.loop.Advance(time.Millisecond)
		b.wantReply("504 [UT] response_timeout\n\nupstream request timeout")
	})
	t.Run("ends a response that goes on", func(t *testing.T) {
		b := newBench(t, nil, nil)
		b.get()
		b.ready().Respond(false, ":status", "200")
		b.loop.Advance(15 * time.Second)
		b.wantReply("reset: local reset [UT] response_timeout\nx-envoy-upstream-service-time: 0")
		b.wantStats("cluster.a.upstream_rq_timeout=1", "cluster.a.upstream_rq_504=0")
	})
	t.Run("while a retry waits", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) {
			retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, BaseInterval: time.Hour, MaxInterval: time.Hour})(b)
		})
		b.get()
		b.ready().Respond(true, ":status", "500")
		b.loop.Advance(15 * time.Second)
		b.wantReply("504 [UT] response_timeout\n\nupstream request timeout")
		b.wantStats("cluster.a.upstream_rq_timeout=0")
	})
	t.Run("per try, retried", func(t *testing.T) {
		b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, PerTryTimeout: time.Second}))
		b.get()
		b.ready()
		b.loop.Advance(time.Second)
		if !b.cluster.Attempts[0].WasReset {
			t.Error("the late attempt goes on")
		}
		b.loop.Advance(time.Second)
		b.ready()
		b.loop.Advance(time.Second)
		b.wantReply("504 [URX,UT] upstream_per_try_timeout\n\nupstream request timeout")
		b.wantStats("cluster.a.upstream_rq_per_try_timeout=2", "cluster.a.upstream_rq_retry=1", "cluster.a.upstream_rq_504=1")
		if b.cluster.Hosts[0].Timeouts != 2 {
			t.Errorf("%d timeouts of the host", b.cluster.Hosts[0].Timeouts)
		}
	})
	t.Run("per try leaves a response alone", func(t *testing.T) {
		b := newBench(t, nil, retryPolicy(route.RetryPolicy{PerTryTimeout: time.Second}))
		b.get()
		b.ready().Respond(false, ":status", "200")
		b.loop.Advance(2 * time.Second)
		if b.stream.Destroyed {
			t.Error("the response was ended")
		}
	})
	t.Run("per try idle is put off", func(t *testing.T) {
		b := newBench(t, nil, retryPolicy(route.RetryPolicy{PerTryIdleTimeout: time.Second}))
		b.get()
		a := b.ready()
		a.Respond(false, ":status", "200")
		for range 3 {
			b.loop.Advance(999 * time.Millisecond)
			a.Send("x", false)
		}
		b.loop.Advance(time.Second)
		b.wantReply("reset: local reset [UT] upstream_per_try_idle_timeout\nx-envoy-upstream-service-time: 0\n\nxxx")
	})
}

func upgradeRequest(b *bench, protocol string) *filtertest.Attempt {
	b.post("connection", "keep-alive, Upgrade", "upgrade", protocol)
	b.stream.Body("early", false)
	return b.ready()
}

func TestUpgrade(t *testing.T) {
	t.Run("accepted", func(t *testing.T) {
		b := newBench(t, nil, nil)
		a := upgradeRequest(b, "websocket")
		if a.Body.Len() != 0 {
			t.Error("the body did not wait for the answer")
		}
		a.Respond(false, ":status", "101", "upgrade", "websocket")
		b.stream.Body(" late", false)
		a.Send("answer", false)
		b.loop.Advance(time.Hour) // no timeout ends a tunnel
		b.wantReply("101 [-] via_upstream\nupgrade: websocket\n\nanswer\n...")
		if got := a.Body.String(); got != "early late" {
			t.Errorf("sent %q", got)
		}
		a.Send("", true)
		if !a.WasReset {
			t.Error("the tunnel is open on one side")
		}
	})
	t.Run("refused", func(t *testing.T) {
		b := newBench(t, nil, nil)
		a := upgradeRequest(b, "websocket")
		a.Respond(true, ":status", "403")
		b.wantReply("403 [-] via_upstream")
		if a.Body.Len() != 0 {
			t.Error("the body was sent")
		}
	})
	t.Run("neither", func(t *testing.T) {
		b := newBench(t, nil, nil)
		upgradeRequest(b, "WebSocket").Respond(false, ":status", "200", "x-a", "b", "upgrade", "websocket", "content-length", "2")
		b.wantReply("200 [-] websocket_handshake_unsuccessful\nx-a: b")
	})
	t.Run("timeout", func(t *testing.T) {
		b := newBench(t, nil, nil)
		upgradeRequest(b, "websocket")
		b.loop.Advance(15 * time.Second)
		b.wantReply("504 [UT] response_timeout\n\nupstream request timeout")
	})
	t.Run("another protocol is not accepted", func(t *testing.T) {
		b := newBench(t, nil, nil)
		a := upgradeRequest(b, "foo")
		a.Respond(false, ":status", "200")
		a.Send("x", true)
		b.wantReply("200 [-] via_upstream\n\nx")
		if a.Body.Len() != 0 {
			t.Error("the body was sent")
		}
	})
	t.Run("CONNECT", func(t *testing.T) {
		b := newBench(t, nil, nil)
		b.stream.Request(false, ":method", "CONNECT", ":authority", "host:443")
		b.stream.Body("early", false)
		a := b.ready()
		a.Respond(false, ":status", "200")
		if got := a.Body.String(); got != "early" {
			t.Errorf("sent %q", got)
		}
	})
}

// TestRecycledFilter: nothing of a request is left for the next.
func TestRecycledFilter(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Immediate = true
		retryPolicy(route.RetryPolicy{On: route.RetryConnectFailure, NumRetries: 1, PerTryTimeout: time.Second})(b)
	})
	turns := []func(){
		func() { b.get(); b.last().Respond(true, ":status", "200") },
		func() { b.post(); b.stream.Body("x", false); b.last().High(); b.stream.High(); b.stream.Leave() },
		func() { b.get(); b.last().Break(httpmsg.ResetConnectionTermination, "why") },
		func() { b.get(); b.loop.Advance(time.Second) },
		func() { b.get("x-envoy-retry-on", "5xx"); b.last().Respond(false, ":status", "500"); b.stream.Leave() },
		func() { b.route.Forward.Cluster = "none"; b.get(); b.route.Forward.Cluster = "a" },
		func() { // three attempts side by side, of which the first answers
			b.get("x-envoy-hedge-on-per-try-timeout", "true", "x-envoy-retry-on", "5xx", "x-envoy-max-retries", "2")
			b.loop.Advance(3 * time.Second)
			b.cluster.Attempts[0].Respond(true, ":status", "200")
		},
		func() {
			b.route.Forward.Redirect = &route.InternalRedirect{MaxRedirects: 1, Codes: []int{302}}
			b.get()
			b.last().Respond(false, ":status", "302", "location", "http://h/")
			b.route.Forward.Redirect = nil
		},
		func() {
			b.route.Forward.Mirrors = []route.Mirror{{Cluster: "a"}}
			b.post()
			b.stream.Leave()
			b.route.Forward.Mirrors = nil
		},
	}
	for i := range 50 {
		turns[(i*7)%len(turns)]()
		b.stream.Recycle()
		b.cluster.Forget()
		b.get()
		b.last().Respond(true, ":status", "500")
		b.wantReply("500 [-] via_upstream\nx-envoy-upstream-service-time: 0")
		if b.loop.ArmedTimers() != 0 {
			t.Fatal("a timer is armed")
		}
		b.stream.Recycle()
		b.cluster.Forget()
	}
	b.get()
}

// TestSteadyStateDoesNotAllocate: a GET and a response with a body of 93 bytes.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Immediate = true
		b.cluster.Hosts[0].Count = true
		b.cluster.Hosts = append(b.cluster.Hosts, b.cluster.Hosts[0])
		b.route.VirtualHost.IncludeAttemptCount = true
		vc := b.requestStats("vc")
		b.route.VirtualHost.VirtualCluster = func(*httpmsg.Headers) *route.RequestStats { return vc }
		b.ctx.Server.(*filtertest.Server).Zone, b.cluster.Hosts[0].Where.Zone = "za", "zb"
	})
	b.stats.Scope("cluster.a.").Histogram("upstream_rq_time", 0)
	body := strings.Repeat("x", 93)
	var response, request httpmsg.Headers
	for _, f := range []httpmsg.Field{{Name: ":status", Value: "200"}, {Name: "content-length", Value: "93"}, {Name: "content-type", Value: "text/plain"}} {
		response.Add(f.Name, f.Value)
	}
	for _, f := range []httpmsg.Field{{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "host"}, {Name: ":scheme", Value: "http"}} {
		request.Add(f.Name, f.Value)
	}
	turn := func() {
		b.stream.Headers().CopyFrom(&request)
		b.stream.RequestMap(true)
		b.loop.Advance(12 * time.Millisecond)
		a := b.cluster.Last()
		a.RespondMap(&response, false)
		a.Send(body, true)
		b.stream.Recycle()
		b.cluster.Forget()
	}
	turn()
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
	b.get() // for the checks at the end
}
