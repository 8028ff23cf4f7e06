package connpool

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
)

// A client is one HTTP/1 connection. It belongs to its worker, and in between to
// the one that gets it.
type client struct {
	account
	worker *worker
	conn   Conn
	codec  h1.ClientConnection
	out    buffer.Buffer // empty but inside of a stream's calls
	stream stream

	up        time.Time // when the connection was made
	idleSince time.Time
	// The idle timer is not touched while requests come and go: when it fires it
	// looks for how long the connection has been idle.
	idleTimer     event.Timer
	durationTimer event.Timer
	retiring      bool // close when the request is done
}

func newClient(w *worker) {
	c := &client{account: account{pool: w.pool}, worker: w}
	c.stream.c = c
	c.opened(w.d)
	w.pool.config.Stats.UpstreamCxHTTP1Total.Inc(w.d.Shard())
	if made := w.pool.config.Stats.OnHTTP1; made != nil {
		made()
	}
	c.out.Init(w.d.Buffers())
	c.codec.Init(c, w.pool.config.Codec, &c.out)
	c.conn = w.pool.config.Dial(w.d, w.pool.host.Address())
	c.conn.SetStats(w.pool.config.Bytes)
	c.conn.AddCallbacks(c)
	c.conn.AddReadFilter(c)
}

// begin starts a request on the connection.
func (c *client) begin(h upstream.ResponseHandler) {
	c.streamBegins(c.worker.d)
	s := &c.stream
	*s = stream{c: c, handler: h, active: true}
	s.connection = upstream.StreamConnection{
		ID: c.conn.ID(), Local: c.conn.Info().Local, Remote: c.conn.Info().Remote,
		Version: httpmsg.HTTP11, Reused: c.streams > 1, ConnectStart: c.start, ConnectEnd: c.up,
	}
	s.encoder = c.codec.NewStream(s)
}

// OnStreamEnd implements h1.ClientCallbacks.
func (c *client) OnStreamEnd() {
	s := &c.stream
	if !s.active {
		return
	}
	if !s.requested || !s.responded {
		c.close("") // counts the request as active
		if s.active {
			c.endStream()
		}
		return
	}
	c.endStream()
	if c.conn.State() != network.Open {
		return
	}
	switch stats, shard := c.pool.config.Stats, c.worker.d.Shard(); {
	case c.codec.Reusable() && !c.retiring && !c.spent():
		c.beginIdle()
		c.worker.ready(c)
		return
	case !c.codec.Reusable() && s.lastResponse:
		stats.UpstreamCxCloseNotify.Inc(shard)
	case !c.codec.Reusable(): // more came than the response
		stats.UpstreamCxProtocolError.Inc(shard)
	case c.spent():
		stats.UpstreamCxMaxRequests.Inc(shard)
	}
	c.close("")
}

func (c *client) endStream() {
	c.stream.active, c.stream.handler = false, nil
	c.streamEnds(c.worker.d)
}

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
	if c.stream.active {
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
	c.retiring = true
	if !c.stream.active {
		c.close("max_connection_duration")
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
	w.connecting--
	w.conns.Add(1)
	w.publish()
	c.limitDuration()
	c.beginIdle()
	w.gained(c)
}

func (c *client) onClose(e network.Event) {
	w, s := c.worker, &c.stream
	c.stopTimers()
	aborted := s.active
	if aborted && e == network.RemoteClose {
		if c.conn.Info().CloseType == streaminfo.CloseNormal {
			c.codec.OnEOF() // may be the end of a response without a length
		} else {
			c.codec.OnClose(httpmsg.ResetConnectionTermination)
		}
		aborted = !s.requested || !s.responded
		if s.malformed {
			c.pool.config.Stats.UpstreamCxProtocolError.Inc(w.d.Shard())
		}
	}
	c.closed(w.d, e, aborted, c.conn.TimedOut())
	if !c.connected {
		w.connecting--
		w.publish()
		w.fail(failure(c.conn, e), c.conn.TransportFailure())
		w.connectionGone()
		return
	}
	c.pool.config.Stats.UpstreamRqPerCx.Record(w.d.Shard(), c.streams)
	w.conns.Add(-1)
	if !aborted {
		w.dropIdle(c)
	}
	c.resetStream(e)
	w.connectionGone()
}

// resetStream ends the stream of a connection that is gone.
func (c *client) resetStream(e network.Event) {
	reason := httpmsg.ResetConnectionTermination
	if e == network.LocalClose {
		reason = httpmsg.ResetLocalReset
	}
	c.codec.OnClose(reason)
	if c.stream.active {
		c.endStream()
	}
}

// OnWriteBufferHigh implements network.Callbacks.
func (c *client) OnWriteBufferHigh() { c.codec.OnWriteBufferHigh() }

// OnWriteBufferLow implements network.Callbacks.
func (c *client) OnWriteBufferLow() { c.codec.OnWriteBufferLow() }

// ReadDisable implements h1.Flow.
func (c *client) ReadDisable(disable bool) {
	if c.conn.State() == network.Open {
		c.conn.ReadDisable(disable)
	}
}

// InitializeRead implements network.ReadFilter.
func (c *client) InitializeRead(network.ReadCallbacks) {}

// OnNewConnection implements network.ReadFilter.
func (c *client) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (c *client) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	if err := c.codec.Dispatch(data); err != nil {
		c.pool.config.Stats.UpstreamCxProtocolError.Inc(c.worker.d.Shard())
		c.close("protocol_error")
	}
	return network.StopIteration
}
