// Package listener accepts connections and gives each its filter chain: listeners
// as they are configured, their sockets, listener filters, filter chain matching,
// limits, draining and statistics.
//
// The Manager lives on the main goroutine. It builds an immutable config of each
// listener and posts it to the workers; what a worker has to tell it posts back.
package listener

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/drain"
)

// Options is what a Manager needs of its server.
type Options struct {
	// Context is handed to the factories; its Stats are the root scope.
	Context extension.Context
	// Main is the loop of the main goroutine, Workers are those that accept, in the
	// order of their numbers.
	Main    *event.Loop
	Workers []*event.Loop
	// Resolve returns the message packed in a, which is at path, nil after an error.
	Resolve func(a *anypb.Any, path conf.Path, errs *conf.Errors) proto.Message
	// Drain is the server's: its drain is one of all listeners.
	Drain *drain.Decision
	// ConnectionIDs is the last ID given to a connection; upstream connections take
	// theirs from it too.
	ConnectionIDs *atomic.Uint64
	// Open counts the connections of all listeners.
	Open *atomic.Int64
	// InternalBuffer is how many bytes a connection to an internal listener holds in each
	// direction; 0: there are no internal listeners.
	InternalBuffer int
	// MeasureRTT reports whether the round trip time of a new connection is wanted. Any
	// goroutine; nil: never.
	MeasureRTT func() bool
}

// newDrain returns a drain for what belongs to the listener msg.
func (o *Options) newDrain(msg *listenerv3.Listener) *drain.Decision {
	if msg.GetDrainType() == listenerv3.Listener_MODIFY_ONLY {
		return o.Drain.Child(nil)
	}
	return o.Drain.Child(o.Context.Server.HealthCheckFailed)
}

// A Manager holds the listeners of a server. All methods belong to the main
// goroutine; none waits for a worker.
type Manager struct {
	options Options
	stats   managerStats
	started bool
	// active are in the order in which they were added.
	active     []*listener
	draining   []*draining
	neighbours []*neighbours // by worker; each belongs to its loop
	unnamed    int           // names given
	// what Stop was called for
	stopAll, stopInbound bool
}

// NewManager returns a manager without listeners.
func NewManager(o Options) *Manager {
	m := &Manager{options: o, stats: newManagerStats(o.Context.Stats)}
	for range o.Workers {
		m.neighbours = append(m.neighbours, newNeighbours())
	}
	return m
}

// A listener is one on the main goroutine's side.
type listener struct {
	config  *config
	static  bool
	updated time.Time
	sets    []*socketSet
	workers []*worker // nil until it is started
	counts  *balance
}

// Add checks msg, which is at path, and adds the listener, or updates the one of
// that name. static ones cannot be updated. Before Start nothing is bound; after
// it the listener accepts at once, and an update takes over the sockets that stay
// the same, and the connections of the filter chains that do; the others drain.
// The error is a conf.Errors, or from the system; then nothing has changed.
func (m *Manager) Add(msg *listenerv3.Listener, path conf.Path, static bool) error {
	if msg.GetName() == "" {
		msg = proto.CloneOf(msg)
		m.unnamed++
		msg.Name = fmt.Sprintf("unnamed-%d", m.unnamed)
	}
	var errs conf.Errors
	old := m.find(msg.GetName())
	switch {
	case old == nil:
	case old.static:
		errs.Add(path.Field("name"), "duplicate listener %s: it is static", msg.GetName())
		return errs
	case proto.Equal(old.config.msg, msg):
		return nil
	}
	var before *config
	if old != nil {
		before = old.config
	}
	cfg := build(&m.options, msg, path, before, &errs)
	if cfg != nil {
		m.checkAddresses(cfg, old, path, &errs)
	}
	if errs.Err() != nil {
		cfg.discard(before)
		return errs
	}
	l := &listener{config: cfg, static: static, updated: m.options.Main.Now()}
	if err := m.bind(l, old); err != nil {
		cfg.discard(before)
		return err
	}
	if old == nil {
		m.stats.added.Inc(m.shard())
		m.active = append(m.active, l)
		m.run(l)
	} else {
		m.replace(old, l)
	}
	m.stats.active.Set(uint64(len(m.active)))
	return nil
}

func (m *Manager) shard() int { return m.options.Main.Shard() }

func (m *Manager) find(name string) *listener {
	for _, l := range m.active {
		if l.config.name == name {
			return l
		}
	}
	return nil
}

// checkAddresses refuses an address that another listener has: with SO_REUSEPORT
// the system would give it to both.
func (m *Manager) checkAddresses(cfg *config, old *listener, path conf.Path, errs *conf.Errors) {
	taken := map[address.Address]string{}
	for _, l := range m.active {
		for _, s := range l.config.sockets {
			if l != old {
				taken[s.Spec.Address] = l.config.name
			}
		}
	}
	for i, s := range cfg.sockets {
		a := s.Spec.Address
		if name, ok := taken[a]; ok && (a.IsUnix() || a.Port() != 0) {
			at := path.Field("address")
			if i > 0 {
				at = path.Field("additional_addresses").Index(i - 1)
			}
			errs.Add(at, "error adding listener: '%s' has duplicate address '%s' as existing listener '%s'", cfg.name, a, name)
		}
		taken[a] = cfg.name
	}
}

