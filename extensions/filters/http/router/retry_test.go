package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// hasHeader is a route.HeaderMatcher.
type hasHeader string

func (n hasHeader) MatchHeaders(h *httpmsg.Headers) bool {
	_, ok := h.Find(string(n))
	return ok
}

// TestRetryConditions: what each condition retries, and what none does.
func TestRetryConditions(t *testing.T) {
	reset := func(r httpmsg.ResetReason) func(b *bench) { return func(b *bench) { b.ready().Break(r, "") } }
	fail := func(f upstream.PoolFailure) func(b *bench) { return func(b *bench) { b.last().Fail(f, "") } }
	respond := func(fields ...string) func(b *bench) {
		return func(b *bench) { b.ready().Respond(true, append([]string{":status"}, fields...)...) }
	}
	outcomes := []struct {
		name string
		do   func(b *bench)
		on   string // the conditions that retry it
	}{
		{"overflow", fail(upstream.Overflow), ""},
		{"refused", fail(upstream.RemoteConnectionFailure), "5xx gateway-error reset reset-before-request connect-failure"},
		{"local failure", fail(upstream.LocalConnectionFailure), "5xx gateway-error reset reset-before-request connect-failure"},
		{"connect timeout", fail(upstream.ConnectTimeout), "5xx gateway-error reset reset-before-request connect-failure"},
		{"terminated", reset(httpmsg.ResetConnectionTermination), "5xx gateway-error reset"},
		{"protocol error", reset(httpmsg.ResetProtocolError), "5xx gateway-error reset"},
		{"refused stream", reset(httpmsg.ResetRemoteRefusedStream), "5xx gateway-error reset refused-stream"},
		{"200", respond("200"), ""},
		{"409", respond("409"), "retriable-4xx"},
		{"418", respond("418"), "retriable-status-codes"},
		{"419", respond("419"), "retriable-status-codes"},
		{"500", respond("500"), "5xx"},
		{"503", respond("503"), "5xx gateway-error"},
		{"504", respond("504"), "5xx gateway-error"},
		{"505", respond("505"), "5xx"},
		{"rate limited", respond("503", "x-envoy-ratelimited", "true"), "envoy-ratelimited"},
		{"overloaded", respond("503", "x-envoy-overloaded", "true"), "5xx gateway-error"},
		{"header of the policy", respond("200", "x-policy", ""), "retriable-headers"},
		{"header of the request", respond("200", "x-request", ""), "retriable-headers"},
		{"cancelled", respond("200", "grpc-status", "1"), "cancelled"},
		{"deadline exceeded", respond("200", "grpc-status", "4"), "deadline-exceeded"},
		{"resource exhausted", respond("200", "grpc-status", "8"), "resource-exhausted"},
		{"internal", respond("200", "grpc-status", "13"), "internal"},
		{"unavailable", respond("200", "grpc-status", "14"), "unavailable"},
		{"no grpc status", respond("200", "grpc-status", "x"), ""},
	}
	conditions := strings.Fields("5xx gateway-error reset reset-before-request connect-failure retriable-4xx refused-stream " +
		"retriable-status-codes retriable-headers envoy-ratelimited http3-post-connect-failure " +
		"cancelled deadline-exceeded resource-exhausted internal unavailable")
	for _, o := range outcomes {
		for _, condition := range conditions {
			for _, by := range []string{"policy", "header"} {
				t.Run(o.name+"/"+condition+"/"+by, func(t *testing.T) {
					on, _ := route.ParseRetryOn(condition)
					header := "x-envoy-retry-on"
					if on&route.RetryGRPC != 0 {
						header = "x-envoy-retry-grpc-on"
					}
					p := route.RetryPolicy{NumRetries: 1, RetriableStatusCodes: []int{418}, RetriableHeaders: []route.HeaderMatcher{hasHeader("x-policy")}}
					fields := []string{"x-envoy-retriable-status-codes", "419, 7", "x-envoy-retriable-header-names", "x-Other, X-Request"}
					if by == "policy" {
						p.On = on
					} else {
						fields = append(fields, header, condition)
					}
					b := newBench(t, nil, retryPolicy(p))
					b.get(fields...)
					o.do(b)
					want := strings.Contains(" "+o.on+" ", " "+condition+" ")
					if got := !b.stream.Destroyed; got != want {
						t.Fatalf("retried %v, want %v", got, want)
					}
					b.loop.Advance(time.Second)
					if got := len(b.cluster.Attempts) == 2; got != want {
						t.Errorf("%d attempts", len(b.cluster.Attempts))
					}
					if sent := b.cluster.Attempts[0].SentText(); strings.Contains(sent, "retr") {
						t.Errorf("the upstream sees the request's retry headers:\n%s", sent)
					}
				})
			}
		}
	}
}

