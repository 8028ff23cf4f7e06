package upstream

import (
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A Resource is one limit of a circuit breaker: so many of something at once,
// counted exactly over all workers. Any goroutine.
type Resource struct {
	// Set by Init, read-only after.
	open      *stats.Gauge // 1 while the limit is reached
	remaining *stats.Gauge // nil unless track_remaining is set

	// atomic
	max, current atomic.Int64
	isOpen       atomic.Bool  // what open shows
	shown        atomic.Int64 // the limit that remaining counts from
}

// Init sets the limit and the gauges circuit_breakers.<priority>.<name>_open and
// remaining_<name>; the latter may be nil. It is called once, before any use. The
// gauges may be those of another Resource that is closed later.
func (r *Resource) Init(max int64, open, remaining *stats.Gauge) {
	r.open, r.remaining = open, remaining
	r.max.Store(max)
	r.setOpen()
	if r.shown.Store(max); remaining != nil {
		remaining.Add(stats.Any, max)
	}
}

// SetMax changes the limit. As in Envoy the gauges do not follow before something is
// taken or released.
func (r *Resource) SetMax(max int64) { r.max.Store(max) }

// Close takes back from the gauges what Init added, when the cluster is gone. What is
// still taken is released as before.
func (r *Resource) Close() {
	if r.max.Load() == 0 && r.isOpen.Load() {
		r.open.Dec(stats.Any)
	}
	if r.remaining != nil {
		r.remaining.Add(stats.Any, -r.shown.Load())
	}
}

// Acquire takes one, and reports false if the limit is reached.
func (r *Resource) Acquire() bool {
	for {
		n := r.current.Load()
		if n >= r.max.Load() {
			return false
		}
		if r.current.CompareAndSwap(n, n+1) {
			r.taken()
			return true
		}
	}
}

// Available reports whether Acquire would succeed now.
func (r *Resource) Available() bool { return r.current.Load() < r.max.Load() }

// Force takes one whatever the limit.
func (r *Resource) Force() {
	r.current.Add(1)
	r.taken()
}

func (r *Resource) taken() {
	r.open.Touch() // used, from now on
	r.setOpen()
	if r.remaining != nil {
		r.remaining.Add(stats.Any, r.moveShown()-1)
	}
}

// Release gives one back.
func (r *Resource) Release() {
	r.current.Add(-1)
	r.setOpen()
	if r.remaining != nil {
		r.remaining.Add(stats.Any, r.moveShown()+1)
	}
}

// setOpen makes the gauge say whether the limit is reached. It is counted up and down
// rather than set, and looked at again after each change, so that workers that cross the
// limit at the same time leave the right value behind.
func (r *Resource) setOpen() {
	for {
		reached := r.current.Load() >= r.max.Load()
		switch {
		case r.isOpen.Load() == reached:
			return
		case !r.isOpen.CompareAndSwap(!reached, reached):
		case reached:
			r.open.Inc(stats.Any)
		default:
			r.open.Dec(stats.Any)
		}
	}
}

// moveShown returns by how much the limit has changed since it was last asked.
func (r *Resource) moveShown() int64 {
	max := r.max.Load()
	if r.shown.Load() == max {
		return 0
	}
	return max - r.shown.Swap(max)
}

// Current returns how many are taken.
func (r *Resource) Current() int64 { return r.current.Load() }

// Max returns the limit.
func (r *Resource) Max() int64 { return r.max.Load() }

// Resources are the circuit breakers of one priority of a cluster.
type Resources struct {
	Connections, PendingRequests, Requests, Retries Resource
	// RetryBudget takes the place of the limit of Retries if it is not nil.
	RetryBudget atomic.Pointer[RetryBudget]
}

// A RetryBudget limits retries to a share of the requests that are active or wait. It is
// immutable.
type RetryBudget struct {
	Percent        float64
	MinConcurrency int64 // as many are always allowed
}

// AcquireRetry takes a place for a retry, and reports false if the limit is reached.
// Retries.Release gives it back.
func (r *Resources) AcquireRetry() bool {
	budget := r.RetryBudget.Load()
	if budget == nil {
		return r.Retries.Acquire()
	}
	requests := r.Requests.Current() + r.PendingRequests.Current()
	limit := max(int64(budget.Percent/100*float64(requests)), budget.MinConcurrency)
	if r.Retries.Current() >= limit {
		return false
	}
	r.Retries.Force()
	return true
}
