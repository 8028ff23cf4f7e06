package conn

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

// Write passes data through the write filters to the peer and empties it.
func (c *Conn) Write(data *buffer.Buffer, endStream bool) { c.runWrite(c.lastWrite, data, endStream) }

func (c *Conn) canWrite() bool {
	return (c.state == network.Open || c.state == network.Connecting) && !c.writeEnded
}

// queue puts data into the write buffer.
func (c *Conn) queue(data *buffer.Buffer, endStream bool) {
	c.writeEnded = endStream
	c.countBytes(0, data.Len())
	c.out.Move(data)
	c.scheduleFlush()
	if c.out.Len() >= eagerWrite && c.flushQueued {
		c.writeEagerly()
	}
	if !c.aboveHigh && c.limit > 0 && c.out.Len() > c.limit {
		c.aboveHigh = true
		for i := 0; i < len(c.callbacks); i++ {
			c.callbacks[i].OnWriteBufferHigh()
		}
	}
}

// eagerWrite is the number of bytes that do not wait for the end of the turn: they
// are worth a system call, and still in the processor's cache.
const eagerWrite = 64 << 10

// writeEagerly writes what the socket takes now. All that follows from it, an error
// above all, is left to flush, since the caller does not expect it here.
func (c *Conn) writeEagerly() {
	if _, err := c.writeOut(); err == event.ErrAgain { //nolint:errorlint // the socket's own value
		c.blocked = true
	}
}

// scheduleFlush writes at the end of the turn, unless the socket takes nothing
// now: then Writable will come.
func (c *Conn) scheduleFlush() {
	if c.flushQueued || c.blocked || c.state == network.Connecting {
		return
	}
	c.flushQueued = true
	before := c.loop.SetOwner(c)
	c.loop.Defer(c.flusher)
	c.loop.SetOwner(before)
}

// flush writes what it can, and then does what waited for that.
func (c *Conn) flush() {
	c.flushQueued = false
	if c.state == network.Closed {
		return
	}
	n, err := c.writeOut()
	if err != nil && err != event.ErrAgain { //nolint:errorlint // the data path, and a socket returns it bare
		c.failed(err)
		return
	}
	c.blocked = err == event.ErrAgain //nolint:errorlint // the data path, and a socket returns it bare
	if c.aboveHigh && c.out.Len() <= c.limit/2 {
		c.aboveHigh = false
		for i := 0; i < len(c.callbacks) && c.state != network.Closed; i++ {
			c.callbacks[i].OnWriteBufferLow()
		}
	}
	c.gaugeWrite()
	if c.state != network.Closed && !c.blocked && c.Unsent() == 0 {
		c.flushed()
	} else if n > 0 && c.state == network.Closing {
		c.startDelay() // the peer takes the output, if slowly
	}
}

// writeOut writes until the buffer is empty, or the error says why not.
func (c *Conn) writeOut() (n int, err error) {
	if c.transport == nil {
		n, err = c.writePlain()
	} else {
		n, err = c.transport.socket.Write(&c.out, c.writeEnded)
	}
	if c.stats != nil && c.stats.WriteTotal != nil && n > 0 {
		c.stats.WriteTotal.Add(c.loop.Shard(), uint64(n))
	}
	return n, err
}

func (c *Conn) writePlain() (n int, err error) {
	if p := c.socket.Pipe(); p != nil {
		return p.Write(&c.out)
	}
	var room [event.MaxSlices][]byte
	for c.out.Len() > 0 && err == nil {
		var took int
		took, err = c.socket.Write(c.out.Slices(room[:0], len(room)))
		c.out.Drain(took)
		n += took
	}
	return n, err
}

// gaugeWrite tells the statistics how much the write buffer holds.
func (c *Conn) gaugeWrite() {
	if n := c.out.Len(); n != c.writeGauged && c.stats != nil && c.stats.WriteBuffered != nil {
		c.stats.WriteBuffered.Add(c.loop.Shard(), int64(n-c.writeGauged))
		c.writeGauged = n
	}
}

// flushed does what waited for the write buffer to be empty.
func (c *Conn) flushed() {
	if c.closing != notClosing {
		c.outputLeft()
		return
	}
	if c.writeEnded && !c.finSent && c.transport == nil {
		c.finSent = true
		// A connection that cannot be closed by halves stays open until both sides are
		// done; an error is one that reading shows too.
		_ = c.socket.CloseWrite()
	}
	c.closeIfDone(network.LocalClose)
}

// closeIfDone closes the connection when both halves are.
func (c *Conn) closeIfDone(e network.Event) {
	if c.readEnded && c.writeEnded && c.state == network.Open && c.Unsent() == 0 {
		c.close(e, false, "")
	}
}
