package cluster

import (
	"sync"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// members are the statistics of a cluster that its owner writes, on the main
// goroutine.
type members struct {
	change, updateAttempt, updateSuccess, updateFailure, updateNoRebuild, matched *stats.Counter
	total, healthy, degraded, excluded, warming, maxHostWeight                    *stats.Gauge
	panics                                                                        *stats.Counter
}

func newMembers(s stats.Scope) members {
	return members{
		change: s.Counter("membership_change"), updateAttempt: s.Counter("update_attempt"),
		updateSuccess: s.Counter("update_success"), updateFailure: s.Counter("update_failure"),
		updateNoRebuild: s.Counter("update_no_rebuild"), matched: s.Counter("default.total_match_count"),
		total: s.Gauge("membership_total"), healthy: s.Gauge("membership_healthy"),
		degraded: s.Gauge("membership_degraded"), excluded: s.Gauge("membership_excluded"),
		warming: s.Gauge("warming_state"), maxHostWeight: s.Gauge("max_host_weight"),
		panics: s.Counter("lb_healthy_panic"),
	}
}

// unused returns the statistics that Envoy shows for every cluster and that stay at
// zero here, because they belong to what is not built or configured.
func unused() (counters, gauges []string) {
	return []string{
		"assignment_stale", "assignment_timeout_received", "assignment_use_cached", "original_dst_host_invalid",
		"update_empty", "lb_local_cluster_not_ok", "lb_recalculate_zone_structures", "lb_subsets_created",
		"lb_subsets_fallback", "lb_subsets_fallback_panic", "lb_subsets_removed", "lb_subsets_selected",
		"lb_zone_cluster_too_small", "lb_zone_no_capacity_left", "lb_zone_routing_all_directly",
		"lb_zone_routing_cross_zone", "lb_zone_routing_sampled", "upstream_cx_connect_with_0_rtt",
		"upstream_cx_http3_total",
		"upstream_http3_broken",
		"upstream_rq_0rtt", "upstream_rq_rx_reset_no_error",
	}, []string{"lb_subsets_active", "upstream_queue_overloaded", "version"}
}

// newStats makes cluster.<name>.* in a scope with that prefix; sub returns the scopes
// below it.
func newStats(s stats.Scope, sub func(prefix string) stats.Scope) *upstream.Stats {
	st := &upstream.Stats{}
	for name, c := range map[string]**stats.Counter{
		"upstream_cx_total":                           &st.UpstreamCxTotal,
		"upstream_cx_http1_total":                     &st.UpstreamCxHTTP1Total,
		"upstream_cx_http2_total":                     &st.UpstreamCxHTTP2Total,
		"upstream_cx_connect_fail":                    &st.UpstreamCxConnectFail,
		"upstream_cx_connect_timeout":                 &st.UpstreamCxConnectTimeout,
		"upstream_cx_connect_attempts_exceeded":       &st.UpstreamCxConnectAttemptsExceeded,
		"upstream_cx_overflow":                        &st.UpstreamCxOverflow,
		"upstream_cx_pool_overflow":                   &st.UpstreamCxPoolOverflow,
		"upstream_cx_idle_timeout":                    &st.UpstreamCxIdleTimeout,
		"upstream_cx_max_duration_reached":            &st.UpstreamCxMaxDurationReached,
		"upstream_cx_max_requests":                    &st.UpstreamCxMaxRequests,
		"upstream_cx_none_healthy":                    &st.UpstreamCxNoneHealthy,
		"upstream_cx_protocol_error":                  &st.UpstreamCxProtocolError,
		"upstream_cx_destroy":                         &st.UpstreamCxDestroy,
		"upstream_cx_destroy_local":                   &st.UpstreamCxDestroyLocal,
		"upstream_cx_destroy_remote":                  &st.UpstreamCxDestroyRemote,
		"upstream_cx_destroy_with_active_rq":          &st.UpstreamCxDestroyWithActiveRq,
		"upstream_cx_destroy_local_with_active_rq":    &st.UpstreamCxDestroyLocalWithActiveRq,
		"upstream_cx_destroy_remote_with_active_rq":   &st.UpstreamCxDestroyRemoteWithActiveRq,
		"upstream_cx_close_notify":                    &st.UpstreamCxCloseNotify,
		"upstream_cx_rx_bytes_total":                  &st.UpstreamCxRxBytesTotal,
		"upstream_cx_tx_bytes_total":                  &st.UpstreamCxTxBytesTotal,
		"upstream_flow_control_backed_up_total":       &st.UpstreamFlowControlBackedUpTotal,
		"upstream_flow_control_drained_total":         &st.UpstreamFlowControlDrainedTotal,
		"upstream_flow_control_paused_reading_total":  &st.UpstreamFlowControlPausedReadingTotal,
		"upstream_flow_control_resumed_reading_total": &st.UpstreamFlowControlResumedReadingTotal,
		"upstream_rq_total":                           &st.UpstreamRqTotal,
		"upstream_rq_active_overflow":                 &st.UpstreamRqActiveOverflow,
		"upstream_rq_cancelled":                       &st.UpstreamRqCancelled,
		"upstream_rq_maintenance_mode":                &st.UpstreamRqMaintenanceMode,
		"upstream_rq_max_duration_reached":            &st.UpstreamRqMaxDurationReached,
		"upstream_rq_pending_failure_eject":           &st.UpstreamRqPendingFailureEject,
		"upstream_rq_pending_overflow":                &st.UpstreamRqPendingOverflow,
		"upstream_rq_pending_total":                   &st.UpstreamRqPendingTotal,
		"upstream_rq_per_try_idle_timeout":            &st.UpstreamRqPerTryIdleTimeout,
		"upstream_rq_per_try_timeout":                 &st.UpstreamRqPerTryTimeout,
		"upstream_rq_retry":                           &st.UpstreamRqRetry,
		"upstream_rq_retry_backoff_exponential":       &st.UpstreamRqRetryBackoffExponential,
		"upstream_rq_retry_backoff_ratelimited":       &st.UpstreamRqRetryBackoffRatelimited,
		"upstream_rq_retry_limit_exceeded":            &st.UpstreamRqRetryLimitExceeded,
		"upstream_rq_retry_overflow":                  &st.UpstreamRqRetryOverflow,
		"upstream_rq_retry_success":                   &st.UpstreamRqRetrySuccess,
		"upstream_internal_redirect_succeeded_total":  &st.UpstreamInternalRedirectSucceededTotal,
		"upstream_internal_redirect_failed_total":     &st.UpstreamInternalRedirectFailedTotal,
		"upstream_rq_rx_reset":                        &st.UpstreamRqRxReset,
		"upstream_rq_timeout":                         &st.UpstreamRqTimeout,
		"upstream_rq_tx_reset":                        &st.UpstreamRqTxReset,
		"retry_or_shadow_abandoned":                   &st.RetryOrShadowAbandoned,
		"bind_errors":                                 &st.BindErrors,
	} {
		*c = s.Counter(name)
	}
	for name, g := range map[string]**stats.Gauge{
		"upstream_cx_active":            &st.UpstreamCxActive,
		"upstream_cx_rx_bytes_buffered": &st.UpstreamCxRxBytesBuffered,
		"upstream_cx_tx_bytes_buffered": &st.UpstreamCxTxBytesBuffered,
		"upstream_rq_active":            &st.UpstreamRqActive,
		"upstream_rq_pending_active":    &st.UpstreamRqPendingActive,
	} {
		*g = s.Gauge(name)
	}
	st.UpstreamCxConnectMs = s.Histogram("upstream_cx_connect_ms", stats.Milliseconds)
	st.UpstreamCxLengthMs = s.Histogram("upstream_cx_length_ms", stats.Milliseconds)
	st.UpstreamRqPerCx = s.Histogram("upstream_rq_per_cx", stats.Unspecified)
	st.Responses.Init(s)
	st.RetryResponses.Init(sub("retry."))
	st.CanaryResponses.Init(sub("canary."))
	st.ExternalResponses.Init(sub("external."))
	st.InternalResponses.Init(sub("internal."))
	st.NamedResponses.Init(s)
	st.GRPC.Init(s)
	s.Counter("upstream_rq_completed") // Envoy shows it before the first response
	counters, gauges := unused()
	for _, name := range counters {
		s.Counter(name)
	}
	for _, name := range gauges {
		s.Gauge(name)
	}
	st.HTTP1 = sync.OnceValue(func() *upstream.HTTP1Stats {
		for _, name := range []string{"dropped_headers_with_underscores", "requests_rejected_with_underscores_in_headers", "response_flood"} {
			s.Counter("http1." + name)
		}
		return &upstream.HTTP1Stats{MetadataNotSupported: s.Counter("http1.metadata_not_supported_error")}
	})
	return st
}

// connectionStats are those of st that a connection counts itself.
func connectionStats(st *upstream.Stats) *network.ConnectionStats {
	return &network.ConnectionStats{
		ReadTotal: st.UpstreamCxRxBytesTotal, WriteTotal: st.UpstreamCxTxBytesTotal,
		ReadBuffered: st.UpstreamCxRxBytesBuffered, WriteBuffered: st.UpstreamCxTxBytesBuffered,
		BindErrors: st.BindErrors,
	}
}

// initResources sets the limits of a priority, with their gauges in a scope with the
// prefix circuit_breakers.<priority>.
func initResources(r *upstream.Resources, l Limits, s stats.Scope) {
	remaining := func(string) *stats.Gauge { return nil }
	if l.TrackRemaining {
		remaining = func(name string) *stats.Gauge { return s.Gauge("remaining_" + name) }
	}
	r.Connections.Init(l.Connections, s.Gauge("cx_open"), remaining("cx"))
	r.PendingRequests.Init(l.PendingRequests, s.Gauge("rq_pending_open"), remaining("pending"))
	r.Requests.Init(l.Requests, s.Gauge("rq_open"), remaining("rq"))
	retries := remaining("retries")
	if r.RetryBudget.Store(l.RetryBudget); l.RetryBudget != nil {
		retries = nil // it depends on the requests
	}
	r.Retries.Init(l.Retries, s.Gauge("rq_retry_open"), retries)
	s.Gauge("cx_pool_open") // the number of pools has no limit
}
