package hcm

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// connStats are the statistics http.<stat_prefix>.*; the names are those of the
// fields, with underscores.
type connStats struct {
	cxTotal, cxHTTP1Total, cxHTTP2Total, cxSSLTotal, cxDestroy, cxDestroyLocal, cxDestroyRemote, cxDestroyActiveRq, cxDestroyLocalActiveRq,
	cxDestroyRemoteActiveRq, cxIdleTimeout, cxMaxDurationReached, cxMaxRequestsReached, cxProtocolError, cxDrainClose, cxDelayedCloseTimeout, cxRxBytesTotal, cxTxBytesTotal, cxUpgradesTotal,
	flowPaused, flowResumed,
	rqTotal, rqHTTP1Total, rqHTTP2Total, rqTooManyPrematureResets, rqCompleted, rqFailedPathNormalization, rqHeaderTimeout, rqIdleTimeout,
	rqMaxDurationReached, rqNonRelativePath, rqRedirectedWithNormalizedPath, rqResponseBeforeRqComplete, rqRxReset, rqTxReset, rqTimeout, rqRejectedByIP, rqTooLarge, rqWsOnNonWsRoute, rsTooLarge *stats.Counter
	rqClass [6]*stats.Counter // [1]: 1xx

	cxActive, cxHTTP1Active, cxHTTP2Active, cxSSLActive, cxSoftDrain, cxRxBytesBuffered, cxTxBytesBuffered, cxUpgradesActive, rqActive *stats.Gauge

	cxLengthMs, rqTime stats.Histogram

	tracingHealthCheck *stats.Counter // not for admin

	listener listenerStats
}

// listenerStats are counted for the listener too, listener.<address>.http.<prefix>.*.
type listenerStats struct {
	completed *stats.Counter
	class     [6]*stats.Counter
}

// count counts a response, once.
func (c *connStats) count(shard, status int) {
	c.rqCompleted.Inc(shard)
	c.listener.completed.Inc(shard)
	if class := status / 100; class >= 1 && class <= 5 {
		c.rqClass[class].Inc(shard)
		c.listener.class[class].Inc(shard)
	}
}

// DeclareStats makes the statistics of a connection manager at zero, in scopes as those
// of newConnStats: admin, which is none, shows the same names.
func DeclareStats(s, listener stats.Scope) { newConnStats(s, listener) }

