// Package network is the contract of connections and of the filters on them
// (L3/L4): read filters, write filters, listener filters.
package network

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A CloseType says how Close treats output that has not left yet.
type CloseType uint8

const (
	// NoFlush drops the output and closes at once.
	NoFlush CloseType = iota
	// FlushWrite closes when the output has left.
	FlushWrite
	// FlushWriteAndDelay closes when the output has left and the peer has closed, or
	// the delayed-close timeout has passed: a peer that still sends gets no reset that
	// would destroy the output on its way.
	FlushWriteAndDelay
	// Abort drops the output.
	Abort
	// AbortReset drops the output and resets the connection (TCP RST).
	AbortReset
)

// An Event is something that happened to a connection as a whole.
type Event uint8

const (
	// Connected: an outgoing connection is up.
	Connected Event = iota
	// RemoteClose: the peer closed or reset, or connecting failed.
	RemoteClose
	// LocalClose: this side closed.
	LocalClose
)

// Callbacks receives the events of a connection. Called on its worker.
type Callbacks interface {
	// OnEvent is called once for Connected and once for one of the closes, which is
	// the last call.
	OnEvent(e Event)
	// OnWriteBufferHigh says that more output waits than the limit; producers stop
	// until OnWriteBufferLow.
	OnWriteBufferHigh()
	OnWriteBufferLow()
}

// A Connection is a network connection: a socket, its transport and its filters.
// It lives on one worker and all methods are called there.
//
// It has more than seven methods because it is the one thing that every protocol
// filter is written against.
type Connection interface {
	ID() uint64
	Dispatcher() event.Dispatcher
	// Info describes the connection; for an outgoing one Local and Remote are the
	// socket's.
	Info() *streaminfo.Connection
	// Stream is the stream info of the connection, which L4 access logs show.
	Stream() *streaminfo.Stream

	// Write passes data through the write filters to the peer and empties it. With
	// endStream the writing half is closed behind it; nothing may be written
	// afterwards. After a close it only empties data.
	Write(data *buffer.Buffer, endStream bool)
	// Close closes; details says why, for logs. Callbacks get LocalClose, at once
	// unless output is flushed first.
	Close(t CloseType, details string)
	// State tells whether the connection can still be used.
	State() State
	// ReadDisable stops (true) or resumes (false) reading from the peer; calls nest.
	// Data that is already buffered is delivered when reading resumes.
	ReadDisable(disable bool)
	// EnableHalfClose makes an end of the peer's stream arrive as OnData with
	// endStream, instead of closing the connection.
	EnableHalfClose(enable bool)

	AddCallbacks(cb Callbacks)
	RemoveCallbacks(cb Callbacks)
	// SetDelayedCloseTimeout is how long FlushWriteAndDelay waits; 0 means it does not.
	SetDelayedCloseTimeout(d time.Duration)
	// SetStats makes the connection count its bytes, nil ones excepted.
	SetStats(s *ConnectionStats)
	// AboveHighWatermark reports whether OnWriteBufferHigh came without a
	// OnWriteBufferLow since.
	AboveHighWatermark() bool
	BufferLimit() int
	// Unsent is the number of bytes that were written and that the socket has not taken.
	Unsent() int
	// TransportFailure is why the transport socket failed, "" if it did not.
	TransportFailure() string
}

// A ClientConnection is an outgoing connection: its user adds the filters, before
// it writes or returns to the loop.
type ClientConnection interface {
	Connection
	FilterManager
}

// A State is a connection's.
type State uint8

// The states.
const (
	Connecting State = iota
	Open
	Closing // output is flushed before it closes
	Closed
)

// ConnectionStats holds the byte statistics of a protocol's connections. Nil
// members are not counted.
type ConnectionStats struct {
	ReadTotal, WriteTotal       *stats.Counter
	ReadBuffered, WriteBuffered *stats.Gauge
	BindErrors                  *stats.Counter
	DelayedCloseTimeouts        *stats.Counter
}
