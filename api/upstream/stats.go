package upstream

import (
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Stats are the statistics cluster.<name>.* that pools and filters write. The
// names are those of the fields, with underscores.
type Stats struct {
	UpstreamCxTotal, UpstreamCxHTTP1Total, UpstreamCxHTTP2Total, UpstreamCxConnectFail, UpstreamCxConnectTimeout,
	UpstreamCxConnectAttemptsExceeded, UpstreamCxOverflow, UpstreamCxPoolOverflow, UpstreamCxIdleTimeout,
	UpstreamCxMaxDurationReached, UpstreamCxMaxRequests, UpstreamCxNoneHealthy, UpstreamCxProtocolError,
	UpstreamCxDestroy, UpstreamCxDestroyLocal, UpstreamCxDestroyRemote, UpstreamCxDestroyWithActiveRq,
	UpstreamCxDestroyLocalWithActiveRq, UpstreamCxDestroyRemoteWithActiveRq, UpstreamCxCloseNotify,
	UpstreamCxRxBytesTotal, UpstreamCxTxBytesTotal,
	UpstreamFlowControlBackedUpTotal, UpstreamFlowControlDrainedTotal,
	UpstreamFlowControlPausedReadingTotal, UpstreamFlowControlResumedReadingTotal,
	UpstreamRqTotal, UpstreamRqActiveOverflow, UpstreamRqCancelled, UpstreamRqMaintenanceMode,
	UpstreamRqMaxDurationReached, UpstreamRqPendingFailureEject, UpstreamRqPendingOverflow, UpstreamRqPendingTotal,
	UpstreamRqPerTryIdleTimeout, UpstreamRqPerTryTimeout, UpstreamRqRetry, UpstreamRqRetryBackoffExponential,
	UpstreamRqRetryBackoffRatelimited, UpstreamRqRetryLimitExceeded, UpstreamRqRetryOverflow, UpstreamRqRetrySuccess,
	UpstreamInternalRedirectSucceededTotal, UpstreamInternalRedirectFailedTotal,
	UpstreamRqRxReset, UpstreamRqTimeout, UpstreamRqTxReset, RetryOrShadowAbandoned, BindErrors *stats.Counter

	UpstreamCxActive, UpstreamCxRxBytesBuffered, UpstreamCxTxBytesBuffered,
	UpstreamRqActive, UpstreamRqPendingActive *stats.Gauge

	UpstreamCxConnectMs, UpstreamCxLengthMs, UpstreamRqPerCx stats.Histogram

	// Responses are upstream_rq_<code>, _<N>xx, _completed and upstream_rq_time.
	Responses Responses
	// RetryResponses are the same under retry., for responses that were retried.
	RetryResponses Responses
	// CanaryResponses are those under canary., External and Internal those of external
	// and internal requests.
	CanaryResponses, ExternalResponses, InternalResponses Responses
	// HTTP1 makes the statistics of HTTP/1, with the first connection that speaks it; nil if
	// there are none.
	HTTP1 func() *HTTP1Stats
	// NamedResponses are those of zones and those that requests ask for by a name.
	NamedResponses NamedResponses
	// GRPC are those of gRPC calls, under grpc. or grpc.<service>.<method>., as filters
	// that know of gRPC count them.
	GRPC NamedGRPC
}

// Responses counts responses by code under one prefix. Metrics appear, and take
// memory, when they are first used. Any goroutine.
type Responses struct {
	scope     stats.Scope
	completed atomic.Pointer[stats.Counter]
	classes   [maxClass]atomic.Pointer[responseClass] // 1xx to 5xx
	unknown   atomic.Pointer[stats.Counter]           // other codes
	time      atomic.Pointer[stats.Histogram]
}

const maxClass = 5

// responseClass counts the responses of one class of codes.
type responseClass struct {
	all   *stats.Counter
	codes [100]atomic.Pointer[stats.Counter]
}

// Init sets the scope whose prefix the names get.
func (r *Responses) Init(scope stats.Scope) { r.scope = scope }

// Record counts a response with that status code.
func (r *Responses) Record(shard int, status int) {
	r.counter(&r.completed, "upstream_rq_completed").Inc(shard)
	n := status/100 - 1
	if n < 0 || n >= maxClass {
		r.counter(&r.unknown, "upstream_rq_unknown").Inc(shard)
		return
	}
	class := r.classes[n].Load()
	if class == nil {
		class = r.class(n)
	}
	class.all.Inc(shard)
	code := &class.codes[status%100]
	counter := code.Load()
	if counter == nil {
		counter = r.counter(code, "upstream_rq_"+httpmsg.StatusText(status))
	}
	counter.Inc(shard)
}

func (r *Responses) class(n int) *responseClass {
	made := &responseClass{all: r.scope.Counter("upstream_rq_" + string(rune('1'+n)) + "xx")}
	if !r.classes[n].CompareAndSwap(nil, made) {
		return r.classes[n].Load()
	}
	return made
}

func (r *Responses) counter(at *atomic.Pointer[stats.Counter], name string) *stats.Counter {
	c := at.Load()
	if c == nil {
		c = r.scope.Counter(name)
		at.Store(c)
	}
	return c
}

// RecordTime adds the duration of a request in milliseconds.
func (r *Responses) RecordTime(shard int, ms uint64) {
	h := r.time.Load()
	if h == nil {
		made := r.scope.Histogram("upstream_rq_time", stats.Milliseconds)
		h = &made
		r.time.Store(h)
	}
	(*h).Record(shard, ms)
}

// HTTP1Stats are those of cluster.<name>.http1 that count.
type HTTP1Stats struct {
	MetadataNotSupported *stats.Counter
}
