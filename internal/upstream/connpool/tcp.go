package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A tcp is a connection that its user gets for itself. It counts the connection to
// its end, and is the handle that cancels it before it is up.
type tcp struct {
	account
	d         event.Dispatcher
	conn      Conn
	callbacks upstream.ConnectionPoolCallbacks // nil once they were called, and for a spare one
	spare     bool                             // made ahead, in worker.spares
	timer     event.Timer                      // of a spare one that is up
}

// NewConnection implements host.Pool. As with Envoy's TCP proxy, a connection above
// the limit is refused rather than made to wait for another one's end.
func (ps *Pools) NewConnection(d event.Dispatcher, pick *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	p, asked := ps.main, options(pick)
	w := p.worker(d)
	if asked == nil {
		defer w.expectMoreTCP()
		if t := w.takeSpare(); t != nil {
			return t.use(cb)
		}
	}
	if !p.admitTCP() {
		p.config.Stats.UpstreamCxOverflow.Inc(d.Shard())
		cb.OnConnectionFailure(upstream.Overflow, "max_connections", nil)
		return nil
	}
	if !p.resources.PendingRequests.Acquire() {
		p.release()
		p.config.Stats.UpstreamRqPendingOverflow.Inc(d.Shard())
		cb.OnConnectionFailure(upstream.Overflow, "max_pending_requests", nil)
		return nil
	}
	t := newTCP(w, asked)
	t.wait(cb)
	return t
}

// admitTCP takes the room for one more connection, if there is some.
func (p *Pool) admitTCP() bool {
	p.connections.Add(1)
	if p.of.connections.Add(1) > p.of.perHost || !p.resources.Connections.Acquire() {
		p.of.connections.Add(-1)
		p.connections.Add(-1)
		return false
	}
	return true
}

// newTCP begins a connection for which there is room.
func newTCP(w *worker, asked *transport.Options) *tcp {
	p := w.pool
	t := &tcp{account: account{pool: p}, d: w.d}
	t.opened(w.d)
	w.tcp++
	t.conn = p.config.Dial(w.d, p.host, asked)
	t.conn.SetStats(p.config.Bytes)
	t.conn.AddCallbacks(t)
	return t
}

// wait has the callbacks told when the connection is up. Its room among the pending
// requests is taken.
func (t *tcp) wait(cb upstream.ConnectionPoolCallbacks) {
	t.callbacks = cb
	s, shard := t.pool.config.Stats, t.d.Shard()
	s.UpstreamRqPendingTotal.Inc(shard)
	s.UpstreamRqPendingActive.Inc(shard)
	t.pool.host.Stats().RqPendingActive.Add(1)
}

// Cancel implements upstream.Cancel.
func (t *tcp) Cancel() {
	if t.callbacks == nil {
		return
	}
	t.callbacks = nil
	t.pool.config.Stats.UpstreamRqCancelled.Inc(t.d.Shard())
	t.endWaiting()
	t.conn.Close(network.NoFlush, "cancelled")
}

func (t *tcp) endWaiting() {
	t.pool.config.Stats.UpstreamRqPendingActive.Dec(t.d.Shard())
	t.pool.host.Stats().RqPendingActive.Add(-1)
	t.pool.resources.PendingRequests.Release()
}

// OnEvent implements network.Callbacks.
func (t *tcp) OnEvent(e network.Event) {
	if e == network.Connected {
		t.onConnected()
		return
	}
	active, cb := t.connected && !t.spare, t.callbacks
	t.callbacks = nil
	t.pool.worker(t.d).dropTCP(t)
	t.closed(t.d, e, active, t.conn.TimedOut())
	defer t.pool.worker(t.d).connectionGone() // its room may be waited for
	if t.connected {
		t.pool.config.Stats.UpstreamRqPerCx.Record(t.d.Shard(), t.streams)
	}
	if active {
		t.streamEnds(t.d)
		return
	}
	if cb != nil {
		t.endWaiting()
		t.pool.config.Stats.UpstreamRqPendingFailureEject.Inc(t.d.Shard())
		cb.OnConnectionFailure(failure(t.conn, e), t.conn.TransportFailure(), t.pool.host)
	}
}

func (t *tcp) onConnected() {
	t.up(t.d)
	if t.spare {
		t.keep()
		return
	}
	t.endWaiting()
	t.give(t.callbacks)
}

// give hands the connection, which is up, to its user.
func (t *tcp) give(cb upstream.ConnectionPoolCallbacks) {
	t.callbacks = nil
	t.pool.resources.Requests.Force()
	t.streamBegins(t.d)
	cb.OnConnectionReady(t.conn, t.pool.host)
}

// OnWriteBufferHigh implements network.Callbacks; it is its user's business.
func (t *tcp) OnWriteBufferHigh() {}

// OnWriteBufferLow implements network.Callbacks.
func (t *tcp) OnWriteBufferLow() {}
