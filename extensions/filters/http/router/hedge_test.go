package router

import (
	"fmt"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// hedging makes the route hedge, with a time per try of a second.
func hedging(retries int) func(b *bench) {
	return func(b *bench) {
		b.cluster.Immediate = true
		b.route.Forward.HedgeOnPerTryTimeout = true
		b.route.Forward.Retry = &route.RetryPolicy{
			On: route.Retry5xx, NumRetries: retries, PerTryTimeout: time.Second, BaseInterval: time.Millisecond, MaxInterval: time.Millisecond,
		}
	}
}

// late lets the last attempt be late, and another one begin.
func (b *bench) late(attempts int) {
	b.t.Helper()
	b.loop.Advance(time.Second)
	if got := len(b.cluster.Attempts); got != attempts {
		b.t.Fatalf("%d attempts, want %d", got, attempts)
	}
}

func TestHedging(t *testing.T) {
	t.Run("the later attempt wins", func(t *testing.T) {
		b := newBench(t, nil, hedging(2))
		b.get()
		b.late(2)
		first, second := b.cluster.Attempts[0], b.last()
		if first.WasReset || !first.Open() {
			t.Error("the late attempt is not left running")
		}
		b.loop.Advance(time.Millisecond)
		second.Respond(true, ":status", "200", "x-attempt", "2")
		b.wantReply("200 [-] via_upstream\nx-attempt: 2\nx-envoy-upstream-service-time: 1001")
		if !first.WasReset {
			t.Error("the late attempt goes on")
		}
		b.wantStats("cluster.a.upstream_rq_retry=1", "cluster.a.upstream_rq_retry_success=1", "cluster.a.upstream_rq_per_try_timeout=0",
			"cluster.a.upstream_rq_completed=1", "cluster.a.upstream_rq_200=1")
		if sent := second.SentText(); !contains(sent, "x-envoy-expected-rq-timeout-ms: 14000\n") {
			t.Errorf("sent\n%s", sent)
		}
	})
	t.Run("the late attempt wins", func(t *testing.T) {
		b := newBench(t, nil, hedging(2))
		b.cluster.Hosts = append(b.cluster.Hosts, filtertest.NewHost("127.0.0.1:8002", ""))
		b.get()
		b.late(2)
		b.cluster.Attempts[0].Respond(false, ":status", "200")
		b.cluster.Attempts[0].Send("body", true)
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 1000\n\nbody")
		if !b.cluster.Attempts[1].WasReset {
			t.Error("the other attempt goes on")
		}
		if got := b.stream.Info.Upstream; got.Host.String() != "127.0.0.1:8001" || got.HostsAttempted[0] != got.Host || got.ConnectionID != 1 {
			t.Errorf("the access log shows %v, connection %d", got.Host, got.ConnectionID)
		}
		if b.stream.Info.AttemptCount != 2 {
			t.Errorf("%d attempts", b.stream.Info.AttemptCount)
		}
	})
	t.Run("a bad answer waits for a better one", func(t *testing.T) {
		b := newBench(t, nil, hedging(2))
		b.get()
		b.late(2)
		b.cluster.Attempts[1].Respond(true, ":status", "500") // retried
		b.late(3)
		b.cluster.Attempts[2].Respond(true, ":status", "500") // no more retries
		b.wantReply("")
		b.cluster.Attempts[0].Respond(true, ":status", "200")
		b.wantReply("200 [URX] via_upstream\nx-envoy-upstream-service-time: 2000")
		b.wantStats("cluster.a.retry.upstream_rq_500=1", "cluster.a.upstream_rq_retry_limit_exceeded=2", "cluster.a.upstream_rq_completed=1")
		if got := fmt.Sprint(b.cluster.Hosts[0].Responses); got != "[500 500 200]" {
			t.Errorf("outcomes %s", got)
		}
	})
	t.Run("the last bad answer goes to the client", func(t *testing.T) {
		b := newBench(t, nil, hedging(1))
		b.get()
		b.late(2)
		b.cluster.Attempts[0].Respond(true, ":status", "503")
		b.wantReply("")
		b.cluster.Attempts[1].Respond(true, ":status", "502")
		b.wantReply("502 [URX] via_upstream\nx-envoy-upstream-service-time: 1000")
	})
	t.Run("one breaks, the other answers", func(t *testing.T) {
		b := newBench(t, nil, hedging(1))
		b.get()
		b.late(2)
		b.cluster.Attempts[0].Break(httpmsg.ResetRemoteReset, "")
		b.wantReply("")
		b.cluster.Attempts[1].Respond(true, ":status", "200")
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 1000")
		b.wantStats("cluster.a.upstream_rq_503=1", "cluster.a.upstream_rq_200=1", "cluster.a.upstream_rq_completed=2")
	})
	t.Run("both break", func(t *testing.T) {
		b := newBench(t, nil, hedging(1))
		b.get()
		b.late(2)
		b.cluster.Attempts[1].Break(httpmsg.ResetRemoteReset, "")
		b.cluster.Attempts[0].Break(httpmsg.ResetConnectionTermination, "")
		b.wantReply(`503 [URX,UC] upstream_reset_before_response_started{connection_termination}

upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection termination`)
		b.wantStats("cluster.a.upstream_rq_503=2")
	})
	t.Run("it breaks during the back-off", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) {
			hedging(1)(b)
			b.route.Forward.Retry.BaseInterval, b.route.Forward.Retry.MaxInterval = time.Hour, time.Hour
			b.route.Forward.Timeout = 0
		})
		b.get()
		b.late(1)
		b.cluster.Attempts[0].Break(httpmsg.ResetRemoteReset, "")
		b.wantReply("")
		b.loop.Advance(time.Hour)
		if len(b.cluster.Attempts) != 2 {
			t.Fatal("no other attempt")
		}
		b.last().Respond(true, ":status", "200")
		b.wantStats("cluster.a.upstream_rq_200=1", "cluster.a.upstream_rq_503=1")
	})
	t.Run("it answers during the back-off", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) {
			hedging(1)(b)
			b.route.Forward.Retry.BaseInterval, b.route.Forward.Retry.MaxInterval = time.Hour, time.Hour
		})
		b.get()
		b.late(1)
		b.cluster.Attempts[0].Respond(true, ":status", "200")
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 1000")
		b.loop.Advance(time.Hour)
		if len(b.cluster.Attempts) != 1 {
			t.Error("another attempt after the answer")
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		b := newBench(t, nil, hedging(2))
		b.get()
		b.late(2)
		b.late(3)
		b.loop.Advance(15 * time.Second)
		b.wantReply("504 [URX,UT] response_timeout\n\nupstream request timeout")
		b.wantStats("cluster.a.upstream_rq_timeout=3", "cluster.a.upstream_rq_504=3", "cluster.a.upstream_rq_completed=3",
			"cluster.a.upstream_rq_per_try_timeout=0")
	})
	t.Run("no place for a retry", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) {
			hedging(2)(b)
			for range 3 {
				b.cluster.Resources(upstream.Default).Retries.Acquire()
			}
		})
		b.get()
		b.late(1)
		b.last().Respond(true, ":status", "200")
		b.wantReply("200 [UO] via_upstream\nx-envoy-upstream-service-time: 1000")
		for range 3 {
			b.cluster.Resources(upstream.Default).Retries.Release()
		}
	})
	t.Run("the client leaves", func(t *testing.T) {
		b := newBench(t, nil, hedging(2))
		b.get()
		b.late(2)
		b.stream.Leave()
		for i, a := range b.cluster.Attempts {
			if !a.WasReset {
				t.Errorf("attempt %d goes on", i)
			}
		}
	})
	t.Run("by header", func(t *testing.T) {
		for value, hedged := range map[string]bool{"true": true, "false": false, "x": true} {
			b := newBench(t, nil, hedging(1))
			b.get("x-envoy-hedge-on-per-try-timeout", value)
			b.late(2)
			if b.cluster.Attempts[0].WasReset == hedged {
				t.Errorf("%s: hedged %v", value, !hedged)
			}
			if contains(b.last().SentText(), "hedge") {
				t.Error("the upstream sees the header")
			}
		}
	})
	t.Run("back-pressure moves to the winner", func(t *testing.T) {
		b := newBench(t, nil, hedging(1))
		b.get()
		b.late(2)
		b.stream.High()
		b.cluster.Attempts[1].High()
		b.cluster.Attempts[0].Respond(false, ":status", "200")
		if b.stream.Paused != 0 || b.cluster.Attempts[0].Disabled != 1 {
			t.Errorf("request paused %d times, response %d times", b.stream.Paused, b.cluster.Attempts[0].Disabled)
		}
		b.stream.Low()
		b.cluster.Attempts[0].Send("x", true)
	})
}

// TestHedgedLogs: each attempt has its own entry, those that were late with their flag.
func TestHedgedLogs(t *testing.T) {
	var lines []string
	b := newBench(t, &routerv3.Router{UpstreamLog: []*accesslogv3.AccessLog{anyLog()}}, func(b *bench) {
		hedging(1)(b)
		b.cluster.Hosts = append(b.cluster.Hosts, filtertest.NewHost("127.0.0.1:8002", ""))
		b.ctx.AccessLogs = filtertest.Loggers{logFunc(func(e *format.Entry) {
			s := e.Stream
			lines = append(lines, fmt.Sprintf("%s %d %s %s", e.Type, s.ResponseCode, s.Flags.Append(nil), s.Upstream.Host))
		})}
	})
	b.get()
	b.late(2)
	b.last().Respond(true, ":status", "200")
	if got, want := fmt.Sprint(lines), "[UpstreamEnd 0 UT 127.0.0.1:8001 UpstreamEnd 200 - 127.0.0.1:8002]"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
