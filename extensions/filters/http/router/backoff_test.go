package router

import (
	"strconv"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// TestRateLimitedBackOff: a response that says when to try again is believed, within
// the limit of the policy.
func TestRateLimitedBackOff(t *testing.T) {
	policy := route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, RateLimited: &route.RateLimitedBackOff{
		MaxInterval: 10 * time.Second,
		Headers:     []route.ResetHeader{{Name: "x-reset", UnixTime: true}, {Name: "retry-after"}},
	}}
	var now int64
	in := func(s int64) string { return strconv.FormatInt(now+s, 10) }
	now = newBench(t, nil, nil).loop.Now().Unix()
	for _, tc := range []struct {
		name     string
		fields   []string
		min, max time.Duration // 0 for the usual back-off
	}{
		{"none", nil, 0, 0},
		{"seconds", []string{"retry-after", "4"}, 4 * time.Second, 6 * time.Second},
		{"time", []string{"x-reset", in(2), "retry-after", "8"}, 2 * time.Second, 3 * time.Second},
		{"too long", []string{"x-reset", in(11), "retry-after", "8"}, 8 * time.Second, 12 * time.Second},
		{"past", []string{"x-reset", in(-1), "retry-after", "8"}, 8 * time.Second, 12 * time.Second},
		{"both too long", []string{"x-reset", in(11), "retry-after", "11"}, 0, 0},
		{"no number", []string{"retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"}, 0, 0},
		{"huge", []string{"x-reset", "9223372036854775807", "retry-after", "9223372036854775807"}, 0, 0},
		{"at once", []string{"retry-after", "0"}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil, retryPolicy(policy))
			b.get()
			b.ready().Respond(true, append([]string{":status", "503"}, tc.fields...)...)
			stat := "cluster.a.upstream_rq_retry_backoff_ratelimited=1"
			if tc.max == 0 {
				tc.max, stat = 25*time.Millisecond, "cluster.a.upstream_rq_retry_backoff_exponential=1"
			}
			b.loop.Advance(tc.min - time.Millisecond)
			if len(b.cluster.Attempts) != 1 && tc.min > 0 {
				t.Errorf("retried before %v", tc.min)
			}
			b.loop.Advance(tc.max - tc.min + time.Millisecond)
			if len(b.cluster.Attempts) != 2 {
				t.Errorf("not retried in %v", tc.max)
			}
			b.wantStats(stat)
		})
	}
}

// specifier is a route.ClusterSpecifier by the number of the attempt.
type specifier struct{}

func (specifier) SpecifyCluster(_ *route.Forward, _ *httpmsg.Headers, info *streaminfo.Stream, _ uint64) string {
	if info.AttemptCount > 1 {
		return "b"
	}
	return "a"
}

func TestRefreshedCluster(t *testing.T) {
	for _, refresh := range []bool{true, false} {
		var other *filtertest.Cluster
		b := newBench(t, nil, func(b *bench) {
			other = filtertest.NewCluster(b.loop, b.stats, "b", 3)
			b.ctx.Clusters.(filtertest.Clusters)["b"] = other
			b.route.Forward.Cluster, b.route.Forward.Specifier = "", specifier{}
			retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, RefreshCluster: refresh})(b)
		})
		b.get()
		b.ready().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		if got := len(other.Attempts) == 1; got != refresh {
			t.Errorf("another cluster %v, want %v", got, refresh)
		}
		if refresh && b.stream.Info.Upstream.ClusterRaw != "b" {
			t.Errorf("cluster %s", b.stream.Info.Upstream.ClusterRaw)
		}
		counted := "cluster.a.upstream_rq_retry=1"
		if refresh {
			counted = "cluster.b.upstream_rq_retry=1"
		}
		b.wantStats(counted)
		b.stream.Leave()
		other.Forget()
	}
}

// TestRetryPriority: the policy sees the hosts that were tried, and only for retries.
func TestRetryPriority(t *testing.T) {
	p := &lastPriority{}
	b := newBench(t, nil, retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, Priority: p}))
	b.get()
	if b.last().Retry {
		t.Error("the first attempt is a retry")
	}
	b.ready().Respond(true, ":status", "500")
	b.loop.Advance(time.Second)
	if !b.last().Retry {
		t.Fatal("the pick does not know of the retry")
	}
	f := b.filter.(*filter)
	if got := f.PriorityLoad([]uint32{100, 0}); got[1] != 100 || len(p.tried) != 1 {
		t.Errorf("load %v after %d hosts", got, len(p.tried))
	}
}

// lastPriority is a route.RetryPriority that moves all load to the last priority.
type lastPriority struct{ tried []upstream.Host }

func (p *lastPriority) PriorityLoad(load []uint32, tried []upstream.Host) []uint32 {
	p.tried = tried
	out := make([]uint32, len(load))
	out[len(out)-1] = 100
	return out
}

// TestIsTimeoutRetry: the header says why an attempt was made.
func TestIsTimeoutRetry(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Immediate = true
		b.route.VirtualHost.IncludeIsTimeoutRetry = true
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 2, PerTryTimeout: time.Second})(b)
	})
	b.get()
	if contains(b.last().SentText(), "x-envoy-is-timeout-retry") {
		t.Error("the first attempt says that it is a retry")
	}
	b.loop.Advance(1100 * time.Millisecond)
	if got := b.last().SentText(); !contains(got, "x-envoy-is-timeout-retry: true\n") {
		t.Error(got)
	}
	b.last().Respond(true, ":status", "500")
	b.loop.Advance(100 * time.Millisecond)
	if got := b.last().SentText(); len(b.cluster.Attempts) != 3 || !contains(got, "x-envoy-is-timeout-retry: false\n") {
		t.Error(got)
	}
}