// bind opens the sockets of l, but takes over those of old, which may be nil, that
// are the same. Before Start, and after Stop, it does nothing.
func (m *Manager) bind(l, old *listener) error {
	if !m.started || m.stopped(l) {
		return nil
	}
	var opened []*socketSet
	for _, c := range l.config.sockets {
		s := old.reuse(c)
		if s == nil {
			var err error
			if s, err = listen(c, len(m.options.Workers)); err != nil {
				for _, s := range opened {
					s.close()
				}
				l.sets = nil
				return fmt.Errorf("error adding listener '%s': %w", l.config.name, err)
			}
			opened = append(opened, s)
		}
		l.sets = append(l.sets, s)
	}
	return nil
}

// reuse returns the sockets of l that are configured as c says, nil if it has none.
func (l *listener) reuse(c socketConfig) *socketSet {
	if l != nil {
		for _, s := range l.sets {
			if reflect.DeepEqual(s.config, c) {
				return s
			}
		}
	}
	return nil
}

// Start binds all listeners and lets the workers accept. The error joins those of
// the listeners that cannot be bound; they are left out.
func (m *Manager) Start() error {
	m.started = true
	var failed []error
	for _, l := range slices.Clone(m.active) {
		if err := m.bind(l, nil); err != nil {
			failed = append(failed, err)
			m.active = slices.DeleteFunc(m.active, func(other *listener) bool { return other == l })
			continue
		}
		m.run(l)
	}
	m.stats.active.Set(uint64(len(m.active)))
	m.onAllWorkers(func(int) {}, func() { m.stats.workersStarted.Set(1) })
	return errors.Join(failed...)
}

// onAllWorkers calls f with each worker's number on its loop, and then done on the
// main goroutine. A worker that has ended counts as done.
func (m *Manager) onAllWorkers(f func(worker int), done func()) {
	var left atomic.Int32
	left.Store(int32(len(m.options.Workers)))
	finish := func() {
		if left.Add(-1) == 0 {
			m.options.Main.Post(done)
		}
	}
	for i, loop := range m.options.Workers {
		if !loop.Post(func() { f(i); finish() }) {
			finish()
		}
	}
}

// Stop ends accepting, for good, on all listeners, or those with the traffic
// direction INBOUND. Connections stay.
func (m *Manager) Stop(inboundOnly bool) {
	m.stopInbound, m.stopAll = true, m.stopAll || !inboundOnly
	for _, l := range m.active {
		if m.stopped(l) && len(l.sets) > 0 {
			m.stats.stopped.Inc(m.shard())
			m.apply(l, l.config, l.sets, nil)
			l.sets = nil
		}
	}
}

func (m *Manager) stopped(l *listener) bool { return m.stopAll || m.stopInbound && l.config.inbound() }

// Drain makes the connections of all listeners, or of those with the traffic
// direction INBOUND, end over the drain time. Accepting goes on.
func (m *Manager) Drain(inboundOnly bool) {
	for _, l := range m.active {
		if l.config.inbound() || !inboundOnly {
			for _, c := range l.config.chains {
				c.drain.Start()
			}
		}
	}
}

// CloseIdle ends the connections of all listeners that serve nobody.
func (m *Manager) CloseIdle() {
	all := slices.Clone(m.active)
	for _, d := range m.draining {
		all = append(all, d.listener)
	}
	for _, l := range all {
		for _, w := range l.workers {
			w.loop.Post(w.closeIdle)
		}
	}
}

// Remove takes the listener of that name away, if it is there and not static: it
// stops accepting, and its connections drain.
func (m *Manager) Remove(name string) bool {
	l := m.find(name)
	if l == nil || l.static {
		return false
	}
	m.active = slices.DeleteFunc(m.active, func(other *listener) bool { return other == l })
	m.stats.removed.Inc(m.shard())
	m.stats.active.Set(uint64(len(m.active)))
	if l.workers == nil {
		releaseBut(l.config.chains, nil)
		l.config.stats.scope.Close()
		return true
	}
	m.apply(l, nil, l.sets, nil)
	m.drain(&draining{listener: l, chains: l.config.chains, whole: true})
	return true
}

// Close ends all listeners and their connections, and calls done on the main
// goroutine when all is closed.
func (m *Manager) Close(done func()) {
	all := m.active
	var chains []*chain
	for _, l := range m.active {
		m.apply(l, nil, l.sets, nil)
		chains = append(chains, l.config.chains...)
	}
	for _, d := range m.draining {
		d.timer.Disable()
		all = append(all, d.listener)
		chains = append(chains, d.chains...)
	}
	m.active, m.draining = nil, nil
	m.stats.active.Set(0)
	m.gaugeDraining()
	m.onAllWorkers(func(i int) {
		for _, l := range all {
			if l.workers != nil {
				l.workers[i].closeConnections(func(*connection) bool { return true })
			}
		}
	}, func() {
		releaseBut(chains, nil)
		done()
	})
}
