// Package conn is the connection: a socket on a loop with its read and write
// buffers, its filters and the ways to end it.
//
// Reading happens when the loop says so: bytes go into pooled blocks, through the
// read filters, and what no filter takes stays in the read buffer. Writing
// appends to the write buffer; all output of a turn leaves at its end in one
// system call. Both buffers give their blocks back as soon as they are empty. Between
// the buffers and the socket there may be a transport, as TLS.
package conn

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	apievent "github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// A Conn is a network.ClientConnection. NewServer and Dial make it.
type Conn struct {
	loop *event.Loop // changed by Attach only

	// set by the constructor, read-only after
	limit   int    // of each buffer, in bytes; 0: none
	flusher func() // c.flush, kept because a method value costs an allocation
	client  bool

	// owned by the loop's goroutine
	state     network.State
	socket    event.Socket
	transport *carrier // nil: bytes go to the socket as they are
	info      streaminfo.Connection
	details   *streaminfo.Stream // nil until Stream is called
	meter     streaminfo.Meter
	stats     *network.ConnectionStats
	choice    network.UpstreamChoice

	// who is told
	callbacks []network.Callbacks
	firstTwo  [2]network.Callbacks // callbacks' first place
	firstRead readFilter           // in use if its filter is not nil
	lastRead  *readFilter
	lastWrite *writeFilter

	// reading
	in           buffer.Buffer
	readDisabled int32
	blocks       int32 // how many to read into at once
	halfClose    bool
	readBounded  bool // reading stopped because the read buffer was full
	mayRead      bool // the socket may hold bytes that were not read
	redeliver    bool // in was not delivered when it could have been
	readEnded    bool // the peer's end was read
	peerClosed   bool // the peer's end was announced
	readGauged   int  // bytes of in that the statistics know of

	// writing
	out         buffer.Buffer
	writeGauged int
	flushQueued bool
	blocked     bool // the last write did not fit: Writable will come
	aboveHigh   bool
	writeEnded  bool // nothing may be written any more
	finSent     bool

	// ending
	closing      closing
	raising      network.Event // the close that callbacks are being told
	timedOut     bool
	delay        time.Duration // of FlushWriteAndDelay
	delayTimer   apievent.Timer
	connectTimer apievent.Timer
}

var _ network.ClientConnection = (*Conn)(nil)

// A Config describes a new connection.
type Config struct {
	// ID is unique in the process.
	ID uint64
	// BufferLimit bounds the read buffer and is the high watermark of the write
	// buffer, in bytes. 0: no limit.
	BufferLimit int
	// MeasureRTT asks for Info().RTT, which costs a system call.
	MeasureRTT bool
	// Transport changes the bytes on their way; nil for none.
	Transport transport.Socket
	// Pipe takes the place of the socket, of which the addresses are still told; nil for
	// none. The connection stays on its loop.
	Pipe *event.Pipe
}

func newConn(l *event.Loop, cfg Config) *Conn {
	c := &Conn{loop: l, limit: cfg.BufferLimit, blocks: 1}
	c.info.ID = cfg.ID
	c.callbacks = c.firstTwo[:0]
	c.flusher = c.flush
	c.in.Init(l.Buffers())
	c.out.Init(l.Buffers())
	if cfg.Transport != nil {
		c.transport = newCarrier(c, cfg.Transport)
	}
	return c
}

// NewServer returns the connection of an accepted socket. The caller may change
// Info, adds callbacks and filters, and calls Start.
func NewServer(l *event.Loop, s sock.Socket, cfg Config) *Conn {
	c := newConn(l, cfg)
	c.info.Accepted = l.Now()
	c.info.Local, c.info.Remote = s.Local, s.Remote
	c.info.DirectLocal, c.info.DirectRemote = s.Local, s.Remote
	if cfg.Pipe != nil {
		c.socket.OpenPipe(cfg.Pipe)
	} else {
		c.socket.Open(s.FD, s.Conn, s.Dial)
	}
	if cfg.MeasureRTT {
		c.info.RTT, c.info.HasRTT = c.socket.RTT()
	}
	return c
}

// Start puts an accepted connection on its loop and tells its filters that it is
// up. It is called once.
func (c *Conn) Start() {
	before := c.loop.SetOwner(c)
	defer c.loop.SetOwner(before)
	c.state = network.Open
	if err := c.socket.Attach(c.loop, c, event.Readable); err != nil {
		c.close(network.LocalClose, false, err.Error())
		return
	}
	if c.transport != nil {
		c.transport.start()
	}
	c.runRead(c.firstFilter(), &c.in, false)
}

