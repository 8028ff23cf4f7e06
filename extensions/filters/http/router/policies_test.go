package router

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// withPolicies gives cluster a policies.
func withPolicies(p route.Policies, more func(b *bench)) func(b *bench) {
	return func(b *bench) {
		b.cluster.Immediate = true
		b.cluster.Own = p
		if more != nil {
			more(b)
		}
	}
}

func TestClusterRetryPolicy(t *testing.T) {
	own := route.Policies{Retry: &route.RetryPolicy{On: route.Retry5xx, NumRetries: 1, PerTryTimeout: time.Second}}
	t.Run("instead of the route's", func(t *testing.T) {
		b := newBench(t, nil, withPolicies(own, retryPolicy(route.RetryPolicy{On: route.RetryConnectFailure, NumRetries: 5})))
		b.get()
		for range 2 {
			b.last().Respond(true, ":status", "500")
			b.loop.Advance(time.Second)
		}
		b.wantReply("500 [URX] via_upstream\nx-envoy-upstream-service-time: 1000")
		b.wantStats("cluster.a.upstream_rq_retry=1", "cluster.a.upstream_rq_retry_limit_exceeded=1")
	})
	t.Run("its time-outs do not count", func(t *testing.T) {
		b := newBench(t, nil, withPolicies(own, nil))
		b.get()
		b.loop.Advance(2 * time.Second)
		b.wantStats("cluster.a.upstream_rq_per_try_timeout=0")
		b.last().Respond(true, ":status", "200")
	})
	t.Run("those of the route do", func(t *testing.T) {
		b := newBench(t, nil, withPolicies(own, retryPolicy(route.RetryPolicy{PerTryTimeout: 2 * time.Second})))
		b.get()
		b.loop.Advance(2 * time.Second)
		b.loop.Advance(time.Second)
		b.wantStats("cluster.a.upstream_rq_per_try_timeout=1", "cluster.a.upstream_rq_retry=1")
		b.last().Respond(true, ":status", "200")
	})
}

// fixedHash is a route.HashPolicy.
type fixedHash uint64

func (n fixedHash) HashRequest(*httpmsg.Headers, *streaminfo.Stream, func(route.Cookie)) (uint64, bool) {
	return uint64(n), true
}

func TestClusterHashPolicy(t *testing.T) {
	for _, tc := range []struct {
		own  route.HashPolicy
		want uint64
	}{{fixedHash(1), 1}, {nil, 2}} {
		b := newBench(t, nil, withPolicies(route.Policies{Hash: tc.own}, func(b *bench) {
			b.cluster.Info().PicksByHash = true
			b.route.Forward.Hash = fixedHash(2)
		}))
		b.get()
		if got := b.filter.(*filter).pick.Hash; got != tc.want {
			t.Errorf("the hash is %d, want %d", got, tc.want)
		}
		b.last().Respond(true, ":status", "200")
	}
}

func TestClusterMirrors(t *testing.T) {
	own := route.Policies{Mirrors: []route.Mirror{{Cluster: "s"}}}
	t.Run("instead of the route's", func(t *testing.T) {
		b, shadows := mirrored(t, func(b *bench, m *route.Mirror) {
			m.Cluster = "a"
			withPolicies(own, nil)(b)
		})
		b.get()
		if len(shadows.Attempts) != 1 || len(b.cluster.Attempts) != 1 {
			t.Errorf("%d copies, %d requests", len(shadows.Attempts), len(b.cluster.Attempts))
		}
		shadows.Last().Respond(true, ":status", "200")
		b.last().Respond(true, ":status", "200")
	})
	t.Run("copies are copied, but not round and round", func(t *testing.T) {
		b, shadows := mirrored(t, func(b *bench, _ *route.Mirror) {
			withPolicies(own, nil)(b)
			back := []route.Mirror{{Cluster: "a"}}
			b.ctx.Clusters.(filtertest.Clusters)["s"].Own = route.Policies{Mirrors: back}
		})
		b.get()
		if len(shadows.Attempts) != 1 || len(b.cluster.Attempts) != 2 {
			t.Errorf("%d and %d requests", len(shadows.Attempts), len(b.cluster.Attempts))
		}
		for _, a := range append(shadows.Attempts, b.cluster.Attempts...) {
			a.Respond(true, ":status", "200")
		}
	})
	t.Run("copies are retried", func(t *testing.T) {
		b, shadows := mirrored(t, func(b *bench, _ *route.Mirror) {
			retry := route.Policies{Retry: &route.RetryPolicy{On: route.Retry5xx, NumRetries: 1}}
			b.ctx.Clusters.(filtertest.Clusters)["s"].Own = retry
		})
		b.post()
		b.stream.Body("one ", false)
		b.stream.Body("two", true)
		b.last().Respond(true, ":status", "200")
		shadows.Last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		if got := shadows.Last().Body.String(); len(shadows.Attempts) != 2 || got != "one two" {
			t.Errorf("%d copies, the last with the body %q", len(shadows.Attempts), got)
		}
		shadows.Last().Respond(true, ":status", "200")
	})
}
