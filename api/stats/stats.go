// Package stats holds counters, gauges and histograms that are cheap to write
// from many workers.
//
// A metric is looked up by name once, when a configuration is built, and then
// written with the shard of the caller's loop (event.Dispatcher.Shard), or with
// Any from any other goroutine. Each shard has its own memory, so that workers
// never write to the same cache line; reading adds the shards up.
package stats

import (
	"runtime"
	"sync/atomic"
)

// Any is the shard of code that runs on no loop.
const Any = -1

// A Counter only grows. The zero Counter is not usable: a Store makes them.
type Counter struct {
	cells []*atomic.Uint64 // one per shard, Any's last
	reset atomic.Bool      // Reset found increments
}

// NewCounter returns a counter over cells, one per shard and one more for Any.
// Only a store calls it; it may give the cells to another metric once the counter
// is unreachable.
func NewCounter(cells []*atomic.Uint64) *Counter { return &Counter{cells: cells} }

// Inc adds one. It may be called on the loop of shard, or with Any anywhere.
func (c *Counter) Inc(shard int) { c.Add(shard, 1) }

// Add adds n.
func (c *Counter) Add(shard int, n uint64) {
	if shard < 0 {
		shard = len(c.cells) - 1
	}
	c.cells[shard].Add(n)
	runtime.KeepAlive(c) // until then the cell is ours
}

// Value returns the sum over all shards since the start or the last reset. Any goroutine.
func (c *Counter) Value() uint64 {
	var sum uint64
	for _, cell := range c.cells {
		sum += cell.Load()
	}
	return sum
}

// Used reports whether the counter was ever incremented. Any goroutine.
func (c *Counter) Used() bool { return c.reset.Load() || c.Value() > 0 }

// Reset sets the counter to zero (admin's /reset_counters); it stays used. Any goroutine.
func (c *Counter) Reset() {
	for _, cell := range c.cells {
		if cell.Load() > 0 {
			c.reset.Store(true) // before the swap, so that Used never goes back
			cell.Swap(0)
		}
	}
}

// A Gauge goes up and down. It is either counted with Add on any shard, or Set;
// not both.
type Gauge struct {
	cells []*atomic.Uint64 // one per shard, Any's last
	used  atomic.Bool
}

// NewGauge returns a gauge over cells, one per shard and one more for Any. Only a
// store calls it; it may give the cells to another metric once the gauge is
// unreachable.
func NewGauge(cells []*atomic.Uint64) *Gauge { return &Gauge{cells: cells} }

// Inc adds one.
func (g *Gauge) Inc(shard int) { g.Add(shard, 1) }

// Dec takes one away. It may be called with another shard than Inc was.
func (g *Gauge) Dec(shard int) { g.Add(shard, -1) }

// Add adds n, which may be negative.
func (g *Gauge) Add(shard int, n int64) {
	if shard < 0 {
		shard = len(g.cells) - 1
	}
	g.cells[shard].Add(uint64(n))
	g.use()
}

// Set sets the value. Any goroutine.
func (g *Gauge) Set(v uint64) {
	g.cells[len(g.cells)-1].Store(v)
	g.use()
}

// Touch makes the gauge used without changing its value. Any goroutine.
func (g *Gauge) Touch() { g.use() }

// use writes only once: the flag shares its cache line with what every shard reads.
func (g *Gauge) use() {
	if !g.used.Load() {
		g.used.Store(true)
	}
}

// Used reports whether the gauge was ever written, even with zero. Any goroutine.
func (g *Gauge) Used() bool { return g.used.Load() }

// Value returns the value, never below zero. Any goroutine.
func (g *Gauge) Value() uint64 {
	var sum uint64
	for _, cell := range g.cells {
		sum += cell.Load()
	}
	return uint64(max(int64(sum), 0))
}

// A Unit is what a histogram measures.
type Unit int

// The units of Envoy's histograms.
const (
	Unspecified Unit = iota
	Bytes
	Milliseconds
	Microseconds
	Percent
)

// A Histogram counts values in log-linear bins. Implementations are the store's.
type Histogram interface {
	// Record adds one value. It is called on the loop of shard, or with Any.
	Record(shard int, value uint64)
}

// A Scope makes metrics whose names start with its prefix. Looking up a name twice
// gives the same metric. It is for configuration time: it locks. Characters that
// Envoy replaces in names (":") are replaced here.
type Scope interface {
	Counter(name string) *Counter
	Gauge(name string) *Gauge
	Histogram(name string, unit Unit) Histogram
	TextReadout(name string) *TextReadout
	// Scope returns a scope below this one: its prefix is this one's, then prefix
	// (written with its trailing dot).
	Scope(prefix string) Scope
	// Close releases the scope's metrics: they leave the output when no other open
	// scope holds them. Writing to them afterwards is harmless.
	Close()
}

// A TextReadout is a string that admin shows. Any goroutine.
type TextReadout struct{ text atomic.Pointer[string] }

// Set replaces the text.
func (t *TextReadout) Set(s string) { t.text.Store(&s) }

// Used reports whether the text was ever set. Any goroutine.
func (t *TextReadout) Used() bool { return t.text.Load() != nil }

// Value returns the text, "" if it was never set.
func (t *TextReadout) Value() string {
	if s := t.text.Load(); s != nil {
		return *s
	}
	return ""
}
