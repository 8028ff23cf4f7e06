// Package metrics holds a fake stats.Scope whose values a test can read by name.
package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A Scope is a stats.Scope. Any goroutine.
type Scope struct {
	prefix string
	store  *store
}

type store struct {
	shards     int
	mu         sync.Mutex
	counters   map[string]*stats.Counter     // guarded by mu
	gauges     map[string]*stats.Gauge       // guarded by mu
	histograms map[string]*histogram         // guarded by mu
	texts      map[string]*stats.TextReadout // guarded by mu
}

var _ stats.Scope = (*Scope)(nil)

// New returns a root scope for loops with shards from 0 to shards-1.
func New(shards int) *Scope {
	return &Scope{store: &store{
		shards:     shards,
		counters:   map[string]*stats.Counter{},
		gauges:     map[string]*stats.Gauge{},
		histograms: map[string]*histogram{},
		texts:      map[string]*stats.TextReadout{},
	}}
}

func (s *store) cells() []*atomic.Uint64 {
	cells := make([]*atomic.Uint64, s.shards+1)
	for i := range cells {
		cells[i] = new(atomic.Uint64)
	}
	return cells
}

func lookUp[T any](s *Scope, in map[string]T, name string, make func() T) T {
	name = strings.ReplaceAll(s.prefix+name, ":", "_")
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if _, ok := in[name]; !ok {
		in[name] = make()
	}
	return in[name]
}

// Counter returns the counter with that name below the scope.
func (s *Scope) Counter(name string) *stats.Counter {
	return lookUp(s, s.store.counters, name, func() *stats.Counter { return stats.NewCounter(s.store.cells()) })
}

// Gauge returns the gauge with that name below the scope.
func (s *Scope) Gauge(name string) *stats.Gauge {
	return lookUp(s, s.store.gauges, name, func() *stats.Gauge { return stats.NewGauge(s.store.cells()) })
}

// Histogram returns the histogram with that name below the scope.
func (s *Scope) Histogram(name string, _ stats.Unit) stats.Histogram {
	return lookUp(s, s.store.histograms, name, func() *histogram { return &histogram{} })
}

// TextReadout returns the text with that name below the scope.
func (s *Scope) TextReadout(name string) *stats.TextReadout {
	return lookUp(s, s.store.texts, name, func() *stats.TextReadout { return &stats.TextReadout{} })
}

// Scope returns a scope below this one.
func (s *Scope) Scope(prefix string) stats.Scope { return &Scope{s.prefix + prefix, s.store} }

// Close does nothing: values stay readable.
func (s *Scope) Close() {}

// Value returns the value of a counter or gauge by its full name, 0 if there is
// none.
func (s *Scope) Value(name string) uint64 {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if c := s.store.counters[name]; c != nil {
		return c.Value()
	}
	if g := s.store.gauges[name]; g != nil {
		return g.Value()
	}
	return 0
}

// Recorded returns the values of a histogram by its full name, in order of time.
func (s *Scope) Recorded(name string) []uint64 {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if h := s.store.histograms[name]; h != nil {
		return h.recorded()
	}
	return nil
}

// Names returns the full names of all metrics, sorted.
func (s *Scope) Names() []string {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var names []string
	names = slices.AppendSeq(names, maps.Keys(s.store.counters))
	names = slices.AppendSeq(names, maps.Keys(s.store.gauges))
	names = slices.AppendSeq(names, maps.Keys(s.store.histograms))
	names = slices.AppendSeq(names, maps.Keys(s.store.texts))
	slices.Sort(names)
	return names
}

// String returns the counters and gauges that are not zero, one a line.
func (s *Scope) String() string {
	var b strings.Builder
	for _, name := range s.Names() {
		if v := s.Value(name); v != 0 {
			fmt.Fprintf(&b, "%s: %d\n", name, v)
		}
	}
	return b.String()
}

type histogram struct {
	mu     sync.Mutex
	values []uint64 // guarded by mu
}

func (h *histogram) Record(_ int, value uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.values = append(h.values, value)
}

func (h *histogram) recorded() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.values)
}