func TestRetriesAreUsedUp(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		retryPolicy(route.RetryPolicy{On: route.RetryConnectFailure, NumRetries: 2})(b)
		b.route.VirtualHost.IncludeAttemptCount, b.route.VirtualHost.IncludeAttemptCountInResponse = true, true
	})
	b.get()
	for range 3 {
		b.last().Fail(upstream.RemoteConnectionFailure, "delayed connect error: Connection refused")
		b.loop.Advance(time.Second)
	}
	b.wantReply(`503 [URX,UF] upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}
x-envoy-attempt-count: 3

upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure`)
	b.wantStats("cluster.a.upstream_rq_retry=2", "cluster.a.upstream_rq_retry_backoff_exponential=2",
		"cluster.a.upstream_rq_retry_limit_exceeded=1", "cluster.a.upstream_rq_retry_success=0", "cluster.a.upstream_rq_503=1",
		"cluster.a.upstream_rq_completed=1", "cluster.a.retry.upstream_rq_completed=0")
	if b.stream.Info.AttemptCount != 3 {
		t.Errorf("attempt count %d", b.stream.Info.AttemptCount)
	}
}

func TestLastBadResponseIsPassedThrough(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.get()
	b.ready().Respond(true, ":status", "500")
	b.loop.Advance(time.Second)
	a := b.ready()
	a.Respond(false, ":status", "500")
	a.Send("no", true)
	b.wantReply("500 [URX] via_upstream\nx-envoy-upstream-service-time: 1000\n\nno")
	b.wantStats("cluster.a.retry.upstream_rq_500=1", "cluster.a.retry.upstream_rq_5xx=1", "cluster.a.retry.upstream_rq_completed=1",
		"cluster.a.upstream_rq_500=1", "cluster.a.upstream_rq_completed=1", "cluster.a.external.upstream_rq_500=1")
	if b.cluster.Attempts[0].WasReset {
		t.Error("a complete exchange was reset: its connection is lost")
	}
	if got := fmt.Sprint(b.cluster.Hosts[0].Responses); got != "[500 500]" {
		t.Errorf("outcomes %s", got)
	}
}

func TestRetrySucceeds(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.RetryReset, NumRetries: 1}))
	b.get()
	b.ready().Break(httpmsg.ResetConnectionTermination, "")
	b.loop.Advance(time.Second)
	if n := b.cluster.Resources(0).Retries.Current(); n != 1 {
		t.Errorf("%d retries are counted", n)
	}
	b.ready().Respond(true, ":status", "200")
	b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 1000")
	b.wantStats("cluster.a.upstream_rq_retry_success=1", "cluster.a.upstream_rq_retry=1", "cluster.a.retry.upstream_rq_completed=0")
}

func TestRetryOfAnUnfinishedResponseResets(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.get()
	b.ready().Respond(false, ":status", "503")
	if !b.cluster.Attempts[0].WasReset {
		t.Error("the rest of the response is still read")
	}
}

// TestRetryCircuitBreaker: a retry that is not allowed shows as overflow.
func TestRetryCircuitBreaker(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		b.cluster = filtertest.NewCluster(b.loop, b.stats, "a", 0)
		b.ctx.Clusters = filtertest.Clusters{"a": b.cluster}
	})
	b.get()
	b.ready().Respond(true, ":status", "503")
	b.wantReply("503 [UO] via_upstream\nx-envoy-upstream-service-time: 0")
	b.wantStats("cluster.a.upstream_rq_retry_overflow=1", "cluster.a.upstream_rq_retry=0")
	if len(b.log.Lines) != 1 || !strings.Contains(b.log.Lines[0], "retry circuit breaker is open") {
		t.Errorf("log %q", b.log.Lines)
	}
}

