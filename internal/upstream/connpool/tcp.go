package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A tcp is a connection that its user gets for itself. It counts the connection to
// its end, and is the handle that cancels it before it is up.
type tcp struct {
	account
	d         event.Dispatcher
	conn      Conn
	callbacks upstream.ConnectionPoolCallbacks // nil once they were called
}

// NewConnection implements host.Pool. As with Envoy's TCP proxy, a connection above
// the limit is refused rather than made to wait for another one's end.
func (ps *Pools) NewConnection(d event.Dispatcher, pick *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	p := ps.main
	s, shard := p.config.Stats, d.Shard()
	p.connections.Add(1)
	if ps.connections.Add(1) > ps.perHost || !p.resources.Connections.Acquire() {
		ps.connections.Add(-1)
		p.connections.Add(-1)
		s.UpstreamCxOverflow.Inc(shard)
		cb.OnConnectionFailure(upstream.Overflow, "max_connections", nil)
		return nil
	}
	if !p.resources.PendingRequests.Acquire() {
		p.release()
		s.UpstreamRqPendingOverflow.Inc(shard)
		cb.OnConnectionFailure(upstream.Overflow, "max_pending_requests", nil)
		return nil
	}
	t := &tcp{account: account{pool: p}, d: d, callbacks: cb}
	t.opened(d)
	s.UpstreamRqPendingTotal.Inc(shard)
	s.UpstreamRqPendingActive.Inc(shard)
	p.host.Stats().RqPendingActive.Add(1)
	t.conn = p.config.Dial(d, p.host, options(pick))
	t.conn.SetStats(p.config.Bytes)
	t.conn.AddCallbacks(t)
	return t
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
	active, cb := t.connected, t.callbacks
	t.callbacks = nil
	t.closed(t.d, e, active, t.conn.TimedOut())
	defer t.pool.worker(t.d).connectionGone() // its room may be waited for
	if active {
		t.pool.config.Stats.UpstreamRqPerCx.Record(t.d.Shard(), t.streams)
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
	cb := t.callbacks
	t.callbacks = nil
	t.up(t.d)
	t.endWaiting()
	t.pool.resources.Requests.Force()
	t.streamBegins(t.d)
	cb.OnConnectionReady(t.conn, t.pool.host)
}

// OnWriteBufferHigh implements network.Callbacks; it is its user's business.
func (t *tcp) OnWriteBufferHigh() {}

// OnWriteBufferLow implements network.Callbacks.
func (t *tcp) OnWriteBufferLow() {}
