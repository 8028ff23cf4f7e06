package router

import (
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

const (
	defaultBackoff = 25 * time.Millisecond
	// maxBackoffs is how many times the first back-off interval the longest is, unless
	// configured.
	maxBackoffs = 10
	millionths  = 1_000_000
)

// retryState is what a filter knows of the retries of one request. They are
// possible until the response begins, or the body no longer fits.
type retryState struct {
	on        route.RetryOn // 0 when the request is not retried
	remaining int
	// interval bounds the next back-off, maxInterval all of them.
	interval, maxInterval time.Duration
	// statusCodes and headerNames are the lists that came with the request.
	statusCodes, headerNames string
	// held is the circuit breaker in which this request counts as a retry, if it does.
	held *upstream.Resource
	// waiting is set from the decision to retry until the next attempt.
	waiting bool
}

// begin reads the policy of the route and the request headers, which it removes.
func (r *retryState) begin(f *filter) {
	h, p := f.headers, f.forward.Retry
	if p != nil {
		r.on, r.remaining = p.On, p.NumRetries
	} else {
		r.remaining = 1
	}
	on, _ := parseRetryOn(h.Get(httpmsg.XEnvoyRetryOn), ^route.RetryGRPC)
	grpcOn, _ := parseRetryOn(h.Get(httpmsg.XEnvoyRetryGRPCOn), route.RetryGRPC)
	r.on |= on | grpcOn
	if p != nil && len(p.RequestHeaders) > 0 && !matchesAny(p.RequestHeaders, h) {
		r.on = 0
	}
	if r.on != 0 {
		r.readLimits(f)
	}
	for _, id := range [...]httpmsg.ID{
		httpmsg.XEnvoyRetryOn, httpmsg.XEnvoyRetryGRPCOn, httpmsg.XEnvoyMaxRetries,
		httpmsg.XEnvoyRetriableStatusCodes, httpmsg.XEnvoyRetriableHeaderNames,
	} {
		h.Remove(id)
	}
}

func (r *retryState) readLimits(f *filter) {
	h, p := f.headers, f.forward.Retry
	if n, ok := parseUint(h.Get(httpmsg.XEnvoyMaxRetries)); ok {
		r.remaining = int(min(n, 1<<31-1))
	}
	r.statusCodes = h.Get(httpmsg.XEnvoyRetriableStatusCodes)
	r.headerNames = h.Get(httpmsg.XEnvoyRetriableHeaderNames)
	if p != nil {
		r.interval, r.maxInterval = p.BaseInterval, p.MaxInterval
	}
	if r.interval <= 0 {
		ms := f.cfg.runtime.Snapshot().Integer("upstream.base_retry_backoff_ms", uint64(defaultBackoff.Milliseconds()))
		r.interval = time.Duration(max(ms, 1)) * time.Millisecond
	}
	if r.maxInterval <= 0 {
		r.maxInterval = maxBackoffs * r.interval
	}
}

func matchesAny(matchers []route.HeaderMatcher, h *httpmsg.Headers) bool {
	for _, m := range matchers {
		if m.MatchHeaders(h) {
			return true
		}
	}
	return false
}

// parseRetryOn reads the list of a request header whose words stand for conditions
// in among; ok is false if another word is in it.
func parseRetryOn(list string, among route.RetryOn) (on route.RetryOn, ok bool) {
	on, unknown := route.ParseRetryOn(list)
	return on & among, unknown == "" && on&^among == 0
}

// retriesReset reports whether the policy retries a stream that ended early.
func (f *filter) retriesReset(reason httpmsg.ResetReason) bool {
	on := f.retry.on
	switch reason {
	case httpmsg.ResetOverflow:
		return false
	case httpmsg.ResetLocalConnectionFailure, httpmsg.ResetRemoteConnectionFailure, httpmsg.ResetConnectionTimeout:
		if on&route.RetryConnectFailure != 0 {
			return true
		}
	case httpmsg.ResetRemoteRefusedStream:
		if on&route.RetryRefusedStream != 0 {
			return true
		}
	}
	if on&route.RetryResetBeforeRequest != 0 && !f.attempt.sentHeaders {
		return true
	}
	// A reset counts as the 5xx that it would become.
	return on&(route.RetryReset|route.Retry5xx|route.RetryGatewayError) != 0
}

// retriesResponse reports whether the policy retries a response.
func (f *filter) retriesResponse(h *httpmsg.Headers, status int) bool {
	on := f.retry.on
	if h.Has(httpmsg.XEnvoyRateLimited) {
		return on&route.RetryEnvoyRateLimited != 0
	}
	switch {
	case on&route.Retry5xx != 0 && status >= 500 && status < 600,
		on&route.RetryGatewayError != 0 && status >= 502 && status <= 504,
		on&route.RetryRetriable4xx != 0 && status == 409,
		on&route.RetryRetriableStatusCodes != 0 && f.retriableStatus(status),
		on&route.RetryRetriableHeaders != 0 && f.retriableHeaders(h),
		on&route.RetryGRPC != 0 && on&grpcCondition(grpcStatus(h)) != 0:
		return true
	}
	return false
}

func (f *filter) retriableStatus(status int) bool {
	if p := f.forward.Retry; p != nil {
		for _, code := range p.RetriableStatusCodes {
			if code == status {
				return true
			}
		}
	}
	for list := f.retry.statusCodes; list != ""; {
		var code string
		code, list, _ = strings.Cut(list, ",")
		if n, ok := parseUint(code); ok && n == uint64(status) {
			return true
		}
	}
	return false
}

func (f *filter) retriableHeaders(h *httpmsg.Headers) bool {
	if p := f.forward.Retry; p != nil && matchesAny(p.RetriableHeaders, h) {
		return true
	}
	for list := f.retry.headerNames; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ",")
		if _, found := h.Find(strings.ToLower(strings.TrimSpace(name))); found {
			return true
		}
	}
	return false
}

