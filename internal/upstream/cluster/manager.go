package cluster

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
)

// Options are what a Manager needs of the server.
type Options struct {
	Dispatcher event.Dispatcher // the main loop
	Stats      stats.Scope      // the root
	Runtime    runtimeconf.Loader
	Resolver   Resolver
	// NextConnectionID returns an ID that no other connection of the process has. Any
	// goroutine.
	NextConnectionID func() uint64
	// ConnectInternal makes connections to internal listeners.
	ConnectInternal connpool.InternalDialer
	// Shards is one more than the highest Shard of a dispatcher.
	Shards int
}

// A Manager is the set of clusters. It implements upstream.Clusters. Its methods are
// called on the main goroutine, but Get and those that show the state.
type Manager struct {
	options Options
	stats   managerStats

	active  atomic.Pointer[map[string]*entry] // immutable; stored by the main goroutine
	warming map[string]*entry                 // main goroutine
	// declared names clusters that will be added: configurations that refer to them
	// are checked before. Main goroutine, before anything else reads it.
	declared map[string]bool

	// limits is held to read the runtime and set limits, so that the newest values win.
	limits sync.Mutex
}

// An entry is a cluster and when it was added.
type entry struct {
	cluster *Cluster
	added   time.Time
}

type managerStats struct {
	added, modified, removed *stats.Counter
	active, warming          *stats.Gauge
}

var _ upstream.Clusters = (*Manager)(nil)

// NewManager returns a manager without clusters.
func NewManager(o Options) *Manager {
	scope := o.Stats.Scope("cluster_manager.")
	m := &Manager{options: o, warming: map[string]*entry{}, stats: managerStats{
		added: scope.Counter("cluster_added"), modified: scope.Counter("cluster_modified"), removed: scope.Counter("cluster_removed"),
		active: scope.Gauge("active_clusters"), warming: scope.Gauge("warming_clusters"),
	}}
	for _, name := range []string{"cluster_updated", "cluster_updated_via_merge", "update_merge_cancelled", "update_out_of_merge_window"} {
		scope.Counter(name)
	}
	m.active.Store(&map[string]*entry{})
	m.count()
	return m
}

// Add takes a cluster up, or replaces the one with that name: the old one serves
// until the new one has its hosts. ready, which may be nil, is called when the
// cluster is active, perhaps before Add returns; not if it is replaced or removed
// before. It returns false, and changes nothing, if the configuration is the same as
// that of the cluster there is.
func (m *Manager) Add(c *Config, ready func()) bool {
	if ready == nil {
		ready = func() {}
	}
	name := c.Info.Name
	old := m.warming[name]
	if old == nil {
		old = (*m.active.Load())[name]
	}
	if old != nil && proto.Equal(old.cluster.config.Message, c.Message) {
		if old.cluster.config != c {
			c.Discard()
		}
		old.cluster.whenReady(ready)
		return false
	}
	if old == nil {
		m.stats.added.Inc(stats.Any)
	} else {
		m.stats.modified.Inc(stats.Any)
	}
	m.stopWarming(name)
	e := &entry{newCluster(c, &m.options), m.options.Dispatcher.Now()}
	m.warming[name] = e
	e.cluster.members.warming.Set(1)
	e.cluster.start(&m.options, func() {
		m.activate(name, e)
		ready()
	})
	m.count()
	return true
}

// Declare makes a name known before its cluster is added.
func (m *Manager) Declare(name string) {
	if m.declared == nil {
		m.declared = map[string]bool{}
	}
	m.declared[name] = true
}

// Known implements upstream.Clusters.
func (m *Manager) Known(name string) bool { return m.declared[name] || m.Get(name) != nil }

// activate puts a cluster that has its hosts in the place of the old one.
func (m *Manager) activate(name string, e *entry) {
	delete(m.warming, name)
	e.cluster.members.warming.Set(0)
	before := *m.active.Load()
	now := maps.Clone(before)
	now[name] = e
	m.active.Store(&now)
	m.followRuntime(e.cluster)
	if old := before[name]; old != nil {
		old.cluster.close()
	}
	m.count()
}

func (m *Manager) stopWarming(name string) {
	if e := m.warming[name]; e != nil {
		delete(m.warming, name)
		e.cluster.close()
	}
}

// Remove removes a cluster, and reports whether there was one.
func (m *Manager) Remove(name string) bool {
	before := *m.active.Load()
	e := before[name]
	if e == nil && m.warming[name] == nil {
		return false
	}
	m.stopWarming(name)
	if e != nil {
		now := maps.Clone(before)
		delete(now, name)
		m.active.Store(&now)
		e.cluster.close()
	}
	m.stats.removed.Inc(stats.Any)
	m.count()
	return true
}

// Close removes all clusters, and ends their connections that are idle. The loops
// still run.
func (m *Manager) Close() {
	now := map[string]*entry{}
	before := *m.active.Load()
	m.active.Store(&now)
	for name := range m.warming {
		m.stopWarming(name)
	}
	for _, e := range before {
		e.cluster.close()
	}
}

// Get implements upstream.Clusters.
func (m *Manager) Get(name string) upstream.Cluster {
	if e := (*m.active.Load())[name]; e != nil {
		return e.cluster
	}
	return nil
}

func (m *Manager) count() {
	m.stats.active.Set(uint64(len(*m.active.Load())))
	m.stats.warming.Set(uint64(len(m.warming)))
}

// sorted returns the active clusters by name. Any goroutine.
func (m *Manager) sorted() []*entry {
	active := *m.active.Load()
	entries := make([]*entry, 0, len(active))
	for _, name := range slices.Sorted(maps.Keys(active)) {
		entries = append(entries, active[name])
	}
	return entries
}
