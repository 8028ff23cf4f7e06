package conn

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	apievent "github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

// A carrier is what a connection keeps of its transport socket, and the transport's
// view of the connection.
type carrier struct {
	conn    *Conn
	socket  transport.Socket
	peeked  buffer.Buffer  // read from the system's socket before there was a transport
	timeout *stats.Counter // of SetTransport; nil: not counted
	up      bool
	closed  bool
}

var _ transport.Callbacks = (*carrier)(nil)

// What the details of a connection say whose transport took too long to come up.
const (
	transportTimeoutDetails     = "transport_socket_timeout"
	transportTimeoutTermination = "transport socket timeout was reached"
)

func newCarrier(c *Conn, s transport.Socket) *carrier {
	t := &carrier{conn: c, socket: s}
	t.peeked.Init(c.loop.Buffers())
	return t
}

// SetTransport gives an accepted connection its transport, before Start or out of a
// filter that has taken nothing out of the data and was the first to see any: what it
// saw are the transport's first bytes. If the transport is not up within timeout,
// unless that is 0, the connection is closed and timeouts counts it.
func (c *Conn) SetTransport(s transport.Socket, timeout time.Duration, timeouts *stats.Counter) {
	t := newCarrier(c, s)
	t.timeout = timeouts
	c.transport = t
	c.meter.Received -= uint64(c.in.Len()) // they count when the transport has made something of them
	if c.details != nil {
		c.details.BytesReceived, c.details.DownstreamBytes.Received = c.meter.Received, c.meter.Received
	}
	t.peeked.Move(&c.in)
	if timeout > 0 {
		c.connectTimer = c.newTimer(t.timedOut)
		c.connectTimer.Enable(timeout)
	}
	if c.state == network.Open {
		t.start()
		t.Readable()
	}
}

// start begins what the transport does before it is up.
func (t *carrier) start() {
	if t.socket.Start(t) {
		t.Connected()
	}
	// A transport that talks first has something to send; one that waits has not.
	t.Writable()
}

func (t *carrier) timedOut() {
	c := t.conn
	if t.timeout != nil {
		t.timeout.Inc(c.loop.Shard())
	}
	c.Stream().TerminationDetails = transportTimeoutTermination
	c.close(network.LocalClose, false, transportTimeoutDetails)
}

// fill is Conn.fill.
func (t *carrier) fill() (n int, err error) {
	c := t.conn
	for n < readChunk && err == nil {
		var took int
		took, err = t.socket.Read(&c.in, readChunk-n)
		n += took
		if c.state == network.Closed { // by a callback that was told of Connected
			return n, event.ErrAgain
		}
	}
	return n, err
}

func (t *carrier) close(orderly bool) {
	if t.closed {
		return
	}
	t.closed = true
	t.peeked.Reset()
	t.socket.Close(orderly)
}

// detach takes an idle transport off its worker, if it knows how to.
func (t *carrier) detach() bool {
	m, ok := t.socket.(transport.Movable)
	return ok && t.up && t.peeked.Len() == 0 && m.Detach()
}

func (t *carrier) attach() {
	t.peeked.Init(t.conn.loop.Buffers())
	t.socket.(transport.Movable).Attach(t)
}

// ReadRaw implements transport.Raw.
func (t *carrier) ReadRaw(into [][]byte) (n int, err error) {
	if t.peeked.Len() == 0 {
		return t.conn.socket.Read(into)
	}
	for _, to := range into {
		for len(to) > 0 && t.peeked.Len() > 0 {
			took := copy(to, t.peeked.Front())
			t.peeked.Drain(took)
			to = to[took:]
			n += took
		}
	}
	return n, nil
}

// WriteRaw implements transport.Raw.
func (t *carrier) WriteRaw(from [][]byte) (int, error) { return t.conn.socket.Write(from) }

// CloseWriteRaw implements transport.Raw.
func (t *carrier) CloseWriteRaw() error { return t.conn.socket.CloseWrite() }

// Dispatcher implements transport.Callbacks.
func (t *carrier) Dispatcher() apievent.Dispatcher { return t.conn.loop }

// Info implements transport.Callbacks.
func (t *carrier) Info() *streaminfo.Connection { return &t.conn.info }

// Connected implements transport.Callbacks.
func (t *carrier) Connected() {
	if !t.up && t.conn.state != network.Closed {
		t.up, t.conn.blocked = true, false
		t.conn.isUp()
	}
}

// Readable implements transport.Callbacks.
func (t *carrier) Readable() {
	t.conn.mayRead = true
	t.conn.requeueRead()
}

// Writable implements transport.Callbacks.
func (t *carrier) Writable() {
	t.conn.blocked = false
	t.conn.scheduleFlush()
}

// StartSecureTransport changes to the secure transport behind what was written so far. It
// reports whether that is possible: not with a transport that has no secure one, nor as
// long as output waits that the system does not take.
func (c *Conn) StartSecureTransport() bool {
	if c.transport == nil || c.state != network.Open {
		return false
	}
	s, ok := c.transport.socket.(transport.StartTLS)
	if !ok {
		return false
	}
	if c.out.Len() > 0 {
		c.writeEagerly()
	}
	return c.out.Len() == 0 && s.StartSecureTransport()
}
