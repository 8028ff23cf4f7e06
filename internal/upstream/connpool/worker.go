package connpool

import (
	"slices"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
)

// A worker is one worker's part of a pool.
type worker struct {
	pool *Pool
	d    event.Dispatcher

	// owned by the worker
	idle       []*client // HTTP/1; the one used last is last
	http2      []*client // all of HTTP/2 that are up
	shared     []*client // those of them that, as far as known, have room for another request
	first      *pending  // requests that wait, oldest first
	last       *pending
	waiting    int    // length of that list
	connecting int    // requests that there will be connections for
	tcp        int    // connections whose users get them for themselves
	spares     []*tcp // those of them that have no user yet, oldest first
	sequence   uint64 // of the next request that waits
	sharing    bool   // handOut is going to run in this turn
	sharer     func() // handOut, kept because a method value costs an allocation

	// streams of HTTP/2 and their codec's that nobody uses; empty without such connections
	streams      []*http2Stream
	codecStreams h2.Streams

	// read by the others
	idling   atomic.Int64 // len(idle)
	conns    atomic.Int64 // connections that are up, or on their way here
	needs    atomic.Int64 // requests that no connection being made is for
	incoming atomic.Int64 // connections on their way here, or asked for
}

// A pending request waits for a connection.
type pending struct {
	worker     *worker
	handler    upstream.ResponseHandler
	callbacks  upstream.StreamPoolCallbacks
	sequence   uint64
	prev, next *pending
	done       bool // no longer in the list
}

// Cancel implements upstream.Cancel.
func (r *pending) Cancel() {
	if r.done {
		return
	}
	r.worker.pool.config.Stats.UpstreamRqCancelled.Inc(r.worker.d.Shard())
	r.worker.remove(r)
	r.worker.publish()
}

func (w *worker) add(r *pending) {
	w.pool.config.Stats.UpstreamRqPendingTotal.Inc(w.d.Shard())
	w.pool.config.Stats.UpstreamRqPendingActive.Inc(w.d.Shard())
	w.pool.host.Stats().RqPendingActive.Add(1)
	r.sequence, r.prev = w.sequence, w.last
	w.sequence++
	if w.last != nil {
		w.last.next = r
	} else {
		w.first = r
	}
	w.last = r
	w.waiting++
	w.publish()
}

// remove takes r, for which PendingRequests was acquired, out of the list. The
// caller publishes.
func (w *worker) remove(r *pending) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		w.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		w.last = r.prev
	}
	r.prev, r.next, r.done = nil, nil, true
	w.waiting--
	w.pool.config.Stats.UpstreamRqPendingActive.Dec(w.d.Shard())
	w.pool.host.Stats().RqPendingActive.Add(-1)
	w.pool.resources.PendingRequests.Release()
}

// publish tells the other workers how many connections are missing here.
func (w *worker) publish() {
	n := int64(max(w.waiting-w.connecting, 0))
	if before := w.needs.Load(); n != before {
		w.needs.Store(n)
		w.pool.needed.Add(n - before)
	}
}

// take returns a connection for a request, nil if there is none.
func (w *worker) take() *client {
	if c := w.roomy(); c != nil {
		return c
	}
	return w.takeIdle()
}

// roomy returns a shared connection with room for a request, nil if there is none.
func (w *worker) roomy() *client {
	for len(w.shared) > 0 {
		c := w.shared[0]
		if c.protocol.room() > 0 {
			return c
		}
		w.unshare(c) // its codec has failed, in this turn
	}
	return nil
}

// share offers a connection that has room for requests, unshare takes that back.
func (w *worker) share(c *client) {
	if !c.shared {
		c.shared = true
		w.shared = append(w.shared, c)
	}
}

func (w *worker) unshare(c *client) {
	if c.shared {
		c.shared = false
		i := slices.Index(w.shared, c)
		w.shared = slices.Delete(w.shared, i, i+1)
	}
}