// newConnStats looks the statistics up in http.<stat_prefix>. and in the listener's
// scope. All of Envoy's names exist from the start, those of later protocols too,
// because dashboards ask for them.
func newConnStats(s, listener stats.Scope) *connStats {
	c := &connStats{
		cxTotal:                        s.Counter("downstream_cx_total"),
		cxHTTP1Total:                   s.Counter("downstream_cx_http1_total"),
		cxHTTP2Total:                   s.Counter("downstream_cx_http2_total"),
		cxSSLTotal:                     s.Counter("downstream_cx_ssl_total"),
		cxDestroy:                      s.Counter("downstream_cx_destroy"),
		cxDestroyLocal:                 s.Counter("downstream_cx_destroy_local"),
		cxDestroyRemote:                s.Counter("downstream_cx_destroy_remote"),
		cxDestroyActiveRq:              s.Counter("downstream_cx_destroy_active_rq"),
		cxDestroyLocalActiveRq:         s.Counter("downstream_cx_destroy_local_active_rq"),
		cxDestroyRemoteActiveRq:        s.Counter("downstream_cx_destroy_remote_active_rq"),
		cxIdleTimeout:                  s.Counter("downstream_cx_idle_timeout"),
		cxMaxDurationReached:           s.Counter("downstream_cx_max_duration_reached"),
		cxMaxRequestsReached:           s.Counter("downstream_cx_max_requests_reached"),
		cxProtocolError:                s.Counter("downstream_cx_protocol_error"),
		cxDrainClose:                   s.Counter("downstream_cx_drain_close"),
		cxDelayedCloseTimeout:          s.Counter("downstream_cx_delayed_close_timeout"),
		cxRxBytesTotal:                 s.Counter("downstream_cx_rx_bytes_total"),
		cxTxBytesTotal:                 s.Counter("downstream_cx_tx_bytes_total"),
		cxUpgradesTotal:                s.Counter("downstream_cx_upgrades_total"),
		flowPaused:                     s.Counter("downstream_flow_control_paused_reading_total"),
		flowResumed:                    s.Counter("downstream_flow_control_resumed_reading_total"),
		rqTotal:                        s.Counter("downstream_rq_total"),
		rqHTTP1Total:                   s.Counter("downstream_rq_http1_total"),
		rqHTTP2Total:                   s.Counter("downstream_rq_http2_total"),
		rqTooManyPrematureResets:       s.Counter("downstream_rq_too_many_premature_resets"),
		rqCompleted:                    s.Counter("downstream_rq_completed"),
		rqFailedPathNormalization:      s.Counter("downstream_rq_failed_path_normalization"),
		rqHeaderTimeout:                s.Counter("downstream_rq_header_timeout"),
		rqIdleTimeout:                  s.Counter("downstream_rq_idle_timeout"),
		rqMaxDurationReached:           s.Counter("downstream_rq_max_duration_reached"),
		rqNonRelativePath:              s.Counter("downstream_rq_non_relative_path"),
		rqRedirectedWithNormalizedPath: s.Counter("downstream_rq_redirected_with_normalized_path"),
		rqResponseBeforeRqComplete:     s.Counter("downstream_rq_response_before_rq_complete"),
		rqRxReset:                      s.Counter("downstream_rq_rx_reset"),
		rqTxReset:                      s.Counter("downstream_rq_tx_reset"),
		rqTimeout:                      s.Counter("downstream_rq_timeout"),
		rqRejectedByIP:                 s.Counter("downstream_rq_rejected_via_ip_detection"),
		rqTooLarge:                     s.Counter("downstream_rq_too_large"),
		rqWsOnNonWsRoute:               s.Counter("downstream_rq_ws_on_non_ws_route"),
		rsTooLarge:                     s.Counter("rs_too_large"),
		cxActive:                       s.Gauge("downstream_cx_active"),
		cxHTTP1Active:                  s.Gauge("downstream_cx_http1_active"),
		cxHTTP2Active:                  s.Gauge("downstream_cx_http2_active"),
		cxSSLActive:                    s.Gauge("downstream_cx_ssl_active"),
		cxSoftDrain:                    s.Gauge("downstream_cx_http1_soft_drain"),
		cxRxBytesBuffered:              s.Gauge("downstream_cx_rx_bytes_buffered"),
		cxTxBytesBuffered:              s.Gauge("downstream_cx_tx_bytes_buffered"),
		cxUpgradesActive:               s.Gauge("downstream_cx_upgrades_active"),
		rqActive:                       s.Gauge("downstream_rq_active"),
		cxLengthMs:                     s.Histogram("downstream_cx_length_ms", stats.Milliseconds),
		rqTime:                         s.Histogram("downstream_rq_time", stats.Milliseconds),
	}
	for _, name := range []string{"downstream_cx_http3_total",
		"downstream_rq_http3_total", "downstream_rq_overload_close", "downstream_cx_overload_disable_keepalive"} {
		s.Counter(name)
	}
	for _, name := range []string{"downstream_cx_http3_active"} {
		s.Gauge(name)
	}
	c.listener.completed = listener.Counter("downstream_rq_completed")
	for class := 1; class <= 5; class++ {
		name := "downstream_rq_" + string(rune('0'+class)) + "xx"
		c.rqClass[class] = s.Counter(name)
		c.listener.class[class] = listener.Counter(name)
	}
	return c
}

// openTracing makes tracing.* below http.<stat_prefix>.; only health checks are counted
// without tracing.
func (c *connStats) openTracing(s stats.Scope) {
	for _, name := range []string{"client_enabled", "not_traceable", "random_sampling", "service_forced"} {
		s.Counter("tracing." + name)
	}
	c.tracingHealthCheck = s.Counter("tracing.health_check")
}

// routeResolution records what looking up routes costs each stream.
type routeResolution struct {
	micros, count stats.Histogram
}

func newRouteResolution(s stats.Scope) *routeResolution {
	return &routeResolution{
		micros: s.Histogram("downstream_rq_route_resolution_time_us", stats.Microseconds),
		count:  s.Histogram("downstream_rq_route_resolutions", stats.Unspecified),
	}
}

func (r *routeResolution) record(shard int, took time.Duration, times int) {
	r.micros.Record(shard, uint64(took.Microseconds()))
	r.count.Record(shard, uint64(times))
}
