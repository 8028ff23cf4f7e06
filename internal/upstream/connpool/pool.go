// Package connpool keeps the connections to upstream hosts: one pool per host,
// routing priority and process.
//
// Each worker owns the connections that are on its loop, and its pending requests;
// on the way of a request that finds an idle connection there is no lock and no
// other worker. What the workers of a pool know of each other are a few atomic
// counts. A worker without an idle connection asks one that has some for one,
// before it opens its own: the connection leaves the one loop and is posted to the
// other. A worker whose requests wait for a connection because the limit is
// reached publishes how many; whoever has a connection free then sends it there.
// Nobody waits for an answer: a request that waits takes the first connection that
// becomes free, wherever it comes from.
package connpool

import (
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Config is what the pools of a cluster have in common. It is immutable.
type Config struct {
	Dial  Dialer
	Codec *h1.Settings
	// IdleTimeout closes a connection that served nothing for that long,
	// MaxConnectionDuration one that is older when it is idle; 0 for never.
	IdleTimeout, MaxConnectionDuration time.Duration
	// MaxRequestsPerConnection is 0 for no limit.
	MaxRequestsPerConnection uint32
	// MaxConnectionsPerHost is by priority.
	MaxConnectionsPerHost [2]int64
	Stats                 *upstream.Stats
	Bytes                 *network.ConnectionStats
	// Shards is the number of statistics shards: one more than the highest of a
	// dispatcher.
	Shards int
}

// A Dialer begins a connection on the loop of d. Its result is told to the
// callbacks that the caller adds at once, in this turn's end or later.
type Dialer func(d event.Dispatcher, to address.Address) Conn

// A Conn is a connection that can change its loop.
type Conn interface {
	network.ClientConnection
	// TimedOut reports whether the connect timeout ended the connection.
	TimedOut() bool
	// Detach takes an idle connection off its loop. It reports false, and leaves it
	// there, if bytes are on their way.
	Detach() bool
	// Attach puts a detached connection on the loop of d, on d's worker.
	Attach(d event.Dispatcher) error
}

// A Pool holds the connections to one host for one routing priority. It implements
// host.Pool.
type Pool struct {
	// read-only
	config    *Config
	host      *host.Host
	resources *upstream.Resources
	perHost   int64 // limit of connections

	// any worker
	workers     []atomic.Pointer[worker] // by shard; set by the shard's worker
	connections atomic.Int64             // of all workers, and on their way
	needed      atomic.Int64             // sum of the workers' needs
	drained     atomic.Bool
}

var _ host.Pool = (*Pool)(nil)

// New returns a pool without connections.
func New(c *Config, h *host.Host, p upstream.Priority, r *upstream.Resources) *Pool {
	return &Pool{config: c, host: h, resources: r, perHost: c.MaxConnectionsPerHost[p],
		workers: make([]atomic.Pointer[worker], c.Shards)}
}

// worker returns the part of the pool that belongs to the worker of d.
func (p *Pool) worker(d event.Dispatcher) *worker {
	at := &p.workers[d.Shard()]
	w := at.Load()
	if w == nil {
		w = &worker{pool: p, d: d}
		at.Store(w)
	}
	return w
}

// NewStream implements host.Pool.
func (p *Pool) NewStream(d event.Dispatcher, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel {
	w := p.worker(d)
	if !w.sharing { // or other workers, who waited longer, would get nothing
		if c := w.takeIdle(); c != nil {
			w.serve(c, h, cb)
			return nil
		}
	}
	if !p.resources.PendingRequests.Acquire() {
		p.config.Stats.UpstreamRqPendingOverflow.Inc(d.Shard())
		cb.OnStreamFailure(upstream.Overflow, "max_pending_requests", nil)
		return nil
	}
	r := &pending{worker: w, handler: h, callbacks: cb}
	w.add(r)
	w.want()
	return r
}

// Drain implements host.Pool.
func (p *Pool) Drain() {
	p.drained.Store(true)
	for i := range p.workers {
		if w := p.workers[i].Load(); w != nil {
			w.d.Post(w.drain)
		}
	}
}

// admit takes the room for one more connection. A host without any gets one
// whatever the limit of the cluster, or its requests would wait for ever.
func (p *Pool) admit(shard int) bool {
	for {
		n := p.connections.Add(1)
		if n <= p.perHost && p.resources.Connections.Acquire() {
			return true
		}
		if n == 1 {
			p.resources.Connections.Force()
			p.config.Stats.UpstreamCxOverflow.Inc(shard)
			return true
		}
		if p.connections.Add(-1) > 0 {
			p.config.Stats.UpstreamCxOverflow.Inc(shard)
			return false
		}
		// The others ended meanwhile.
	}
}

// release gives the room of a connection back.
func (p *Pool) release() {
	p.connections.Add(-1)
	p.resources.Connections.Release()
}

// account counts one connection from its start to its end. It belongs to the
// worker that the connection is on.
type account struct {
	pool      *Pool
	start     time.Time
	connected bool
	streams   uint64
}

func (a *account) opened(d event.Dispatcher) {
	s, shard := a.pool.config.Stats, d.Shard()
	a.start = d.Now()
	s.UpstreamCxTotal.Inc(shard)
	s.UpstreamCxActive.Inc(shard)
	a.pool.host.Stats().CxTotal.Add(1)
	a.pool.host.Stats().CxActive.Add(1)
}

func (a *account) up(d event.Dispatcher) {
	a.connected = true
	a.pool.config.Stats.UpstreamCxConnectMs.Record(d.Shard(), milliseconds(d.Now().Sub(a.start)))
}

// streamBegins counts a request from here on, streamEnds to here. The room in
// Resources.Requests is taken by the caller.
func (a *account) streamBegins(d event.Dispatcher) {
	s, h := a.pool.config.Stats, a.pool.host.Stats()
	a.streams++
	s.UpstreamRqTotal.Inc(d.Shard())
	s.UpstreamRqActive.Inc(d.Shard())
	h.RqTotal.Add(1)
	h.RqActive.Add(1)
}

func (a *account) streamEnds(d event.Dispatcher) {
	a.pool.config.Stats.UpstreamRqActive.Dec(d.Shard())
	a.pool.host.Stats().RqActive.Add(-1)
	a.pool.resources.Requests.Release()
}

// closed counts the end of the connection. active says that a request was under way.
func (a *account) closed(d event.Dispatcher, e network.Event, active, timedOut bool) {
	s, shard := a.pool.config.Stats, d.Shard()
	how := [2]*stats.Counter{s.UpstreamCxDestroyRemote, s.UpstreamCxDestroyRemoteWithActiveRq}
	if e == network.LocalClose {
		how = [2]*stats.Counter{s.UpstreamCxDestroyLocal, s.UpstreamCxDestroyLocalWithActiveRq}
	}
	s.UpstreamCxDestroy.Inc(shard)
	how[0].Inc(shard)
	if active {
		s.UpstreamCxDestroyWithActiveRq.Inc(shard)
		how[1].Inc(shard)
	}
	if !a.connected {
		s.UpstreamCxConnectFail.Inc(shard)
		a.pool.host.Stats().CxConnectFail.Add(1)
	}
	if timedOut {
		s.UpstreamCxConnectTimeout.Inc(shard)
	}
	s.UpstreamCxLengthMs.Record(shard, milliseconds(d.Now().Sub(a.start)))
	s.UpstreamCxActive.Dec(shard)
	a.pool.host.Stats().CxActive.Add(-1)
	a.pool.release()
}

func milliseconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Millisecond) }

// failure says why a connection that was not up yet ended.
func failure(c Conn, e network.Event) upstream.PoolFailure {
	switch {
	case c.TimedOut():
		return upstream.ConnectTimeout
	case e == network.LocalClose:
		return upstream.LocalConnectionFailure
	default:
		return upstream.RemoteConnectionFailure
	}
}