// grpcCondition is the condition that retries a gRPC status, 0 if there is none.
func grpcCondition(status int) route.RetryOn {
	switch status {
	case grpcCancelled:
		return route.RetryGRPCCancelled
	case grpcDeadlineExceeded:
		return route.RetryGRPCDeadlineExceeded
	case grpcResourceExhausted:
		return route.RetryGRPCResourceExhausted
	case grpcInternal:
		return route.RetryGRPCInternal
	case grpcUnavailable:
		return route.RetryGRPCUnavailable
	default:
		return 0
	}
}

// retryReset decides about an attempt that ended early, and reports whether the
// request is sent again.
func (f *filter) retryReset(reason httpmsg.ResetReason) bool {
	if f.responseStarted || !f.retry.possible() || !f.tryAgain(f.retriesReset(reason)) {
		return false
	}
	f.attempt.recordOutcome(resetStatus(reason))
	return true
}

// retryResponse decides about response headers, and reports whether the request is
// sent again instead.
func (f *filter) retryResponse(status int, endStream bool) bool {
	u := &f.attempt
	if !f.retry.possible() || !f.tryAgain(f.retriesResponse(&u.response, status)) {
		return false
	}
	u.recordOutcome(status)
	if f.cfg.dynamicStats {
		f.cluster.Stats().RetryResponses.Record(f.shard, f.basicStatus(status))
	}
	u.leave(endStream)
	return true
}

// possible reports whether the request may still be sent again.
func (r *retryState) possible() bool { return r.on != 0 }

// tryAgain arranges another attempt, if one is wanted and allowed. A flag tells
// why one was wanted but not allowed.
func (f *filter) tryAgain(wanted bool) bool {
	r, s := &f.retry, f.cluster.Stats()
	if r.held != nil && !wanted {
		s.UpstreamRqRetrySuccess.Inc(f.shard)
	}
	r.release()
	switch {
	case !wanted:
		return false
	case r.remaining == 0:
		s.UpstreamRqRetryLimitExceeded.Inc(f.shard)
		f.info.Flags |= streaminfo.UpstreamRetryLimitExceeded
		return false
	}
	r.remaining--
	limit := &f.cluster.Resources(f.forward.Priority).Retries
	if !limit.Acquire() {
		s.UpstreamRqRetryOverflow.Inc(f.shard)
		f.info.Flags |= streaminfo.UpstreamOverflow
		f.cfg.log.Debugf("cluster %s: no retry, circuit breaker max_retries of priority %s is open",
			f.cluster.Name(), f.forward.Priority)
		return false
	}
	r.held = limit
	use := runtimeconf.Fraction{Key: "upstream.use_retry", Millionths: millionths}
	if !use.Enabled(f.cfg.runtime.Snapshot(), f.d.Random()) {
		r.release()
		return false
	}
	s.UpstreamRqRetry.Inc(f.shard)
	s.UpstreamRqRetryBackoffExponential.Inc(f.shard)
	r.waiting = true
	f.arm(&f.timers.retry, (*filter).onBackoff, r.nextBackoff(f.d.Random()))
	return true
}

// nextBackoff returns a random time below the interval, in whole milliseconds, and
// doubles the interval.
func (r *retryState) nextBackoff(random uint64) time.Duration {
	ms := uint64(max(r.interval.Milliseconds(), 1))
	if r.interval < r.maxInterval/2 {
		r.interval *= 2
	} else {
		r.interval = r.maxInterval
	}
	return time.Duration(random%ms) * time.Millisecond
}

func (r *retryState) release() {
	if r.held != nil {
		r.held.Release()
		r.held = nil
	}
}

// endRetries says that the request will not be sent again, and forgets its body.
func (f *filter) endRetries() {
	f.retry.release()
	f.retry.on = 0
	if f.retry.waiting {
		f.retry.waiting = false
		f.timers.retry.Disable()
	}
	f.kept.Drain(f.kept.Len())
}

// onBackoff sends the request again.
func (f *filter) onBackoff() {
	f.retry.waiting = false
	f.attempts++
	if p := f.forward.Retry; p != nil && (len(p.HostPredicates) > 0 || p.Priority != nil) {
		f.pick.Retry = f
	}
	// The cluster may have been replaced meanwhile. One that was removed has no hosts.
	if c := f.cfg.clusters.Get(f.cluster.Name()); c != nil {
		f.cluster = c
	}
	f.describeCluster()
	f.refreshRequestHeaders()
	f.attempt.repeat()
}

// Reject implements upstream.RetryHosts.
func (f *filter) Reject(h upstream.Host) bool {
	for _, p := range f.forward.Retry.HostPredicates {
		if p.Reject(h, f.triedHosts) {
			return true
		}
	}
	return false
}

// PriorityLoad implements upstream.RetryHosts.
func (f *filter) PriorityLoad(load []uint32) []uint32 {
	if p := f.forward.Retry.Priority; p != nil {
		return p.PriorityLoad(load, f.triedHosts)
	}
	return load
}

// MaxAttempts implements upstream.RetryHosts.
func (f *filter) MaxAttempts() int { return max(f.forward.Retry.HostAttempts, 1) }
