package upstream

import (
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A Resource is one limit of a circuit breaker: so many of something at once,
// counted exactly over all workers. Any goroutine.
type Resource struct {
	max     atomic.Int64
	current atomic.Int64
	open    *stats.Gauge // 1 while the limit is reached
}

// Init sets the limit and the gauge circuit_breakers.<priority>.<name>_open.
func (r *Resource) Init(max int64, open *stats.Gauge) {
	r.max.Store(max)
	r.open = open
	open.Set(0)
}

// SetMax changes the limit. What is above it stays.
func (r *Resource) SetMax(max int64) { r.max.Store(max) }

// Acquire takes one, and reports false if the limit is reached.
func (r *Resource) Acquire() bool {
	n := r.current.Add(1)
	if n > r.max.Load() {
		r.current.Add(-1)
		return false
	}
	if n == r.max.Load() {
		r.open.Set(1)
	}
	return true
}

// Available reports whether Acquire would succeed now.
func (r *Resource) Available() bool { return r.current.Load() < r.max.Load() }

// Force takes one whatever the limit.
func (r *Resource) Force() {
	if r.current.Add(1) == r.max.Load() {
		r.open.Set(1)
	}
}

// Release gives one back.
func (r *Resource) Release() {
	if r.current.Add(-1) == r.max.Load()-1 {
		r.open.Set(0)
	}
}

// Current and Max return the count and the limit.
func (r *Resource) Current() int64 { return r.current.Load() }

// Max returns the limit.
func (r *Resource) Max() int64 { return r.max.Load() }

// Resources are the circuit breakers of one priority of a cluster.
type Resources struct {
	Connections, PendingRequests, Requests, Retries Resource
}
