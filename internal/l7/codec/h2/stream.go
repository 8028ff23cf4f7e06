package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A decoder is what request and response decoders have in common.
type decoder interface {
	Meter() *streaminfo.Meter
	DecodeData(data *buffer.Buffer, endStream bool)
	DecodeTrailers(trailers *httpmsg.Headers)
	codec.StreamCallbacks
}

// maxSpares bounds the streams that are kept for later.
const maxSpares = 1024

// Streams keeps streams that connections need no longer for others of the same loop, to
// which it belongs. The zero value is empty.
type Streams struct{ free []*stream }

func (p *Streams) take() *stream {
	n := len(p.free)
	if n == 0 {
		return new(stream)
	}
	s := p.free[n-1]
	p.free = p.free[:n-1]
	return s
}

func (p *Streams) put(s *stream) {
	if len(p.free) < maxSpares {
		s.c, s.exchange = nil, exchange{}
		p.free = append(p.free, s)
	}
}

// A stream is one exchange. It is recycled, see connection.recycle.
type stream struct {
	c *connection
	exchange
	held buffer.Buffer // data that came while reading was disabled
	send buffer.Buffer // data that waits for its turn or a window
}

// An exchange is what a stream knows of the one that it serves.
type exchange struct {
	// The user's side; decoder is nil when it wants no more calls. One of request and
	// response is the same, the other one nil.
	decoder  decoder
	request  codec.RequestDecoder
	response codec.ResponseDecoder
	details  string

	id   uint32 // 0 for a client's that has sent no headers
	open bool

	// What it is about.
	bodiless bool   // the response has no body: of HEAD, 204 or 304
	connect  bool   // CONNECT that is no upgrade; on a server one that is not accepted
	upgrade  bool   // extended CONNECT, an upgrade to the user
	protocol string // what a client's stream wants to upgrade to

	// Receiving.
	headersIn  bool  // the headers came, of a response the final ones
	tooLate    bool  // what comes is dropped: the response is complete
	remoteEnd  bool  // END_STREAM came
	delivered  bool  // and the decoder knows
	resumed    bool  // held data is to be delivered by the next Dispatch
	deferred   bool  // the end is held, too
	disabled   int32 // calls of ReadDisable(true) that are not taken back
	unconsumed int   // bytes delivered that the window gets back when reading resumes
	length     int64 // of the body, by content-length; -1 if it does not say
	body       int64 // bytes of the body that came
	receive    receiveWindow
	late       *httpmsg.Headers // trailers that came while reading was disabled
	metadata   []byte           // METADATA frames that are not complete

	// Sending.
	headersOut bool // the headers were sent
	localDone  bool // the user has ended the message
	localEnd   bool // END_STREAM was sent
	early      bool // it is in the connection's list
	above      bool // more than the limit waits
	told       bool // OnWriteBufferHigh was the last that the decoder heard
	queued     bool // it is in the connection's queue
	sendWindow int64
	next       *stream          // in the queue
	trailers   *httpmsg.Headers // that wait for data
}

// Sent implements Stream.
func (s *stream) Sent() bool { return !s.open || s.localEnd }

// ExpireFlush implements Stream.
func (s *stream) ExpireFlush() {
	if s.Sent() || s.c.dead {
		return
	}
	s.c.stats.TxFlushTimeout.Inc(s.c.shard)
	s.Reset(httpmsg.ResetLocalReset)
}

// Details implements Stream.
func (s *stream) Details() string { return s.details }

// EncodeData implements the encoders.
func (s *stream) EncodeData(data *buffer.Buffer, endStream bool) {
	c := s.c
	if !s.open || s.localDone || c.dead {
		data.Drain(data.Len())
		return
	}
	if s.bodiless && c.server {
		data.Drain(data.Len())
	}
	if data.Len() == 0 && !endStream {
		return
	}
	s.countData(data.Len())
	s.localDone = endStream
	switch {
	case s.send.Len() > 0:
	case data.Len() == 0:
		s.sendData(data, true)
	case c.queue.head == nil: // nobody's turn is before this one
		for s.maySend(data.Len()) > 0 && !c.blocked() {
			s.sendData(data, endStream)
		}
	}
	if data.Len() > 0 {
		c.stats.PendingSendBytes.Add(c.shard, int64(data.Len()))
		s.send.Init(data.Pool())
		s.send.Move(data)
		c.queue.push(s)
		c.pump()
	}
	if endStream {
		s.endEncoding()
	} else if s.open {
		s.watermark()
	}
	c.checkOutbound()
}

// countData counts a piece of the body as the frames that it fills.
func (s *stream) countData(n int) {
	frames := max((n+maxFrame-1)/maxFrame, 1)
	s.decoder.Meter().Sent += uint64(n + frames*frameHeaderLen)
}

// EncodeTrailers implements the encoders.
func (s *stream) EncodeTrailers(trailers *httpmsg.Headers) {
	c := s.c
	if !s.open || s.localDone || c.dead {
		return
	}
	if trailers.Len() == 0 {
		var none buffer.Buffer
		s.EncodeData(&none, true)
		return
	}
	s.localDone = true
	if s.send.Len() > 0 {
		s.trailers = new(httpmsg.Headers)
		s.trailers.CopyFrom(trailers)
	} else {
		s.sendTrailers(trailers)
	}
	s.endEncoding()
	c.checkOutbound()
}

// endEncoding is called when the user has ended the message, whether or not all of it
// was sent. A server's user has no more to do with the stream then.
func (s *stream) endEncoding() {
	if !s.open {
		return
	}
	if s.c.server {
		s.detach()
	}
	s.endStream()
}

