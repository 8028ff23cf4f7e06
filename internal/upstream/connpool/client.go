package connpool

import (
	"slices"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
)

// A client is one connection that carries requests. It belongs to its worker; one of
// HTTP/1 can go to another worker when it is idle.
type client struct {
	account
	worker   *worker
	conn     Conn
	protocol protocol      // nil until it is known, when the connection is up at the latest
	out      buffer.Buffer // empty but inside of a stream's calls

	expected int  // how many requests it was opened for
	shared   bool // in worker.shared
	retiring bool // it gets no further request, and is closed when it has none

	up        time.Time // when the connection was made
	idleSince time.Time
	// The idle timer is not touched while requests come and go: when it fires it
	// looks for how long the connection has been idle.
	idleTimer     event.Timer
	durationTimer event.Timer
}

// A protocol is what a connection speaks: http1 or http2.
type protocol interface {
	// greet is called when the connection is up.
	greet()
	// begin starts a request. There is room for it.
	begin(h upstream.ResponseHandler) upstream.RequestStream
	// room is the number of requests that may begin now, active of those that have and
	// are not over.
	room() int
	active() int
	// closable reports whether the connection may be closed: it has no request, and its
	// codec is not at work.
	closable() bool
	dispatch(data *buffer.Buffer) error
	// closed is told that the connection has ended. It reports whether that cuts off a
	// request; reset then tells the requests.
	closed(e network.Event) (aborted bool)
	reset(e network.Event)

	OnWriteBufferHigh()
	OnWriteBufferLow()
}

func newClient(w *worker, expected int) {
	p := w.pool
	c := &client{account: account{pool: p}, worker: w, expected: expected}
	c.opened(w.d)
	c.out.Init(w.d.Buffers())
	switch p.protocol { // what does not come up is counted too
	case HTTP1:
		c.protocol = newHTTP1(c)
	case HTTP2:
		c.protocol = newHTTP2(c)
	}
	c.conn = p.config.Dial(w.d, p.host, p.transport)
	c.conn.SetStats(p.config.Bytes)
	c.conn.AddCallbacks(c)
	c.conn.AddReadFilter(c)
}

// begin starts a request on the connection.
func (c *client) begin(h upstream.ResponseHandler) upstream.RequestStream {
	c.streamBegins(c.worker.d)
	return c.protocol.begin(h)
}

// write sends what the codec made.
func (c *client) write() {
	if c.out.Len() > 0 {
		c.conn.Write(&c.out, false)
	}
}

// spent reports whether the connection has had all the requests it may have.
func (c *client) spent() bool {
	most := c.pool.config.MaxRequestsPerConnection
	return most > 0 && c.streams >= uint64(most)
}

// beginIdle starts the idle timeout.
func (c *client) beginIdle() {
	c.idleSince = c.worker.d.Now()
	if t := c.pool.config.IdleTimeout; t > 0 {
		if c.idleTimer == nil {
			c.idleTimer = c.worker.d.NewTimer(c.onIdleTimer)
		}
		if !c.idleTimer.Enabled() {
			c.idleTimer.Enable(t)
		}
	}
}

func (c *client) onIdleTimer() {
	if c.protocol.active() > 0 {
		return // beginIdle enables it
	}
	if left := c.pool.config.IdleTimeout - c.worker.d.Now().Sub(c.idleSince); left > 0 {
		c.idleTimer.Enable(left)
		return
	}
	c.pool.config.Stats.UpstreamCxIdleTimeout.Inc(c.worker.d.Shard())
	c.close("idle_timeout")
}

// limitDuration arms the timer for what is left of the longest life.
func (c *client) limitDuration() {
	most := c.pool.config.MaxConnectionDuration
	if most == 0 {
		return
	}
	c.durationTimer = c.worker.d.NewTimer(c.onMaxDuration)
	c.durationTimer.Enable(most - c.worker.d.Now().Sub(c.up))
}

func (c *client) onMaxDuration() {
	c.pool.config.Stats.UpstreamCxMaxDurationReached.Inc(c.worker.d.Shard())
	c.retire("max_connection_duration")
}

// retire closes the connection as soon as it has no request.
func (c *client) retire(details string) {
	c.retiring = true
	c.worker.unshare(c)
	if c.protocol.closable() {
		c.close(details)
	}
}

func (c *client) stopTimers() {
	for _, t := range []event.Timer{c.idleTimer, c.durationTimer} {
		if t != nil {
			t.Disable()
		}
	}
	c.idleTimer, c.durationTimer = nil, nil
}

