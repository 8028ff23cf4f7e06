// Package stats is the server's store of statistics: it makes the metrics of
// api/stats, merges what the workers wrote, and renders the result for admin.
//
// Writing a metric is lock-free and touches memory of the writer's shard only.
// Looking one up locks and is for configuration time. Rendering works on a list of
// the metrics that it takes once, and streams: it never makes a writer wait.
package stats

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Config is what the bootstrap says about statistics.
type Config struct {
	// Tags extracts tags from names; nil means Envoy's default extractors.
	Tags *Tags
	// Buckets are the upper bounds of histogram buckets by name: the first rule that
	// matches counts, DefaultBuckets if none does.
	Buckets []BucketRule
	// FlushOnAdmin (stats_flush_on_admin) flushes before admin shows anything.
	FlushOnAdmin bool
}

// A BucketRule gives the histograms whose names match their bucket bounds.
type BucketRule struct {
	// Match is called on admin's goroutines with a histogram's full name.
	Match func(name string) bool
	// Bounds ascend.
	Bounds []float64
}

// A Store holds all metrics of one server.
type Store struct {
	// Set in NewStore, read-only after.
	config         Config
	tags           *Tags
	defaultBuckets []float64
	root           *scope

	// Has a lock of its own, which may be taken under mu.
	pages pages

	mu         sync.Mutex
	metrics    map[key]*metric // guarded by mu
	generation uint64          // guarded by mu; counts changes of metrics
	sorted     *inventory      // guarded by mu; nil or of some generation

	flushing sync.Mutex // one Flush at a time
	scratch  binCounts  // guarded by flushing
}

type kind uint8

const (
	counters kind = iota // in the order of Prometheus' output
	gauges
	textReadouts
	histograms
)

type key struct {
	kind kind
	name string
}

// A metric is one entry of the store. One of its four metrics is set, by its kind.
type metric struct {
	key
	counter   *stats.Counter
	gauge     *stats.Gauge
	histogram *histogram
	text      *stats.TextReadout
	cells     []*atomic.Uint64       // the counter's or gauge's
	refs      int                    // scopes that hold it; guarded by Store.mu
	tagged    atomic.Pointer[tagged] // see Store.tagged
}

// used reports whether the metric was ever written.
func (m *metric) used() bool {
	switch m.kind {
	case counters:
		return m.counter.Used()
	case gauges:
		return m.gauge.Used()
	case histograms:
		return m.histogram.merged.Load() != nil
	default:
		return m.text.Used()
	}
}

// inventory lists the metrics of a store. It is immutable.
type inventory struct {
	generation uint64
	metrics    []*metric // text readouts; counters and gauges; histograms: each by name
	families   []*metric // by kind, tag-extracted name and name; nil until wanted
}

// NewStore returns an empty store for workers with the shards 0 to shards-1.
func NewStore(shards int, config Config) *Store {
	s := &Store{
		config: config, tags: config.Tags, defaultBuckets: DefaultBuckets(),
		metrics: map[key]*metric{}, pages: pages{shards: shards + 1},
	}
	if s.tags == nil {
		s.tags = defaultTags()
	}
	s.root = &scope{store: s, held: map[key]*metric{}}
	return s
}

// Root returns the scope without a prefix. It is never closed.
func (s *Store) Root() stats.Scope { return s.root }

// hold returns the metric k with one reference more, making it if there is none.
func (s *Store) hold(k key, unit stats.Unit) *metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.metrics[k]
	if m == nil {
		m = s.make(k, unit)
		s.metrics[k] = m
		s.generation++
	}
	m.refs++
	return m
}

// make returns a metric that is not in the output.
func (s *Store) make(k key, unit stats.Unit) *metric {
	m := &metric{key: k}
	switch k.kind {
	case counters:
		m.cells = s.pages.alloc()
		m.counter = stats.NewCounter(m.cells)
	case gauges:
		m.cells = s.pages.alloc()
		m.gauge = stats.NewGauge(m.cells)
	case histograms:
		m.histogram = newHistogram(s.pages.shards, unit)
	default:
		m.text = new(stats.TextReadout)
	}
	return m
}

// drop takes a reference from each metric of held.
func (s *Store) drop(held map[key]*metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, m := range held {
		if m.refs--; m.refs == 0 {
			delete(s.metrics, k)
			s.generation++
			s.reclaim(m)
		}
	}
}

// reclaim reuses the cells of m once nobody can write to them: somebody may hold the
// metric longer than its scope was open.
func (s *Store) reclaim(m *metric) {
	switch m.kind {
	case counters:
		runtime.AddCleanup(m.counter, s.pages.release, m.cells)
	case gauges:
		runtime.AddCleanup(m.gauge, s.pages.release, m.cells)
	}
}

// group returns where a kind stands in lists.
func (k kind) group() int {
	switch k {
	case textReadouts:
		return 0
	case histograms:
		return 2
	default:
		return 1
	}
}

// inventory returns the metrics in the order of lists.
func (s *Store) inventory() *inventory {
	s.mu.Lock()
	if s.sorted != nil && s.sorted.generation == s.generation {
		defer s.mu.Unlock()
		return s.sorted
	}
	inv := &inventory{generation: s.generation, metrics: make([]*metric, 0, len(s.metrics))}
	for _, m := range s.metrics {
		inv.metrics = append(inv.metrics, m)
	}
	s.mu.Unlock()

	slices.SortFunc(inv.metrics, func(a, b *metric) int {
		return cmp.Or(cmp.Compare(a.kind.group(), b.kind.group()), strings.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	s.keep(inv)
	return inv
}

// keep saves inv for the next reader.
func (s *Store) keep(inv *inventory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted == nil || s.sorted.generation <= inv.generation {
		s.sorted = inv
	}
}

// Flush merges what was recorded in histograms since the last call: it ends their
// interval. The server calls it every stats_flush_interval on main, or before admin
// answers with stats_flush_on_admin.
func (s *Store) Flush() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	metrics := s.inventory().metrics
	for i := len(metrics) - 1; i >= 0 && metrics[i].kind == histograms; i-- {
		metrics[i].histogram.merge(&s.scratch)
	}
}

// ResetCounters sets all counters to zero. Any goroutine.
func (s *Store) ResetCounters() {
	for _, m := range s.inventory().metrics {
		if m.kind == counters {
			m.counter.Reset()
		}
	}
}
