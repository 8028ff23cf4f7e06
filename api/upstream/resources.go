package upstream

import (
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A Resource is one limit of a circuit breaker: so many of something at once,
// counted exactly over all workers. Any goroutine.
type Resource struct {
	max     int64 // read-only after Init
	current atomic.Int64

	// Counted up and down rather than set, so that workers that cross the limit at
	// the same time leave the right value behind.
	open      *stats.Gauge // 1 while the limit is reached
	remaining *stats.Gauge // nil unless track_remaining is set
}

// Init sets the limit and the gauges circuit_breakers.<priority>.<name>_open and
// remaining_<name>; the latter may be nil. It is called once, before any use. The
// gauges may be those of another Resource that is closed later.
func (r *Resource) Init(max int64, open, remaining *stats.Gauge) {
	r.max, r.open, r.remaining = max, open, remaining
	if max == 0 {
		open.Inc(stats.Any)
	}
	if remaining != nil {
		remaining.Add(stats.Any, max)
	}
}

// Close takes back from the gauges what Init added, when the cluster is gone. What is
// still taken is released as before.
func (r *Resource) Close() {
	if r.max == 0 {
		r.open.Dec(stats.Any)
	}
	if r.remaining != nil {
		r.remaining.Add(stats.Any, -r.max)
	}
}

// Acquire takes one, and reports false if the limit is reached.
func (r *Resource) Acquire() bool {
	for {
		n := r.current.Load()
		if n >= r.max {
			return false
		}
		if r.current.CompareAndSwap(n, n+1) {
			r.taken(n + 1)
			return true
		}
	}
}

// Available reports whether Acquire would succeed now.
func (r *Resource) Available() bool { return r.current.Load() < r.max }

// Force takes one whatever the limit.
func (r *Resource) Force() { r.taken(r.current.Add(1)) }

func (r *Resource) taken(n int64) {
	r.open.Touch() // used, from now on
	if n == r.max {
		r.open.Inc(stats.Any)
	}
	if r.remaining != nil {
		r.remaining.Dec(stats.Any)
	}
}

// Release gives one back.
func (r *Resource) Release() {
	if r.current.Add(-1) == r.max-1 {
		r.open.Dec(stats.Any)
	}
	if r.remaining != nil {
		r.remaining.Inc(stats.Any)
	}
}

// Current returns how many are taken.
func (r *Resource) Current() int64 { return r.current.Load() }

// Max returns the limit.
func (r *Resource) Max() int64 { return r.max }

// Resources are the circuit breakers of one priority of a cluster.
type Resources struct {
	Connections, PendingRequests, Requests, Retries Resource
	// RetryBudget takes the place of the limit of Retries if it is not nil. Read-only.
	RetryBudget *RetryBudget
}

// A RetryBudget limits retries to a share of the requests that are active or wait.
type RetryBudget struct {
	Percent        float64
	MinConcurrency int64 // as many are always allowed
}

// AcquireRetry takes a place for a retry, and reports false if the limit is reached.
// Retries.Release gives it back.
func (r *Resources) AcquireRetry() bool {
	if r.RetryBudget == nil {
		return r.Retries.Acquire()
	}
	requests := r.Requests.Current() + r.PendingRequests.Current()
	limit := max(int64(r.RetryBudget.Percent/100*float64(requests)), r.RetryBudget.MinConcurrency)
	if r.Retries.Current() >= limit {
		return false
	}
	r.Retries.Force()
	return true
}