// OnReady is called by the loop only.
func (c *Conn) OnReady(r event.Ready) {
	if c.state == network.Connecting && !c.connected() {
		return
	}
	if r&(event.PeerClosed|event.Failed) != 0 {
		c.peerClosed = true
	}
	if r&event.Writable != 0 && c.blocked {
		c.blocked = false
		c.flush()
	}
	if r&event.Readable != 0 {
		c.mayRead = true
		c.read()
	}
	if c.peerClosed && c.endsEarly(r) {
		c.close(network.RemoteClose, false, "")
	}
}

// endsEarly reports whether the connection ends because the peer is gone though
// nobody wants to read what it sent before. An upstream connection does not: what
// was sent is a response that somebody waits for.
func (c *Conn) endsEarly(r event.Ready) bool {
	switch c.state {
	case network.Open:
		return c.readDisabled > 0 && !c.halfClose && !c.client
	case network.Closing:
		// A peer that only sends no more still gets the output.
		return r&event.Failed != 0 || c.Unsent() == 0
	}
	return false
}

// ID returns the connection's number.
func (c *Conn) ID() uint64 { return c.info.ID }

// Dispatcher returns the loop the connection lives on.
func (c *Conn) Dispatcher() apievent.Dispatcher { return c.loop }

// Info describes the connection.
func (c *Conn) Info() *streaminfo.Connection { return &c.info }

// Stream returns the stream info of the connection; it is made at the first call.
func (c *Conn) Stream() *streaminfo.Stream {
	if c.details == nil {
		c.details = &streaminfo.Stream{
			Start:           c.info.Accepted,
			Downstream:      &c.info,
			BytesReceived:   c.meter.Received,
			BytesSent:       c.meter.Sent,
			DownstreamBytes: c.meter,
		}
	}
	return c.details
}

// countBytes adds to the meter, and to the stream info if there is one.
func (c *Conn) countBytes(received, sent int) {
	c.meter.Received += uint64(received)
	c.meter.Sent += uint64(sent)
	if s := c.details; s != nil {
		s.BytesReceived += uint64(received)
		s.BytesSent += uint64(sent)
		s.DownstreamBytes.Received += uint64(received)
		s.DownstreamBytes.Sent += uint64(sent)
	}
}

// State tells whether the connection can still be used.
func (c *Conn) State() network.State {
	if c.state == network.Open && c.client && c.transport != nil && !c.transport.up {
		return network.Connecting
	}
	return c.state
}

// EnableHalfClose makes the peer's end arrive as OnData with endStream.
func (c *Conn) EnableHalfClose(enable bool) { c.halfClose = enable }

// SetStats makes the connection count its bytes.
func (c *Conn) SetStats(s *network.ConnectionStats) {
	c.stats = s
	if s != nil && s.ReadTotal != nil && c.in.Len() > 0 { // listener filters let it come
		s.ReadTotal.Add(c.loop.Shard(), uint64(c.in.Len()))
	}
}

// SetBufferLimit changes the limit of each buffer, before there are filters that may write.
func (c *Conn) SetBufferLimit(n int) { c.limit = n }

// BufferLimit returns the limit of each buffer in bytes, 0 if there is none.
func (c *Conn) BufferLimit() int { return c.limit }

// Unsent returns the number of bytes that wait to be sent.
func (c *Conn) Unsent() int {
	if c.transport != nil && c.state != network.Closed {
		return c.out.Len() + c.transport.socket.Unsent()
	}
	return c.out.Len()
}

// AboveHighWatermark reports whether too much output waits.
func (c *Conn) AboveHighWatermark() bool { return c.aboveHigh }

// TransportFailure is why connecting or the transport failed, as "delayed connect
// error: Connection refused"; "" if it did not.
func (c *Conn) TransportFailure() string { return c.info.TransportFailure }

// SetDelayedCloseTimeout is how long FlushWriteAndDelay waits.
func (c *Conn) SetDelayedCloseTimeout(d time.Duration) { c.delay = d }

// AddCallbacks adds cb to those that are told of events.
func (c *Conn) AddCallbacks(cb network.Callbacks) {
	for i := range c.callbacks {
		if c.callbacks[i] == (removed{}) {
			c.callbacks[i] = cb
			return
		}
	}
	c.callbacks = append(c.callbacks, cb)
}

// RemoveCallbacks undoes AddCallbacks; cb is told nothing more.
func (c *Conn) RemoveCallbacks(cb network.Callbacks) {
	for i := range c.callbacks {
		if c.callbacks[i] == cb {
			c.callbacks[i] = removed{}
			return
		}
	}
}

// removed takes the place of callbacks that were removed, so that a loop over
// them that is under way is not disturbed.
type removed struct{}

func (removed) OnEvent(network.Event) {}
func (removed) OnWriteBufferHigh()    {}
func (removed) OnWriteBufferLow()     {}

// newTimer returns a timer whose panics are blamed on the connection.
func (c *Conn) newTimer(f func()) apievent.Timer {
	before := c.loop.SetOwner(c)
	defer c.loop.SetOwner(before)
	return c.loop.NewTimer(f)
}