// takeIdle returns the idle connection that was used last, nil if there is none.
func (w *worker) takeIdle() *client {
	n := len(w.idle)
	if n == 0 {
		return nil
	}
	c := w.idle[n-1]
	w.idle[n-1] = nil
	w.idle = w.idle[:n-1]
	w.idling.Store(int64(n - 1))
	return c
}

func (w *worker) putIdle(c *client) {
	w.idle = append(w.idle, c)
	w.idling.Store(int64(len(w.idle)))
}

// dropIdle removes a connection that ended while it was idle.
func (w *worker) dropIdle(c *client) {
	for i := len(w.idle) - 1; i >= 0; i-- {
		if w.idle[i] == c {
			w.idle = append(w.idle[:i], w.idle[i+1:]...)
			w.idling.Store(int64(len(w.idle)))
			return
		}
	}
}

// want gets connections for the requests that wait.
func (w *worker) want() {
	for int64(w.waiting) > int64(w.connecting)+w.incoming.Load() && (w.steal() || w.open()) {
	}
}

// open begins a new connection, if the limits allow it.
func (w *worker) open() bool {
	alone := w.pool.stays || w.pool.shares.Load() && w.pool.lendable.Load() == 0
	own := alone && w.connecting == 0 && w.conns.Load() == 0
	if !w.pool.admit(w.d.Shard(), own) {
		return false
	}
	expected := w.expected()
	w.connecting += expected
	newClient(w, expected)
	w.publish()
	return true
}

// expected is the number of requests that a new connection is counted on for.
func (w *worker) expected() int {
	if !w.pool.shares.Load() {
		return 1
	}
	return w.pool.config.sharedBy()
}

// steal asks a worker that has an idle connection for it.
func (w *worker) steal() bool {
	if w.pool.stays {
		return false
	}
	others := w.pool.workers
	for i := 1; i < len(others); i++ {
		o := others[(w.d.Shard()+i)%len(others)].Load()
		if o == nil || o.idling.Load() == 0 {
			continue
		}
		w.incoming.Add(1)
		if o.d.Post(func() { o.lend(w) }) {
			return true
		}
		w.incoming.Add(-1)
	}
	return false
}

// lend answers steal, on the worker that was asked.
func (w *worker) lend(to *worker) {
	if c := w.takeIdle(); c != nil {
		w.send(c, to)
		return
	}
	to.d.Post(to.refused)
}

// refused is the answer that there is nothing left to steal.
func (w *worker) refused() {
	w.incoming.Add(-1)
	w.want()
}

// send gives an idle connection to another worker, which counted it as incoming
// already. It must not be called from inside a callback of the connection.
func (w *worker) send(c *client, to *worker) {
	if !c.leave() {
		// It is not what it should be: bytes came, or are still to be sent.
		c.close("not_idle")
		to.d.Post(to.refused)
		return
	}
	w.conns.Add(-1)
	to.conns.Add(1)
	if !to.d.Post(func() { to.arrive(c) }) {
		to.conns.Add(-1)
		w.conns.Add(1)
		c.close("worker_stopped")
	}
}

// arrive takes over a connection that another worker sent.
func (w *worker) arrive(c *client) {
	w.incoming.Add(-1)
	if c.join(w) {
		w.gained(c)
	}
}

// gained has a connection that was made, or sent, for a request of this worker.
func (w *worker) gained(c *client) {
	if _, exclusive := c.protocol.(*http1); !exclusive {
		w.http2 = append(w.http2, c)
		w.share(c)
	} else {
		w.putIdle(c)
		if w.waiting > 0 {
			w.serveFirst(w.takeIdle())
		}
	}
	w.match()
	if c.expected > 1 || w.pool.protocol == ByALPN {
		w.want() // it may have room for less than was thought
	}
}

// ready has a connection that can take a request.
func (w *worker) ready(c *client) {
	w.putIdle(c)
	w.match()
}

