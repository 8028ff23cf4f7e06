// Package connection holds a fake connection, for tests of network filters: the
// test plays the peer and reads what was written.
package connection

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// A Fake is a network.ClientConnection with the order of filters of a real one,
// and without a socket: what is written to it is in Output at once. Its members
// are for the test to read, and to set before the first call.
type Fake struct {
	Loop *loop.Fake
	// Output is all that was written, OutputEnded that its end was.
	Output      string
	OutputEnded bool
	// Closed is how the connection was closed by its user, CloseDetails why; WasClosed
	// says that it was.
	WasClosed    bool
	CloseType    network.CloseType
	CloseDetails string
	// ReadDisabled is the depth of ReadDisable.
	ReadDisabled int
	HalfClose    bool
	Limit        int
	Failure      string // what TransportFailure returns
	Stats        *network.ConnectionStats
	DelayedClose time.Duration

	state     network.State
	info      streaminfo.Connection
	stream    streaminfo.Stream
	in        buffer.Buffer
	ended     bool
	reads     []*readFilter
	writes    []*writeFilter
	callbacks []network.Callbacks
	choice    network.UpstreamChoice
	high      bool
}

var _ network.ClientConnection = (*Fake)(nil)

// New returns an open connection on l.
func New(l *loop.Fake) *Fake {
	c := &Fake{Loop: l, state: network.Open}
	c.info.ID, c.info.Accepted = 1, l.Now()
	c.stream.Start, c.stream.Downstream = l.Now(), &c.info
	c.in.Init(l.Buffers())
	return c
}

// Start tells the filters that the connection is up.
func (c *Fake) Start() { c.run(0, &c.in, false) }

// Receive is what the peer sends. While reading is disabled it waits.
func (c *Fake) Receive(text string, end bool) {
	c.in.AppendString(text)
	c.ended = c.ended || end
	c.stream.BytesReceived += uint64(len(text))
	c.deliver()
}

func (c *Fake) deliver() {
	if c.ReadDisabled == 0 && c.state == network.Open {
		c.run(0, &c.in, c.ended)
	}
}

// Unread returns what was received and not taken by a filter.
func (c *Fake) Unread() string { return c.in.String() }

// Raise tells the callbacks of an event: Connected, or an end of the connection.
func (c *Fake) Raise(e network.Event) {
	if e != network.Connected {
		if c.state == network.Closed {
			return
		}
		c.state = network.Closed
		c.in.Reset()
	}
	for i := 0; i < len(c.callbacks); i++ {
		if c.callbacks[i] != nil {
			c.callbacks[i].OnEvent(e)
		}
	}
}

// SetHigh moves the write buffer above its high watermark, or below its low one.
func (c *Fake) SetHigh(high bool) {
	c.high = high
	for i := 0; i < len(c.callbacks); i++ {
		switch {
		case c.callbacks[i] == nil:
		case high:
			c.callbacks[i].OnWriteBufferHigh()
		default:
			c.callbacks[i].OnWriteBufferLow()
		}
	}
}

// Write passes data through the write filters into Output.
func (c *Fake) Write(data *buffer.Buffer, endStream bool) { c.write(len(c.writes)-1, data, endStream) }

func (c *Fake) write(from int, data *buffer.Buffer, endStream bool) {
	for i := from; i >= 0 && c.state == network.Open; i-- {
		if c.writes[i].filter.OnWrite(data, endStream) == network.StopIteration {
			data.Drain(data.Len())
			return
		}
	}
	if c.state == network.Open && !c.OutputEnded {
		c.Output += data.String()
		c.stream.BytesSent += uint64(data.Len())
		c.OutputEnded = endStream
	}
	data.Drain(data.Len())
}

// Close notes how it was called and tells the callbacks; nothing is flushed.
func (c *Fake) Close(t network.CloseType, details string) {
	if c.state == network.Closed {
		return
	}
	c.WasClosed, c.CloseType, c.CloseDetails = true, t, details
	c.info.LocalCloseReason = details
	c.Raise(network.LocalClose)
}

// ReadDisable counts; what was received meanwhile is delivered by the loop's next
// turn.
func (c *Fake) ReadDisable(disable bool) {
	if disable {
		c.ReadDisabled++
		return
	}
	c.ReadDisabled--
	if c.ReadDisabled == 0 && (c.in.Len() > 0 || c.ended) {
		c.Loop.Post(c.deliver)
	}
}

// ID returns 1, unless Info was changed.
func (c *Fake) ID() uint64 { return c.info.ID }

// Dispatcher returns Loop.
func (c *Fake) Dispatcher() event.Dispatcher { return c.Loop }

// Info describes the connection.
func (c *Fake) Info() *streaminfo.Connection { return &c.info }

// Stream is the stream info of the connection.
func (c *Fake) Stream() *streaminfo.Stream { return &c.stream }

// State is Open until Raise or Close.
func (c *Fake) State() network.State { return c.state }

// EnableHalfClose sets HalfClose.
func (c *Fake) EnableHalfClose(enable bool) { c.HalfClose = enable }

// AddCallbacks adds cb.
func (c *Fake) AddCallbacks(cb network.Callbacks) { c.callbacks = append(c.callbacks, cb) }

// RemoveCallbacks undoes AddCallbacks.
func (c *Fake) RemoveCallbacks(cb network.Callbacks) {
	for i := range c.callbacks {
		if c.callbacks[i] == cb {
			c.callbacks[i] = nil
			return
		}
	}
}

// SetDelayedCloseTimeout sets DelayedClose.
func (c *Fake) SetDelayedCloseTimeout(d time.Duration) { c.DelayedClose = d }

// SetStats sets Stats.
func (c *Fake) SetStats(s *network.ConnectionStats) { c.Stats = s }

// AboveHighWatermark reports what SetHigh set.
func (c *Fake) AboveHighWatermark() bool { return c.high }

// Unsent returns 0: what is written is sent at once.
func (c *Fake) Unsent() int { return 0 }

// BufferLimit returns Limit.
func (c *Fake) BufferLimit() int { return c.Limit }

// TransportFailure returns Failure.
func (c *Fake) TransportFailure() string { return c.Failure }