// detach ends the delivery of the request. A decoder that knows of flushing hears of the
// end of the stream, which lives on until it has sent what it has.
func (s *stream) detach() {
	s.tooLate = true
	if _, ok := s.decoder.(FlushedDecoder); !ok || s.localEnd {
		s.decoder = nil
	}
	s.dropHeld()
}

// finishSending is called when all data that waited was sent, and the message is
// complete.
func (s *stream) finishSending() {
	if s.trailers != nil {
		s.sendTrailers(s.trailers)
		s.trailers = nil
	}
	if flushed, ok := s.decoder.(FlushedDecoder); ok && s.c.server {
		s.decoder = nil
		flushed.OnResponseSent()
	}
	s.endStream()
}

// endStream ends the stream if both messages are complete, on a server also if only
// the response is.
func (s *stream) endStream() {
	c := s.c
	switch {
	case !s.open || !s.localEnd:
	case s.remoteEnd && (s.delivered || s.tooLate):
		c.close(s)
	case c.server && !s.early && c.dispatching:
		s.early = true
		c.early = append(c.early, s)
	case c.server:
		code := NoError
		if s.connect {
			code = ConnectError
		}
		c.writer.rstStream(s.id, code)
		c.stats.TxReset.Inc(c.shard)
		c.close(s)
	}
}

// countReset counts a RST_STREAM frame that is about to be sent.
func (s *stream) countReset() {
	if s.decoder != nil && s.id != 0 {
		s.decoder.Meter().Sent += rstStreamLen
	}
}

// Reset implements codec.Stream.
func (s *stream) Reset(reason httpmsg.ResetReason) {
	c := s.c
	if !s.open || c.dead || c.server && s.localEnd {
		return
	}
	s.countReset()
	s.decoder = nil // for which this is no news
	c.resetStream(s, codeOf(reason), reason, "")
	if !c.dispatching {
		c.wake()
	}
}

// codeOf is what Envoy tells a peer.
func codeOf(reason httpmsg.ResetReason) ErrorCode {
	switch reason {
	case httpmsg.ResetLocalRefusedStream:
		return RefusedStream
	case httpmsg.ResetConnectError:
		return ConnectError
	case httpmsg.ResetProtocolError:
		return ProtocolError
	default:
		return InternalError
	}
}

// ReadDisable implements codec.Stream.
func (s *stream) ReadDisable(disable bool) {
	switch {
	case !s.open || s.decoder == nil:
		return
	case disable:
		s.disabled++
		return
	case s.disabled > 0:
		s.disabled--
	}
	if s.disabled > 0 {
		return
	}
	n := s.unconsumed
	s.unconsumed = 0
	s.consume(n)
	if s.holds() {
		s.resumed, s.c.resumed = true, true
		s.c.wake()
	} else if n > 0 && !s.c.dispatching {
		s.c.wake()
	}
}

// holds reports whether something waits until reading resumes.
func (s *stream) holds() bool { return s.held.Len() > 0 || s.remoteEnd && !s.delivered && !s.tooLate }

// setDeferred counts the streams whose end waits until reading resumes.
func (s *stream) setDeferred(deferred bool) {
	if s.deferred == deferred {
		return
	}
	if s.deferred = deferred; deferred {
		s.c.stats.DeferredStreamClose.Inc(s.c.shard)
	} else {
		s.c.stats.DeferredStreamClose.Dec(s.c.shard)
	}
}

// dropHeld gives up what waits, and gives the connection's window back.
func (s *stream) dropHeld() {
	n := s.unconsumed + s.held.Len()
	s.unconsumed, s.late = 0, nil
	s.held.Drain(s.held.Len())
	s.setDeferred(false)
	s.c.consumeConnection(n)
}

// deliver passes a piece of the body to the decoder, or holds it.
func (s *stream) deliver(piece *buffer.Buffer, last bool) {
	switch {
	case s.tooLate:
		s.c.consumeConnection(piece.Len())
		piece.Drain(piece.Len())
	case s.disabled > 0 || s.held.Len() > 0:
		s.held.Init(piece.Pool())
		s.held.Move(piece)
		s.setDeferred(last)
	default:
		s.pass(piece, last)
	}
}

// pass passes a piece of the body on now.
func (s *stream) pass(piece *buffer.Buffer, last bool) {
	n := piece.Len()
	s.delivered = last
	s.decoder.DecodeData(piece, last)
	piece.Drain(piece.Len())
	switch {
	case !s.open || s.tooLate:
		s.c.consumeConnection(n)
	case s.disabled > 0: // by this piece
		s.unconsumed += n
	default:
		s.consume(n)
	}
	if last && s.open {
		s.endStream()
	}
}

// deliverTrailers ends the message with trailers, or holds them.
func (s *stream) deliverTrailers(trailers *httpmsg.Headers) {
	switch {
	case s.tooLate:
	case s.disabled > 0 || s.held.Len() > 0:
		s.late = trailers
		s.setDeferred(true)
	default:
		s.passTrailers(trailers)
	}
}

func (s *stream) passTrailers(trailers *httpmsg.Headers) {
	s.delivered = true
	s.decoder.DecodeTrailers(trailers)
	if s.open {
		s.endStream()
	}
}

// deliverHeld passes on what waited. room is an empty buffer to do it with.
func (s *stream) deliverHeld(room *buffer.Buffer) {
	s.resumed = false
	if !s.open || s.disabled > 0 || !s.holds() {
		return
	}
	if last := s.remoteEnd && s.late == nil; last || s.held.Len() > 0 {
		if last {
			s.setDeferred(false)
		}
		room.Init(s.held.Pool())
		room.Move(&s.held)
		s.pass(room, last)
	}
	if s.open && s.late != nil && s.disabled == 0 {
		trailers := s.late
		s.late = nil
		s.setDeferred(false)
		s.passTrailers(trailers)
	}
}
