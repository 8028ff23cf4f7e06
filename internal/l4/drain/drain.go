// Package drain decides which connections end while a listener, or the whole
// server, drains.
package drain

import (
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/network"
)

// A Strategy says how a drain spreads over its time.
type Strategy uint8

const (
	// Gradual ends a share of the connections that grows over the drain time.
	Gradual Strategy = iota
	// Immediate ends all of them when they are next asked.
	Immediate
)

// A Config describes the drains of a server.
type Config struct {
	Strategy Strategy
	// Time is how long a drain takes (--drain-time-s).
	Time time.Duration
	// Now is the clock. Any goroutine; it is read only while draining.
	Now func() time.Time
}

// A Decision says whether connections should end. Use New or Child. Any goroutine.
type Decision struct {
	// set in the constructor, read-only after
	config    Config
	parent    *Decision   // drains this one with it; nil for the server's
	unhealthy func() bool // drains everything while true; may be nil

	since  atomic.Pointer[time.Time] // nil: not draining
	ending atomic.Bool
}

var _ network.DrainDecision = (*Decision)(nil)

// New returns the decision for a whole server.
func New(c Config) *Decision { return &Decision{config: c} }

// Child returns the decision for a listener or filter chain: it drains when d
// does, while unhealthy (which may be nil) reports true, and when it is started
// itself. unhealthy is called on any goroutine.
func (d *Decision) Child(unhealthy func() bool) *Decision {
	return &Decision{config: d.config, parent: d, unhealthy: unhealthy}
}

// Start begins the drain; later calls change nothing. Any goroutine.
func (d *Decision) Start() {
	if d.since.Load() == nil {
		now := d.config.Now()
		d.since.CompareAndSwap(nil, &now)
	}
}

// End makes all connections end when they are next asked, without regard to the
// strategy: the server stops. Any goroutine.
func (d *Decision) End() {
	d.Start()
	d.ending.Store(true)
}

// Draining reports whether the drain was started here or above.
func (d *Decision) Draining() bool {
	return d.since.Load() != nil || d.parent != nil && d.parent.Draining()
}

// Time is how long a drain takes.
func (d *Decision) Time() time.Duration { return d.config.Time }

// DrainClose reports whether a connection should end when it can: never while
// nothing drains, always when the drain time is over, and in between for a share
// of the calls that grows with time.
func (d *Decision) DrainClose(random uint64) bool {
	if d.unhealthy != nil && d.unhealthy() || d.parent != nil && d.parent.DrainClose(random) {
		return true
	}
	since := d.since.Load()
	if since == nil {
		return false
	}
	if d.ending.Load() || d.config.Strategy == Immediate || d.config.Time <= 0 {
		return true
	}
	elapsed := d.config.Now().Sub(*since)
	return elapsed >= d.config.Time || uint64(elapsed) > random%uint64(d.config.Time)
}