// leave takes the idle connection off its worker's loop, if nothing is on its way.
func (c *client) leave() bool {
	if c.out.Len() > 0 || !c.conn.Detach() {
		return false
	}
	c.stopTimers()
	return true
}

// join puts the connection on the loop of another worker. If that fails it is gone.
func (c *client) join(w *worker) bool {
	c.worker = w
	c.out.Init(w.d.Buffers())
	if err := c.conn.Attach(w.d); err != nil {
		c.close(err.Error())
		return false
	}
	if t := c.pool.config.IdleTimeout; t > 0 {
		c.idleTimer = w.d.NewTimer(c.onIdleTimer)
		c.idleTimer.Enable(t - w.d.Now().Sub(c.idleSince))
	}
	c.limitDuration()
	return true
}

func (c *client) close(details string) { c.conn.Close(network.NoFlush, details) }

// OnEvent implements network.Callbacks.
func (c *client) OnEvent(e network.Event) {
	if e != network.Connected {
		c.onClose(e)
		return
	}
	w := c.worker
	c.up = w.d.Now()
	c.account.up(w.d)
	if c.protocol == nil {
		c.protocol = c.negotiated()
	}
	c.protocol.greet()
	w.connecting -= c.expected
	w.conns.Add(1)
	w.publish()
	c.limitDuration()
	c.beginIdle()
	w.gained(c)
}

func (c *client) onClose(e network.Event) {
	w := c.worker
	c.stopTimers()
	w.unshare(c)
	aborted := c.connected && c.protocol.closed(e)
	c.closed(w.d, e, aborted, c.conn.TimedOut())
	if !c.connected {
		c.out.Drain(c.out.Len()) // a greeting that did not leave
		w.connecting -= c.expected
		w.publish()
		w.fail(failure(c.conn, e), c.conn.TransportFailure())
		w.connectionGone()
		return
	}
	c.pool.config.Stats.UpstreamRqPerCx.Record(w.d.Shard(), c.streams)
	w.conns.Add(-1)
	w.http2 = slices.DeleteFunc(w.http2, func(other *client) bool { return other == c })
	if len(w.http2) == 0 {
		w.streams, w.codecStreams = nil, h2.Streams{}
	}
	if _, ok := c.protocol.(*http1); ok && w.pool.protocol == ByALPN {
		w.pool.lendable.Add(-1)
	}
	if !aborted {
		w.dropIdle(c)
	}
	c.protocol.reset(e)
	w.connectionGone()
}

// OnWriteBufferHigh implements network.Callbacks.
func (c *client) OnWriteBufferHigh() {
	if c.protocol != nil {
		c.protocol.OnWriteBufferHigh()
	}
}

// OnWriteBufferLow implements network.Callbacks.
func (c *client) OnWriteBufferLow() {
	if c.protocol != nil {
		c.protocol.OnWriteBufferLow()
	}
}

// ReadDisable implements h1.Flow.
func (c *client) ReadDisable(disable bool) {
	if c.conn.State() == network.Open {
		c.conn.ReadDisable(disable)
	}
}

// Unsent implements h2.Flow.
func (c *client) Unsent() int { return c.out.Len() + c.conn.Unsent() }

// InitializeRead implements network.ReadFilter.
func (c *client) InitializeRead(network.ReadCallbacks) {}

// OnNewConnection implements network.ReadFilter.
func (c *client) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter. Only a tunnel sees endStream.
func (c *client) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	if err := c.protocol.dispatch(data); err != nil {
		c.protocolError()
	} else if endStream {
		c.close("")
	}
	return network.StopIteration
}

// errorFlush bounds how long the host is given to take what it is told about an error.
const errorFlush = time.Second

func (c *client) protocolError() {
	c.pool.config.Stats.UpstreamCxProtocolError.Inc(c.worker.d.Shard())
	c.worker.unshare(c)
	c.conn.SetDelayedCloseTimeout(errorFlush)
	c.conn.Close(network.FlushWrite, "protocol_error")
}

// negotiated returns the protocol of a connection that is up.
func (c *client) negotiated() protocol {
	p := c.pool
	tls := c.conn.Info().TLS
	if tls == nil || tls.ALPN != "h2" {
		p.lendable.Add(1)
		return newHTTP1(c)
	}
	if !p.shares.Swap(true) {
		// The other workers may be waiting for connections to be lent.
		for i := range p.workers {
			if w := p.workers[i].Load(); w != nil && w != c.worker {
				w.d.Post(w.want)
			}
		}
	}
	return newHTTP2(c)
}
