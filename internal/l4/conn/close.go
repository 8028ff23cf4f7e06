package conn

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

// closing says what a connection in the state Closing waits for.
type closing uint8

const (
	notClosing closing = iota
	// afterFlush: for the output to leave.
	afterFlush
	// afterDelay: also for the peer to close, or the delay to pass.
	afterDelay
)

// delayedCloseDetails is the close reason when the delay has passed.
const delayedCloseDetails = "triggered_delayed_close_timeout"

// Close closes the connection; see network.CloseType.
func (c *Conn) Close(t network.CloseType, details string) {
	if c.state == network.Closed {
		return
	}
	up := c.state != network.Connecting && (c.transport == nil || c.transport.up)
	flushable := up && c.Unsent() > 0
	switch {
	case t == network.AbortReset:
		c.close(network.LocalClose, true, details)
	case t == network.FlushWriteAndDelay && c.delay > 0 && !c.readEnded && up:
		c.beginClosing(afterDelay, details)
	case flushable && (t == network.FlushWrite || t == network.FlushWriteAndDelay):
		c.beginClosing(afterFlush, details)
	default:
		c.close(network.LocalClose, false, details)
	}
}

// beginClosing waits with the close. It may be called again for the other reason.
func (c *Conn) beginClosing(why closing, details string) {
	c.closing = max(c.closing, why)
	if c.state == network.Closing {
		return
	}
	c.state = network.Closing
	c.info.LocalCloseReason = details
	c.startDelay()
	if c.info.Secure && !c.writeEnded { // the peer is told at once
		c.writeEnded = true
		c.scheduleFlush()
	} else if c.Unsent() == 0 {
		c.outputLeft()
	}
}

// startDelay begins the delayed-close timeout anew.
func (c *Conn) startDelay() {
	if c.delay <= 0 {
		return
	}
	if c.delayTimer == nil {
		c.delayTimer = c.newTimer(c.delayPassed)
	}
	c.delayTimer.Enable(c.delay)
}

func (c *Conn) delayPassed() {
	if c.stats != nil && c.stats.DelayedCloseTimeouts != nil {
		c.stats.DelayedCloseTimeouts.Inc(c.loop.Shard())
	}
	c.discardInput()
	c.close(network.LocalClose, false, delayedCloseDetails)
}

// discardInput drops what the peer has sent since the output left. A socket that is
// closed with bytes unread resets the connection, and the peer may lose the output: a
// peer that speaks HTTP/2 always sends something, to acknowledge what it got. Others are
// reset, as by Envoy.
func (c *Conn) discardInput() {
	if !c.info.HasVersion || c.info.Version != httpmsg.HTTP2 {
		return
	}
	var room [1][]byte
	slices := c.in.Reserve(room[:0], 1)
	for budget := event.MaxBytesPerTurn; budget > 0; {
		n, err := c.socket.Read(slices)
		if budget -= n; n == 0 || err != nil {
			break
		}
	}
	c.in.Commit(slices, 0)
}

// outputLeft goes on with a close when the write buffer is empty.
func (c *Conn) outputLeft() {
	if c.closing == afterFlush || c.peerClosed {
		c.close(network.LocalClose, false, c.info.LocalCloseReason)
		return
	}
	c.startDelay()
}

// failed ends the connection after Read or Write returned err.
func (c *Conn) failed(err error) {
	if err == transport.ErrFailed { //nolint:errorlint // a transport returns it bare
		c.info.TransportFailure = c.transport.socket.Failure()
	}
	if event.IsReset(err) && c.state != network.Closed {
		c.info.CloseType = streaminfo.CloseRemoteReset
	}
	c.close(network.RemoteClose, false, "")
}

// close ends the connection and tells its callbacks.
func (c *Conn) close(e network.Event, reset bool, details string) {
	if c.state == network.Closed {
		return
	}
	c.state, c.raising = network.Closed, e
	if e == network.LocalClose {
		c.info.LocalCloseReason = details
	}
	if reset {
		c.info.CloseType = streaminfo.CloseLocalReset
	}
	if c.delayTimer != nil {
		c.delayTimer.Disable()
	}
	if c.connectTimer != nil {
		c.connectTimer.Disable()
	}
	c.release(reset)
	c.raise()
}

// release closes the transport and the socket, and drops what the buffers hold. It may
// be called again when the transport panicked.
func (c *Conn) release(reset bool) {
	if c.transport != nil {
		c.transport.close(!reset)
	}
	c.socket.Close(reset)
	c.out.Reset()
	c.gaugeWrite()
	if c.in.Len() > 0 {
		// A filter further up the stack may look at the blocks until it returns.
		c.loop.Defer(c.dropInput)
	}
}

func (c *Conn) dropInput() {
	c.in.Reset()
	c.gaugeRead()
}

// raise tells the callbacks of the end. Each is forgotten before it is called, so
// that a panic of one does not keep the others from being told by Kill.
func (c *Conn) raise() {
	for len(c.callbacks) > 0 {
		cb := c.callbacks[0]
		c.callbacks = c.callbacks[1:]
		cb.OnEvent(c.raising)
	}
}

// Kill ends the connection at once. It is for the loop's OnPanic, to be called in
// loop.Defer, when a callback of the connection panicked; callbacks that were not
// told of the end yet are told. It may be called again when that panics too.
func (c *Conn) Kill() {
	c.close(network.LocalClose, false, "panic")
	c.release(false)
	c.raise()
}