// match brings idle connections and requests that wait together. What is idle was
// published before the needs of others are looked at: of two workers, one of which
// puts a connection here while the other begins to wait, at least one sees the other.
func (w *worker) match() {
	for w.waiting > 0 {
		c := w.roomy()
		if c == nil {
			break
		}
		w.serveFirst(c)
	}
	if w.pool.stays || w.pool.needed.Load() == w.needs.Load() {
		for w.waiting > 0 && len(w.idle) > 0 {
			w.serveFirst(w.takeIdle())
		}
		w.drainIfRemoved()
		return
	}
	if len(w.idle) > 0 && !w.sharing {
		w.sharing = true
		if w.sharer == nil {
			w.sharer = w.handOut
		}
		w.d.Defer(w.sharer)
	}
}

// handOut gives away the idle connections at the end of a turn, since other workers
// want some too. A worker without any connection comes before the own requests, or
// would perhaps never have its turn.
func (w *worker) handOut() {
	w.sharing = false
	for len(w.idle) > 0 {
		o := w.needy(true)
		if o == nil && w.waiting > 0 {
			w.serveFirst(w.takeIdle())
			continue
		}
		if o == nil {
			o = w.needy(false)
		}
		if o == nil {
			break
		}
		w.send(w.takeIdle(), o)
	}
	w.drainIfRemoved()
}

// serveFirst serves the oldest request that waits on c.
func (w *worker) serveFirst(c *client) {
	r := w.first
	w.remove(r)
	w.publish()
	w.serve(c, r.handler, r.callbacks)
}

// needy returns another worker whose requests wait in vain, and books the
// connection that it is going to get. Only those without any connection are
// considered when starving is set.
func (w *worker) needy(starving bool) *worker {
	if w.pool.needed.Load() == 0 {
		return nil
	}
	others := w.pool.workers
	for i := 1; i < len(others); i++ {
		o := others[(w.d.Shard()+i)%len(others)].Load()
		if o == nil || starving && o.conns.Load() > 0 {
			continue
		}
		if o.incoming.Add(1) <= o.needs.Load() {
			return o
		}
		o.incoming.Add(-1)
	}
	return nil
}

// serve begins a request on a connection that take returned.
func (w *worker) serve(c *client, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) {
	p := w.pool
	if !p.resources.Requests.Acquire() {
		if !c.shared {
			w.putIdle(c)
		}
		p.config.Stats.UpstreamRqActiveOverflow.Inc(w.d.Shard())
		cb.OnStreamFailure(upstream.Overflow, "max_requests", p.host)
		return
	}
	s := c.begin(h)
	if c.shared && c.protocol.room() == 0 {
		w.unshare(c)
	}
	cb.OnStreamReady(s, p.host)
}

// connectionGone goes on after a connection of this worker has ended: there is room
// for another one.
func (w *worker) connectionGone() {
	w.want()
	if w.pool.needed.Load() == 0 {
		return
	}
	for i := range w.pool.workers {
		if o := w.pool.workers[i].Load(); o != nil && o != w && o.needs.Load() > 0 {
			o.d.Post(o.want)
			if !w.pool.shares.Load() {
				return
			}
		}
	}
}

// fail tells the requests that wait that their connection could not be made. Those
// that come in through the callbacks have another chance.
func (w *worker) fail(f upstream.PoolFailure, reason string) {
	for end := w.sequence; w.first != nil && w.first.sequence < end; {
		r := w.first
		w.remove(r)
		w.publish()
		w.pool.config.Stats.UpstreamRqPendingFailureEject.Inc(w.d.Shard())
		r.callbacks.OnStreamFailure(f, reason, w.pool.host)
	}
}

// drain closes what is idle, and the rest of HTTP/2 when its requests are done.
func (w *worker) drain() {
	for _, c := range slices.Clone(w.http2) {
		c.retire("host_removed")
	}
	for c := w.takeIdle(); c != nil; c = w.takeIdle() {
		c.close("host_removed")
	}
	for _, t := range slices.Clone(w.spares) {
		t.conn.Close(network.NoFlush, "host_removed")
	}
}

func (w *worker) drainIfRemoved() {
	if w.pool.drained.Load() {
		w.drain()
	}
}
