package router

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// requestStats makes the statistics of a virtual cluster or a route.
func (b *bench) requestStats(name string) *route.RequestStats {
	scope := b.stats.Scope(name + ".")
	s := &route.RequestStats{
		Name: name, Total: scope.Counter("upstream_rq_total"), Timeout: scope.Counter("upstream_rq_timeout"),
		Retry: scope.Counter("upstream_rq_retry"), RetryLimitExceeded: scope.Counter("upstream_rq_retry_limit_exceeded"),
		RetryOverflow: scope.Counter("upstream_rq_retry_overflow"), RetrySuccess: scope.Counter("upstream_rq_retry_success"),
	}
	s.Responses.Init(scope)
	return s
}

// TestRequestStats: virtual clusters and routes count what their requests do.
func TestRequestStats(t *testing.T) {
	start := func(t *testing.T) *bench {
		return newBench(t, nil, func(b *bench) {
			b.cluster.Immediate = true
			vc := b.requestStats("vc")
			b.route.Stats = b.requestStats("route")
			b.route.VirtualHost.VirtualCluster = func(h *httpmsg.Headers) *route.RequestStats {
				if h.Has(httpmsg.XEnvoyOriginalPath) {
					t.Error("the request was rewritten before")
				}
				return vc
			}
			retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		})
	}
	t.Run("retried", func(t *testing.T) {
		b := start(t)
		b.get()
		b.last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		b.last().Respond(true, ":status", "204")
		for _, name := range []string{"vc.", "route."} {
			b.wantStats(name+"upstream_rq_total=2", name+"upstream_rq_retry=1", name+"upstream_rq_retry_success=1",
				name+"upstream_rq_204=1", name+"upstream_rq_2xx=1", name+"upstream_rq_completed=1")
		}
		if b.stream.Info.VirtualClusterName != "vc" {
			t.Errorf("virtual cluster %q", b.stream.Info.VirtualClusterName)
		}
		if len(b.stats.Recorded("vc.upstream_rq_time")) != 1 || len(b.stats.Recorded("route.upstream_rq_time")) != 1 {
			t.Error("not one time each")
		}
	})
	t.Run("no more retries", func(t *testing.T) {
		b := start(t)
		b.get()
		b.last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		b.last().Respond(true, ":status", "500")
		b.wantStats("vc.upstream_rq_retry_limit_exceeded=1", "route.upstream_rq_retry_limit_exceeded=1", "vc.upstream_rq_500=1")
	})
	t.Run("no place for a retry", func(t *testing.T) {
		b := start(t)
		limit := &b.cluster.Resources(0).Retries
		for range 3 {
			limit.Acquire()
		}
		b.get()
		b.last().Respond(true, ":status", "500")
		b.wantStats("vc.upstream_rq_retry_overflow=1", "route.upstream_rq_retry_overflow=1")
		for range 3 {
			limit.Release()
		}
	})
	t.Run("timeout", func(t *testing.T) {
		b := start(t)
		b.get()
		b.loop.Advance(15 * time.Second)
		b.wantStats("vc.upstream_rq_timeout=1", "route.upstream_rq_timeout=1", "vc.upstream_rq_504=1")
	})
}

// TestNamedStats: zones, and the name that a request asks for. Recorded from Envoy
// 1.40.
func TestNamedStats(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Immediate = true
		b.ctx.Server.(*filtertest.Server).Zone = "za"
		b.cluster.Hosts[0].Where.Zone = "zb"
	})
	b.get("x-envoy-internal", "true", "x-envoy-upstream-alt-stat-name", "alt")
	if contains(b.last().SentText(), "alt") {
		t.Error("the upstream sees the name")
	}
	b.last().Respond(true, ":status", "200", "x-envoy-upstream-canary", "true")
	for _, prefix := range []string{"", "alt."} {
		for _, part := range []string{"", "internal.", "canary.", "zone.za.zb."} {
			b.wantStats("cluster.a."+prefix+part+"upstream_rq_200=1", "cluster.a."+prefix+part+"upstream_rq_2xx=1",
				"cluster.a."+prefix+part+"upstream_rq_completed=1")
		}
	}
	b.wantStats("cluster.a.external.upstream_rq_200=0")
}