func TestRuntimeTurnsRetriesOff(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		b.ctx.Runtime = filtertest.Runtime{"upstream.use_retry": "0"}
	})
	b.get()
	b.ready().Respond(true, ":status", "503")
	b.wantReply("503 [-] via_upstream\nx-envoy-upstream-service-time: 0")
	b.wantStats("cluster.a.upstream_rq_retry=0")
}

func TestRetriesRestrictedToRequests(t *testing.T) {
	p := route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, RequestHeaders: []route.HeaderMatcher{hasHeader("x-safe")}}
	for _, safe := range []bool{true, false} {
		b := newBench(t, nil, retryPolicy(p))
		if safe {
			b.get("x-safe", "")
		} else {
			b.get("x-envoy-retry-on", "5xx")
		}
		b.ready().Respond(true, ":status", "503")
		if retried := !b.stream.Destroyed; retried != safe {
			t.Errorf("with the header %v: retried %v", safe, retried)
		}
	}
}

func TestMaxRetriesHeader(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.get("x-envoy-max-retries", "2")
	for range 3 {
		b.ready().Respond(true, ":status", "503")
		b.loop.Advance(time.Second)
	}
	if !b.stream.Destroyed || len(b.cluster.Attempts) != 3 {
		t.Errorf("%d attempts", len(b.cluster.Attempts))
	}
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		base, longest time.Duration
		want          []time.Duration // upper bounds
	}{
		{25, 250, []time.Duration{25, 50, 100, 200, 250, 250}},
		{25, 60, []time.Duration{25, 50, 60, 60}},
		{100, 100, []time.Duration{100, 100}},
	}
	for _, tt := range tests {
		for _, random := range []uint64{0, 1<<64 - 1, 12345} {
			r := retryState{interval: tt.base * time.Millisecond, maxInterval: tt.longest * time.Millisecond}
			for i, bound := range tt.want {
				want := time.Duration(random%uint64(bound)) * time.Millisecond
				if got := r.nextBackoff(random); got != want {
					t.Errorf("base %d, retry %d, random %d: %v, want %v", tt.base, i+1, random, got, want)
				}
			}
		}
	}
}

func TestBackoffOfTheRuntime(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		b.ctx.Runtime = filtertest.Runtime{"upstream.base_retry_backoff_ms": "1"}
	})
	b.get()
	b.ready().Respond(true, ":status", "503")
	b.loop.Advance(0) // a random time below one millisecond
	if len(b.cluster.Attempts) != 2 {
		t.Error("the retry waits for longer than the runtime says")
	}
}

// triedOrCanary turns down the hosts of earlier attempts, and canaries.
type triedOrCanary struct{}

func (triedOrCanary) Reject(h upstream.Host, tried []upstream.Host) bool {
	return h.Canary() || slices.Contains(tried, h)
}

// TestRetryHosts: predicates see the hosts of retries only.
func TestRetryHosts(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		retryPolicy(route.RetryPolicy{
			On: route.Retry5xx, NumRetries: 2, HostPredicates: []route.RetryHostPredicate{triedOrCanary{}}, HostAttempts: 5,
		})(b)
		canary := filtertest.NewHost("127.0.0.1:8002", "")
		canary.IsCanary = true
		first := b.cluster.Hosts[0]
		b.cluster.Hosts = []*filtertest.Host{first, first, canary, filtertest.NewHost("127.0.0.1:8003", "c")}
	})
	b.get()
	b.ready().Respond(true, ":status", "503")
	b.loop.Advance(time.Second)
	a := b.ready()
	if b.cluster.Attempts[0].Retry || a.Host != b.cluster.Hosts[3] {
		t.Errorf("the retry goes to %s", a.Host.Address())
	}
	if got := b.stream.Info.Upstream.Hostname; got != "c" {
		t.Errorf("host name %q", got)
	}
}

