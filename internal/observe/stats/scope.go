package stats

import (
	"sync"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// scope implements stats.Scope. Any goroutine.
type scope struct {
	store  *Store
	prefix string // "" or with its trailing dot

	mu     sync.Mutex // taken before Store.mu
	held   map[key]*metric
	closed bool
}

func (s *scope) metric(kind kind, name string, unit stats.Unit) *metric {
	k := key{kind, s.prefix + sanitize(name)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // a component that outlives its scope writes to nowhere
		m := s.store.make(k, unit)
		s.store.reclaim(m)
		return m
	}
	m := s.held[k]
	if m == nil {
		m = s.store.hold(k, unit)
		s.held[m.key] = m
	}
	return m
}

func (s *scope) Counter(name string) *stats.Counter {
	return s.metric(counters, name, stats.Unspecified).counter
}

func (s *scope) Gauge(name string) *stats.Gauge {
	return s.metric(gauges, name, stats.Unspecified).gauge
}

func (s *scope) Histogram(name string, unit stats.Unit) stats.Histogram {
	return s.metric(histograms, name, unit).histogram
}

func (s *scope) TextReadout(name string) *stats.TextReadout {
	return s.metric(textReadouts, name, stats.Unspecified).text
}

func (s *scope) Scope(prefix string) stats.Scope {
	return &scope{store: s.store, prefix: s.prefix + sanitizePrefix(prefix), held: map[key]*metric{}}
}

func (s *scope) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.store.drop(s.held)
	s.held = nil
}
