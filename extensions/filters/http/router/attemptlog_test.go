package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// failed is what the stream info says of failed attempts, a line each; times are
// those since the first one began.
func (b *bench) failed() string {
	var out strings.Builder
	for _, a := range b.stream.Info.Failed {
		start := b.stream.Info.Failed[0].Start
		fmt.Fprintf(&out, "%v-%v %s %v", a.Start.Sub(start), a.End.Sub(start), a.Cluster, a.Host)
		if a.ConnectionID != 0 {
			fmt.Fprintf(&out, " connection %d", a.ConnectionID)
		}
		fmt.Fprintf(&out, ": %s", a.Outcome)
		if a.Status != 0 {
			fmt.Fprintf(&out, " %d", a.Status)
		}
		if a.TransportFailure != "" {
			fmt.Fprintf(&out, " (%s)", a.TransportFailure)
		}
		fmt.Fprintf(&out, "; %s\n", a.Next)
	}
	return out.String()
}

// TestFailedAttempts shows what is remembered of attempts that brought no response.
func TestFailedAttempts(t *testing.T) {
	policy := route.RetryPolicy{
		On: route.RetryConnectFailure | route.RetryGatewayError, NumRetries: 1, PerTryTimeout: time.Second,
		BaseInterval: time.Millisecond, MaxInterval: time.Millisecond,
	}
	none := func(*bench) {}
	for _, tc := range []struct {
		name   string
		change func(b *bench)
		do     func(b *bench)
		want   string
	}{
		{"a response at once", none, func(b *bench) { b.ready().Respond(true, ":status", "503") }, ""},
		{"no healthy host", func(b *bench) { b.cluster.Hosts = nil }, none,
			"0s-0s a : no healthy host; a retry would find none either\n"},
		{"circuit breaker", none, func(b *bench) { b.last().Overflow("max_pending_requests") },
			"0s-0s a : circuit breaker max_pending_requests of priority default is open; no retry is configured for it\n"},
		{"refused", retryPolicy(policy), func(b *bench) {
			b.last().Fail(upstream.RemoteConnectionFailure, "delayed connect error: Connection refused")
			b.loop.Advance(time.Millisecond)
			b.ready().Respond(true, ":status", "200")
		}, "0s-0s a 127.0.0.1:8001: remote connection failure (delayed connect error: Connection refused); retried after 0s\n"},
		{"connect timeout, and no retries left", retryPolicy(policy), func(b *bench) {
			for range 2 {
				b.loop.Advance(250 * time.Millisecond)
				b.last().Fail(upstream.ConnectTimeout, "")
			}
		}, `0s-250ms a 127.0.0.1:8001: connection timeout; retried after 0s
250ms-500ms a 127.0.0.1:8001: connection timeout; no retries left
`},
		{"a response that is retried", retryPolicy(policy), func(b *bench) {
			b.ready().Respond(true, ":status", "503")
			b.loop.Advance(time.Millisecond)
			b.ready().Respond(true, ":status", "503")
		}, "0s-0s a 127.0.0.1:8001 connection 1: response 503; retried after 0s\n"},
		{"reset that retry_on does not cover", retryPolicy(route.RetryPolicy{On: route.RetryConnectFailure, NumRetries: 1}), func(b *bench) {
			b.ready().Break(httpmsg.ResetConnectionTermination, "")
		}, "0s-0s a 127.0.0.1:8001 connection 1: connection termination; retry_on does not cover it\n"},
		{"reset of a response", retryPolicy(policy), func(b *bench) {
			b.ready().Respond(false, ":status", "200")
			b.loop.Advance(time.Millisecond)
			b.last().Break(httpmsg.ResetConnectionTermination, "")
		}, "0s-1ms a 127.0.0.1:8001 connection 1: connection termination; the response has begun\n"},
		{"per try timeout", retryPolicy(policy), func(b *bench) {
			b.ready()
			b.loop.Advance(time.Second)
			b.ready()
			b.loop.Advance(time.Second)
		}, `0s-1s a 127.0.0.1:8001 connection 1: no response within per_try_timeout of 1s; retried after 0s
1s-2s a 127.0.0.1:8001 connection 2: no response within per_try_timeout of 1s; no retries left
`},
		{"timeout", none, func(b *bench) {
			b.ready()
			b.loop.Advance(15 * time.Second)
		}, "0s-15s a 127.0.0.1:8001 connection 1: no whole response within the timeout of 15s; the time of the request is over\n"},
		{"retries are not allowed", func(b *bench) {
			retryPolicy(policy)(b)
			b.cluster = filtertest.NewCluster(b.loop, b.stats, "a", 0)
			b.ctx.Clusters = filtertest.Clusters{"a": b.cluster}
		}, func(b *bench) { b.last().Fail(upstream.RemoteConnectionFailure, "") },
			"0s-0s a 127.0.0.1:8001: remote connection failure; retry circuit breaker is open\n"},
		{"the retry budget is used up", func(b *bench) {
			retryPolicy(policy)(b)
			b.cluster.Resources(0).RetryBudget.Store(&upstream.RetryBudget{})
		}, func(b *bench) { b.last().Fail(upstream.RemoteConnectionFailure, "") },
			"0s-0s a 127.0.0.1:8001: remote connection failure; retry budget is used up\n"},
		{"the runtime turns retries off", func(b *bench) {
			retryPolicy(policy)(b)
			b.ctx.Runtime = filtertest.Runtime{"upstream.use_retry": "0"}
		}, func(b *bench) { b.last().Fail(upstream.RemoteConnectionFailure, "") },
			"0s-0s a 127.0.0.1:8001: remote connection failure; runtime upstream.use_retry is off\n"},
		{"the request cannot be sent", none, func(b *bench) {
			b.last().RefuseHeaders = "no path"
			b.last().Ready()
		}, "0s-0s a 127.0.0.1:8001 connection 1: the request cannot be sent: no path; no host could get it\n"},
		{"the client leaves", none, func(b *bench) {
			b.ready()
			b.loop.Advance(time.Millisecond)
			b.stream.Leave()
		}, "0s-1ms a 127.0.0.1:8001 connection 1: the request ended first; \n"},
		{"the client leaves amid a response", none, func(b *bench) {
			b.ready().Respond(false, ":status", "200")
			b.stream.Leave()
		}, ""},
		{"hedging", hedging(2), func(b *bench) {
			b.late(2)
			b.loop.Advance(time.Millisecond)
			b.last().Respond(true, ":status", "200")
		}, "0s-1.001s a 127.0.0.1:8001 connection 1: another attempt answered first; \n"},
		{"hedging, and the late attempt fails", hedging(2), func(b *bench) {
			b.late(2)
			b.cluster.Attempts[0].Break(httpmsg.ResetRemoteReset, "")
			b.last().Respond(true, ":status", "200")
		}, "0s-1s a 127.0.0.1:8001 connection 1: remote reset; another attempt had taken its place\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil, tc.change)
			b.get()
			tc.do(b)
			if !b.stream.Destroyed {
				t.Error("the request is not over")
			}
			if got := b.failed(); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}
}

// TestFailedAttemptOfLongBody: a body that cannot be sent again.
func TestFailedAttemptOfLongBody(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}))
	b.post()
	b.ready()
	b.stream.Body(strings.Repeat("x", b.stream.DecodeLimit+1), true)
	b.last().Break(httpmsg.ResetConnectionTermination, "")
	const want = "0s-0s a 127.0.0.1:8001 connection 1: connection termination; the body is too large to be sent again\n"
	if got := b.failed(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestFailedAttemptsAreBounded: of many the last one is remembered.
func TestFailedAttemptsAreBounded(t *testing.T) {
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 100, BaseInterval: time.Millisecond, MaxInterval: time.Millisecond}))
	b.get()
	for range 101 {
		b.ready().Break(httpmsg.ResetConnectionTermination, "")
		b.loop.Advance(time.Millisecond)
	}
	failed := b.stream.Info.Failed
	if len(failed) != maxFailed || failed[maxFailed-1].Next != "no retries left" || failed[maxFailed-1].ConnectionID != 101 {
		t.Errorf("%d, the last is %+v", len(failed), failed[len(failed)-1])
	}
}

// TestFailedAttemptsAreNotReused: who keeps them may do so.
func TestFailedAttemptsAreNotReused(t *testing.T) {
	b := newBench(t, nil, nil)
	kept := make([][]streaminfo.Attempt, 2)
	for i := range kept {
		b.get()
		b.last().Fail(upstream.RemoteConnectionFailure, fmt.Sprint("reason ", i))
		kept[i] = b.stream.Info.Failed
		b.stream.Recycle()
		b.cluster.Forget()
	}
	b.get() // for the checks at the end
	for i, failed := range kept {
		if len(failed) != 1 || failed[0].TransportFailure != fmt.Sprint("reason ", i) {
			t.Errorf("request %d: %+v", i, failed)
		}
	}
}
