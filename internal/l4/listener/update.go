package listener

import (
	"slices"
	"sync/atomic"

	apievent "github.com/nuncio-proxy/nuncio/api/event"
)

// run starts a new listener on the workers.
func (m *Manager) run(l *listener) {
	if !m.started {
		return
	}
	n := len(m.options.Workers)
	l.counts = &balance{workers: make([]atomic.Int64, n)}
	l.workers = make([]*worker, n)
	for i, loop := range m.options.Workers {
		l.workers[i] = &worker{loop: loop, index: i, options: &m.options, counts: l.counts, peers: l.workers,
			acceptors: map[*socketSet]*acceptor{}, neighbours: m.neighbours[i]}
	}
	m.apply(l, l.config, nil, l.sets)
}

// apply posts a configuration and the sockets to accept on to the workers, which
// accept on before until then.
func (m *Manager) apply(l *listener, cfg *config, before, sets []*socketSet) {
	for _, w := range l.workers {
		posted := w.loop.Post(func() {
			err := w.apply(cfg, sets, func(s *socketSet) { m.options.Main.Post(s.release) })
			m.options.Main.Post(func() { m.applied(cfg, err) })
		})
		if posted {
			continue
		}
		for _, s := range before { // the worker has ended
			if !slices.Contains(sets, s) {
				s.release()
			}
		}
	}
}

// applied counts the answer of a worker.
func (m *Manager) applied(cfg *config, err error) {
	switch {
	case cfg == nil:
	case err != nil:
		m.stats.createFailure.Inc(m.shard())
		m.options.Context.Log.Errorf("listener '%s': %v", cfg.name, err)
	default:
		m.stats.createSuccess.Inc(m.shard())
	}
}

// replace puts l, which was built and bound after old, into its place. The
// connections of filter chains that l has not drain.
func (m *Manager) replace(old, l *listener) {
	inPlace := l.config.stats == old.config.stats
	m.active[slices.Index(m.active, old)] = l
	m.stats.modified.Inc(m.shard())
	if inPlace {
		m.stats.inPlaceUpdated.Inc(m.shard())
	}
	if !m.started {
		releaseBut(old.config.chains, l.config.chains)
		return
	}
	l.workers, l.counts = old.workers, old.counts
	m.apply(l, l.config, old.sets, l.sets)
	d := &draining{listener: old}
	for _, c := range old.config.chains {
		if !slices.Contains(l.config.chains, c) {
			d.chains = append(d.chains, c)
		}
	}
	if d.whole = !inPlace; d.whole || len(d.chains) > 0 {
		m.drain(d)
	}
}

// A draining is a listener, or some of its filter chains, whose connections end.
type draining struct {
	listener *listener
	chains   []*chain
	whole    bool // all of the listener, as it was
	timer    apievent.Timer
}

// drain begins the drain of d, and closes what is left when its time is over.
func (m *Manager) drain(d *draining) {
	for _, c := range d.chains {
		c.drain.Start()
	}
	if d.whole {
		d.listener.config.drain.Start()
	}
	m.draining = append(m.draining, d)
	m.gaugeDraining()
	d.timer = m.options.Main.NewTimer(func() { m.closeRest(d) })
	d.timer.Enable(m.options.Drain.Time())
}

// closeRest ends the connections that a drain has left.
func (m *Manager) closeRest(d *draining) {
	gone := func(c *connection) bool {
		return slices.Contains(d.chains, c.chain) || d.whole && c.config == d.listener.config
	}
	m.onAllWorkers(func(i int) { d.listener.workers[i].closeConnections(gone) }, func() {
		m.draining = slices.DeleteFunc(m.draining, func(other *draining) bool { return other == d })
		m.gaugeDraining()
		releaseBut(d.chains, nil)
		if d.whole {
			d.listener.config.stats.scope.Close()
		}
	})
}

func (m *Manager) gaugeDraining() {
	listeners, chains := 0, 0
	for _, d := range m.draining {
		if d.whole {
			listeners++
		} else {
			chains += len(d.chains)
		}
	}
	m.stats.draining.Set(uint64(listeners))
	m.stats.chainsDraining.Set(uint64(chains))
}