// TestRetryWithBody: what was received is sent again, and what follows too.
func TestRetryWithBody(t *testing.T) {
	p := retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})
	const headers = ":method: POST\n:path: /\n:authority: host\n:scheme: http\nx-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n"
	t.Run("complete", func(t *testing.T) {
		b := newBench(t, nil, p)
		b.post()
		b.stream.Body("one ", false)
		b.ready()
		b.stream.Body("two", true)
		b.last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		b.ready()
		want := strings.Replace(headers, "15000", "14987", 1) + "\none two\n"
		got := b.last().SentText()
		if normal(got) != normal(want) {
			t.Errorf("sent again:\n%s\nwant\n%s", got, want)
		}
		b.last().Respond(true, ":status", "200")
	})
	t.Run("in the middle", func(t *testing.T) {
		b := newBench(t, nil, p)
		b.post()
		b.stream.Body("one ", false)
		b.ready().Break(httpmsg.ResetConnectionTermination, "")
		b.stream.Body("two ", false)
		b.loop.Advance(time.Second)
		b.stream.Body("three ", false)
		b.ready()
		b.stream.Body("four", false)
		b.stream.Trailers("t", "1")
		if want := headers + "\none two three four\ntrailers:\nt: 1\n"; b.last().SentText() != want {
			t.Errorf("sent again:\n%s\nwant\n%s", b.last().SentText(), want)
		}
	})
	t.Run("trailers only", func(t *testing.T) {
		b := newBench(t, nil, p)
		b.post()
		b.stream.Trailers("t", "1")
		b.ready().Break(httpmsg.ResetConnectionTermination, "")
		b.loop.Advance(time.Second)
		if got := b.ready().SentText(); !strings.HasSuffix(got, "trailers:\nt: 1\n") {
			t.Errorf("sent again:\n%s", got)
		}
	})
	t.Run("too long", func(t *testing.T) {
		b := newBench(t, nil, p)
		b.post()
		b.ready()
		b.stream.Body(strings.Repeat("x", 60), false)
		b.stream.Body(strings.Repeat("y", 60), true)
		if b.last().Body.Len() != 120 {
			t.Errorf("%d bytes sent", b.last().Body.Len())
		}
		b.last().Respond(true, ":status", "500")
		b.wantReply("500 [-] via_upstream\nx-envoy-upstream-service-time: 0")
		b.wantStats("cluster.a.retry_or_shadow_abandoned=1", "cluster.a.upstream_rq_retry=0")
	})
	t.Run("too long while waiting", func(t *testing.T) {
		b := newBench(t, nil, p)
		b.post()
		b.stream.Body(strings.Repeat("x", 60), false)
		b.ready().Break(httpmsg.ResetConnectionTermination, "")
		b.stream.Body(strings.Repeat("y", 60), false)
		b.wantReply("507 [-] request_payload_exceeded_retry_buffer_limit\n\nexceeded request buffer limit while retrying upstream")
		b.wantStats("cluster.a.retry_or_shadow_abandoned=1")
	})
}

// normal hides the random back-off in the expected timeout.
func normal(s string) string {
	const name = "x-envoy-expected-rq-timeout-ms: "
	i := strings.Index(s, name) + len(name)
	return s[:i] + s[i+len("15000"):]
}

// TestExpectedTimeoutOfARetry: the time that is left, not that of the first attempt.
func TestExpectedTimeoutOfARetry(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, BaseInterval: time.Millisecond}))
	b.get()
	first := b.ready()
	b.loop.Advance(5 * time.Second)
	first.Respond(true, ":status", "500")
	b.loop.Advance(0)
	if got := b.ready().Headers.Get(httpmsg.XEnvoyExpectedRQTimeoutMs); got != "10000" {
		t.Errorf("%s ms", got)
	}
}

func TestRetryIsForgottenWithTheStream(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.get()
	b.ready().Respond(true, ":status", "500")
	b.stream.Leave()
	b.loop.Advance(time.Minute)
	if len(b.cluster.Attempts) != 1 {
		t.Error("the request is sent again for nobody")
	}
}

func TestRetryOnStrictly(t *testing.T) {
	for list, want := range map[string]bool{"5xx": true, "5xx,reset": true, "5xx,bogus": false, "cancelled": false} {
		if validControlHeader(httpmsg.XEnvoyRetryOn, list) != want {
			t.Errorf("x-envoy-retry-on %q: want %v", list, want)
		}
	}
	for list, want := range map[string]bool{"cancelled,internal": true, "5xx": false} {
		if validControlHeader(httpmsg.XEnvoyRetryGRPCOn, list) != want {
			t.Errorf("x-envoy-retry-grpc-on %q: want %v", list, want)
		}
	}
}
