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

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// A Protocol is what is spoken with a host.
type Protocol uint8

// The protocols.
const (
	HTTP1 Protocol = iota
	HTTP2
	// ByALPN is what the host chooses when TLS is agreed on: HTTP/1 if it does not.
	ByALPN
	// AsDownstream is what the client of the request speaks.
	AsDownstream
)

// Config is what the pools of a cluster have in common. It is immutable.
type Config struct {
	Dial      Dialer
	Protocol  Protocol
	HTTP1     *h1.Settings
	HTTP2     *h2.Settings
	KeepAlive *keepalive.Settings // of HTTP/2; nil for none
	// HTTP2Stats makes the statistics of HTTP/2, at its first connection. Any goroutine.
	HTTP2Stats func() *h2.Stats
	// TransportKey is transport.ClientFactory's Key; nil if nothing depends on options.
	TransportKey func(transport.Host, *transport.Options) string
	// IdleTimeout closes a connection that served nothing for that long,
	// MaxConnectionDuration one that is older when it is idle; 0 for never.
	IdleTimeout, MaxConnectionDuration time.Duration
	// MaxRequestsPerConnection is 0 for no limit.
	MaxRequestsPerConnection uint32
	Preconnect               Preconnect
	// MaxConnectionsPerHost is by priority.
	MaxConnectionsPerHost [2]int64
	Stats                 *upstream.Stats
	Bytes                 *network.ConnectionStats
	// Shards is the number of statistics shards: one more than the highest of a
	// dispatcher.
	Shards int
}

// A Dialer begins a connection to a host on the loop of d. Its result is told to the
// callbacks that the caller adds at once, in this turn's end or later. o is not
// changed afterwards; it may be nil.
type Dialer func(d event.Dispatcher, to transport.Host, o *transport.Options) Conn

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

// A Pool holds the connections to one host for one routing priority, which speak the
// same protocol and have the same transport.
type Pool struct {
	// read-only
	config    *Config
	of        *Pools
	host      *host.Host
	resources *upstream.Resources
	protocol  Protocol
	transport *transport.Options
	stays     bool   // connections cannot go to another worker: they are internal
	ended     func() // is told that the last connection is gone; nil for nobody

	// any worker
	workers     []atomic.Pointer[worker] // by shard; set by the shard's worker
	connections atomic.Int64             // of all workers, and on their way
	needed      atomic.Int64             // sum of the workers' needs
	shares      atomic.Bool              // a connection carried several requests at a time
	lendable    atomic.Int64             // connections ByALPN that do not
	drained     atomic.Bool
}

func newPool(of *Pools, protocol Protocol, o *transport.Options) *Pool {
	p := &Pool{config: of.config, of: of, host: of.host, resources: of.resources, protocol: protocol, transport: offer(protocol, o),
		stays:   of.host.Address().IsInternal(),
		workers: make([]atomic.Pointer[worker], of.config.Shards)}
	p.shares.Store(protocol == HTTP2)
	return p
}

// offer adds what is offered to the peer by ALPN, where nothing is configured.
func offer(p Protocol, o *transport.Options) *transport.Options {
	with := transport.Options{}
	if o != nil {
		with = *o
	}
	switch p {
	case HTTP2:
		with.ALPNFallback = []string{"h2"}
	case ByALPN:
		with.ALPNFallback = []string{"h2", "http/1.1"}
	default:
		with.ALPNFallback = []string{"http/1.1"}
	}
	return &with
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

// newStream is Pools.NewStream for this pool.
func (p *Pool) newStream(d event.Dispatcher, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel {
	w := p.worker(d)
	if !w.sharing { // or other workers, who waited longer, would get nothing
		if c := w.take(); c != nil {
			w.serve(c, h, cb)
			w.expectMore()
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
	w.expectMore()
	return r
}

func (p *Pool) drain() {
	p.drained.Store(true)
	for i := range p.workers {
		if w := p.workers[i].Load(); w != nil {
			w.d.Post(w.drain)
		}
	}
}

// admit takes the room for one more connection. A pool without any gets one
// whatever the limits, or its requests would wait for ever; so does a worker that
// needs one of its own, since connections that are shared cannot be lent.
func (p *Pool) admit(shard int, own bool) bool {
	for {
		n := p.connections.Add(1)
		if p.of.connections.Add(1) <= p.of.perHost && p.resources.Connections.Acquire() {
			return true
		}
		if n == 1 || own {
			p.resources.Connections.Force()
			p.config.Stats.UpstreamCxOverflow.Inc(shard)
			return true
		}
		p.of.connections.Add(-1)
		if p.connections.Add(-1) > 0 {
			p.config.Stats.UpstreamCxOverflow.Inc(shard)
			return false
		}
		// The others ended meanwhile.
	}
}

// release gives the room of a connection back.
func (p *Pool) release() {
	p.resources.Connections.Release()
	p.of.connections.Add(-1)
	if p.connections.Add(-1) == 0 && p.ended != nil {
		p.ended()
	}
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
