package router

import (
	"math"
	"strconv"
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

// tryAgain arranges another attempt, if one is wanted and allowed. A flag tells, too,
// why one is not allowed. response is nil if there is none.
func (f *filter) tryAgain(wanted, late bool, response *httpmsg.Headers) decision {
	r, s := &f.retry, f.cluster.Stats()
	if r.held != nil && !wanted {
		s.UpstreamRqRetrySuccess.Inc(f.shard)
		f.named.countRetry(f.shard, retrySuccess)
	}
	r.release()
	switch {
	case !wanted:
		return decision{why: "retry_on does not cover it"}
	case r.remaining == 0:
		s.UpstreamRqRetryLimitExceeded.Inc(f.shard)
		f.named.countRetry(f.shard, retryLimitExceeded)
		f.info.Flags |= streaminfo.UpstreamRetryLimitExceeded
		return decision{refused: true, why: "no retries left"}
	}
	r.remaining--
	limits := r.limits
	if !limits.AcquireRetry() {
		s.UpstreamRqRetryOverflow.Inc(f.shard)
		f.named.countRetry(f.shard, retryOverflow)
		f.info.Flags |= streaminfo.UpstreamOverflow
		why := "retry circuit breaker is open"
		if limits.RetryBudget.Load() != nil {
			why = "retry budget is used up"
		}
		f.cfg.log.Debugf("cluster %s, priority %s: no retry, %s", f.cluster.Name(), f.forward.Priority, why)
		return decision{refused: true, why: why}
	}
	r.held = limits
	use := runtimeconf.Fraction{Key: "upstream.use_retry", Millionths: millionths}
	if !use.Enabled(f.cfg.runtime.Snapshot(), f.d.Random()) {
		r.release()
		return decision{why: "runtime upstream.use_retry is off"}
	}
	r.waiting, r.late = true, late
	after := f.backoff(response)
	arm(f.d, &f.timers.retry, f, (*filter).onBackoff, after)
	return decision{again: true, after: after}
}

// backoff returns how long to wait before the next attempt: as long as the response
// asks for, if the policy heeds that and it is more than a millisecond, or else a random
// time.
func (f *filter) backoff(response *httpmsg.Headers) time.Duration {
	f.retry.rateLimited = false
	if p := f.policies.Retry; response != nil && p != nil && p.RateLimited != nil {
		if d, ok := resetInterval(p.RateLimited, response, f.d.Now()); ok && d.Milliseconds() > 1 {
			f.retry.rateLimited = true
			return d + time.Duration(f.d.Random()%uint64(max(d.Milliseconds()/2, 1)))*time.Millisecond
		}
	}
	return f.retry.nextBackoff(f.d.Random())
}

// resetInterval reads the first of the headers that says when to try again, and does
// not ask for too long a time.
func resetInterval(p *route.RateLimitedBackOff, response *httpmsg.Headers, now time.Time) (time.Duration, bool) {
	for i := range p.Headers {
		value, _ := response.Find(p.Headers[i].Name)
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			continue
		}
		if n > uint64(math.MaxInt64/time.Second) {
			continue // far beyond any interval
		}
		d := time.Duration(n) * time.Second
		if p.Headers[i].UnixTime {
			d -= time.Duration(now.UnixNano())
		}
		if d >= 0 && d <= p.MaxInterval {
			return d, true
		}
	}
	return 0, false
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
		r.held.Retries.Release()
		r.held = nil
	}
}

// stopRetries says that the request will not be sent again.
func (f *filter) stopRetries() {
	f.retry.release()
	f.retry.on = 0
	if f.retry.waiting {
		f.retry.waiting = false
		f.timers.retry.Disable()
	}
}

// endRetries is stopRetries, and forgets the body of the request.
func (f *filter) endRetries() {
	f.stopRetries()
	f.dropBody()
}

// onBackoff sends the request again.
func (f *filter) onBackoff() {
	f.retry.waiting = false
	f.attempts++
	f.info.AttemptCount = f.attempts
	if p := f.policies.Retry; p != nil && (len(p.HostPredicates) > 0 || p.Priority != nil) {
		f.pick.Retry = f
	}
	f.refreshCluster()
	f.countRetry()
	f.nextAttempt()
	f.describeCluster()
	f.refreshRequestHeaders()
	f.attempt.repeat()
}

// countRetry counts a retry for the cluster that it goes to.
func (f *filter) countRetry() {
	s := f.cluster.Stats()
	s.UpstreamRqRetry.Inc(f.shard)
	f.named.countRetry(f.shard, retryMade)
	if f.retry.rateLimited {
		s.UpstreamRqRetryBackoffRatelimited.Inc(f.shard)
	} else {
		s.UpstreamRqRetryBackoffExponential.Inc(f.shard)
	}
}

// refreshCluster looks for the cluster anew: the policy may want another one, and it
// may have been replaced meanwhile. One that was removed has no hosts.
func (f *filter) refreshCluster() {
	name := f.cluster.Name()
	if p := f.policies.Retry; f.forward.Specifier != nil && p != nil && p.RefreshCluster {
		name = f.forward.ClusterName(f.headers, f.info, f.cb.StreamID())
	}
	if c := f.cfg.clusters.Get(name); c != nil {
		f.cluster = c
	}
}

// Reject implements upstream.RetryHosts.
func (f *filter) Reject(h upstream.Host) bool {
	for _, p := range f.policies.Retry.HostPredicates {
		if p.Reject(h, f.triedHosts) {
			return true
		}
	}
	return false
}

// PriorityLoad implements upstream.RetryHosts.
func (f *filter) PriorityLoad(load []uint32) []uint32 {
	if p := f.policies.Retry.Priority; p != nil {
		return p.PriorityLoad(load, f.triedHosts)
	}
	return load
}

// MaxAttempts implements upstream.RetryHosts.
func (f *filter) MaxAttempts() int { return max(f.policies.Retry.HostAttempts, 1) }
