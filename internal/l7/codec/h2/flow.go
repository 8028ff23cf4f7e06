package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// A receiveWindow is what the peer may send on a stream or connection.
type receiveWindow struct {
	size     int32 // what it is when all was consumed
	left     int32
	consumed int32 // bytes that were consumed and that the peer was not told of
}

func newReceiveWindow(size uint32) receiveWindow {
	return receiveWindow{size: int32(size), left: int32(size)}
}

// take takes n bytes that the peer sent, and reports whether it was allowed to.
func (w *receiveWindow) take(n uint32) bool {
	if int64(n) > int64(w.left) {
		return false
	}
	w.left -= int32(n)
	return true
}

// consume gives n bytes back, and returns the increment that the peer is to be told
// now: half of the window, or 0.
func (w *receiveWindow) consume(n int) uint32 {
	w.consumed += int32(n)
	if w.consumed < w.size/2 {
		return 0
	}
	increment := w.consumed
	w.left += increment
	w.consumed = 0
	return uint32(increment)
}

// consumeConnection gives n bytes of the connection's window back.
func (c *connection) consumeConnection(n int) {
	if increment := c.receive.consume(n); increment > 0 && !c.dead {
		c.writer.windowUpdate(0, increment)
	}
}

// consume gives n bytes of the stream's window and of the connection's back.
func (s *stream) consume(n int) {
	if n == 0 {
		return
	}
	s.c.consumeConnection(n)
	if s.remoteEnd {
		return // no more is coming
	}
	if increment := s.receive.consume(n); increment > 0 && !s.c.dead {
		s.c.writer.windowUpdate(s.id, increment)
	}
}

// turnLimit bounds the output of one turn, as far as data waits for its turn in
// streams: it leaves at once, and what waits in the socket cannot be overtaken.
const turnLimit = 256 << 10

// blocked reports whether data must wait for the network connection.
func (c *connection) blocked() bool { return c.high || c.writer.out.Len() >= turnLimit }

// maySend is how many bytes of n one DATA frame of the stream may have now.
func (s *stream) maySend(n int) int {
	return int(max(min(int64(n), maxFrame, s.sendWindow, s.c.sendWindow), 0))
}

// sendData sends one frame with what the windows allow of from. end says that the
// message ends with the last byte.
func (s *stream) sendData(from *buffer.Buffer, end bool) {
	n := s.maySend(from.Len())
	end = end && n == from.Len()
	s.sendWindow -= int64(n)
	s.c.sendWindow -= int64(n)
	s.c.writer.data(s.id, from, n, end)
	s.c.inbound.dataSent()
	s.localEnd = end
}

// A sendQueue holds the streams that wait for their turn to send. One that waits for
// its own window is not in it.
type sendQueue struct{ head, tail *stream }

func (q *sendQueue) push(s *stream) {
	if s.queued {
		return
	}
	s.queued, s.next = true, nil
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.next = s
	}
	q.tail = s
}

func (q *sendQueue) pop() *stream {
	s := q.head
	if q.head = s.next; q.head == nil {
		q.tail = nil
	}
	s.queued, s.next = false, nil
	return s
}

func (q *sendQueue) remove(s *stream) {
	if !s.queued {
		return
	}
	var before *stream
	for at := q.head; at != s; at = at.next {
		before = at
	}
	if before == nil {
		q.pop()
		return
	}
	if before.next = s.next; s.next == nil {
		q.tail = before
	}
	s.queued, s.next = false, nil
}

// pump sends data that waits, a frame of each stream in turn.
func (c *connection) pump() {
	for c.queue.head != nil && c.sendWindow > 0 && !c.dead {
		if c.blocked() {
			if !c.high {
				c.wake() // when this has left
			}
			return
		}
		s := c.queue.pop()
		if s.sendWindow <= 0 {
			continue // comes back with a WINDOW_UPDATE
		}
		before := s.send.Len()
		s.sendData(&s.send, s.localDone && s.trailers == nil)
		c.stats.PendingSendBytes.Add(c.shard, int64(s.send.Len()-before))
		if s.send.Len() > 0 {
			c.queue.push(s)
		} else if s.localDone {
			s.finishSending()
			continue
		}
		s.watermark()
	}
}

// watermark compares the data that waits in the stream with its limit.
func (s *stream) watermark() {
	limit := int(s.c.settings.InitialStreamWindow)
	switch n := s.send.Len(); {
	case n > limit:
		s.above = true
	case n <= limit/2:
		s.above = false
	}
	s.tell()
}

// tell passes the watermarks of the stream and of the connection on, joined.
func (s *stream) tell() {
	stop := s.above || s.c.high
	if stop == s.told || s.decoder == nil {
		return
	}
	if s.told = stop; stop {
		s.decoder.OnWriteBufferHigh()
	} else {
		s.decoder.OnWriteBufferLow()
	}
}

// OnWriteBufferHigh implements codec.Connection.
func (c *connection) OnWriteBufferHigh() { c.setHigh(true) }

// OnWriteBufferLow implements codec.Connection. Data that waited may be put out: the
// owner sends it.
func (c *connection) OnWriteBufferLow() {
	c.setHigh(false)
	c.pump()
}

func (c *connection) setHigh(high bool) {
	c.high = high
	for s := c.after(0); s != nil; s = c.after(s.id) {
		s.tell()
	}
}
