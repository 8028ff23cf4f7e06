package router

import (
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// routerStats are the statistics of the router itself, http.<stat_prefix>.*.
type routerStats struct {
	noCluster, noRoute, rqDirectResponse, rqResetAfterResponseStarted, rqTotal *stats.Counter
}

func newStats(scope stats.Scope) *routerStats {
	// Nothing counts these yet, in Envoy neither unless internal redirects are
	// configured, but who reads the statistics expects to find them.
	for _, name := range [...]string{
		"passthrough_internal_redirect_bad_location", "passthrough_internal_redirect_no_route",
		"passthrough_internal_redirect_predicate", "passthrough_internal_redirect_too_many_redirects",
		"passthrough_internal_redirect_unsafe_scheme", "rq_overload_local_reply", "rq_redirect",
	} {
		scope.Counter(name)
	}
	return &routerStats{
		noCluster:                   scope.Counter("no_cluster"),
		noRoute:                     scope.Counter("no_route"),
		rqDirectResponse:            scope.Counter("rq_direct_response"), // redirects included
		rqResetAfterResponseStarted: scope.Counter("rq_reset_after_downstream_response_started"),
		rqTotal:                     scope.Counter("rq_total"),
	}
}

// countsResponses reports whether the cluster's statistics by response code and
// time are kept for this request.
func (f *filter) countsResponses() bool { return f.cfg.dynamicStats && !f.info.HealthCheck }

// basicStatus is the status for the statistics that gRPC requests may be kept out
// of: 0 counts as completed only.
func (f *filter) basicStatus(status int) int {
	if f.grpc && f.cfg.suppressGRPCCodes {
		return 0
	}
	return status
}

// originResponses are the statistics for requests from inside or outside.
func (f *filter) originResponses() *upstream.Responses {
	if f.internal {
		return &f.cluster.Stats().InternalResponses
	}
	return &f.cluster.Stats().ExternalResponses
}

// countResponse counts the status of a response, or one that stands for a failure,
// in the statistics of the cluster.
func (f *filter) countResponse(status int, canary bool) {
	if !f.countsResponses() {
		return
	}
	s := f.cluster.Stats()
	s.Responses.Record(f.shard, f.basicStatus(status))
	if canary {
		s.CanaryResponses.Record(f.shard, status)
	}
	f.originResponses().Record(f.shard, status)
}

// countTime records how long the response took since the request was complete.
func (f *filter) countTime(canary bool) {
	if !f.countsResponses() || !f.complete {
		return
	}
	ms := uint64(f.sinceComplete().Milliseconds())
	s := f.cluster.Stats()
	s.Responses.RecordTime(f.shard, ms)
	if canary {
		s.CanaryResponses.RecordTime(f.shard, ms)
	}
	f.originResponses().RecordTime(f.shard, ms)
}

// countAbort counts a failure of the current attempt that the client is told of.
func (f *filter) countAbort(status int) {
	u := &f.attempt
	if !f.responseStarted {
		f.countResponse(status, u.host != nil && u.host.Canary())
		u.recordOutcome(status)
		return
	}
	if u.outcomeOpen {
		f.cfg.stats.rqResetAfterResponseStarted.Inc(f.shard)
		u.recordOutcome(status)
	}
}
