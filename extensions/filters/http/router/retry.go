package router

import (
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
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
	// limits are the circuit breakers of retries: those of the first cluster.
	limits *upstream.Resources
	// held is the circuit breaker in which this request counts as a retry, if it does.
	held *upstream.Resources
	// waiting is set from the decision to retry until the next attempt, late when that
	// is because of a timeout, rateLimited when the response said when it is to be.
	waiting, late, rateLimited bool
}

// begin reads the policy and the request headers, which it removes.
func (r *retryState) begin(f *filter) {
	h, p := f.headers, f.policies.Retry
	r.limits = f.cluster.Resources(f.forward.Priority)
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
	h, p := f.headers, f.policies.Retry
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
func (f *filter) retriesReset(u *upstreamRequest, reason httpmsg.ResetReason) bool {
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
	if on&route.RetryResetBeforeRequest != 0 && !u.sentHeaders {
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
	if p := f.policies.Retry; p != nil {
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
	if p := f.policies.Retry; p != nil && matchesAny(p.RetriableHeaders, h) {
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

// retryReset decides about an attempt that ended early, with that outcome, and reports
// whether the request is sent again. late says that it ended because its time was over.
func (f *filter) retryReset(u *upstreamRequest, reason httpmsg.ResetReason, outcome string, late bool) bool {
	var d decision
	switch {
	case f.responseStarted || !f.retry.possible():
		d = f.noRetries()
	case u.retried:
		d.why = "another attempt had taken its place"
	default:
		d = f.tryAgain(f.retriesReset(u, reason), late, nil)
	}
	f.failed(u, outcome, d)
	if d.again {
		u.recordFailure(resetStatus(reason))
	}
	return d.again
}

// retryResponse decides about response headers.
func (f *filter) retryResponse(u *upstreamRequest) decision {
	if !f.retry.possible() {
		return decision{}
	}
	wanted := f.retriesResponse(&u.response, u.status)
	if u.retried {
		return decision{refused: wanted, why: "another attempt had taken its place"}
	}
	d := f.tryAgain(wanted, false, &u.response)
	if !d.again {
		return d
	}
	u.recordFailure(u.status)
	if f.cfg.dynamicStats {
		f.cluster.Stats().RetryResponses.Record(f.shard, f.basicStatus(u.status))
	}
	f.failed(u, "response", d)
	u.reset()
	return d
}

// hedge makes another attempt beside u, which is late.
func (f *filter) hedge(u *upstreamRequest) {
	if f.responseStarted || !f.retry.possible() {
		return
	}
	u.retried = f.tryAgain(true, true, nil).again
}

// possible reports whether the request may still be sent again.
func (r *retryState) possible() bool { return r.on != 0 }
