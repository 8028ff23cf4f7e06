package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A reader takes the bytes of the peer apart into frames. It keeps no more than a
// frame header, the payload of one frame other than DATA, and a header block.
type reader struct {
	prefaced int   // bytes of the preface that came
	settled  bool  // the first frame, SETTINGS, came
	have     uint8 // bytes of head that came
	head     [frameHeaderLen]byte

	frame frameHeader
	open  bool   // frame is valid: its payload is being read
	left  int    // bytes of the payload that are missing, of DATA without padding
	part  []byte // the payload of a frame that comes in pieces

	// Of a DATA frame.
	stream  *stream // nil if the payload is dropped
	padding int     // bytes behind the payload
	padded  bool    // the length of the padding is read
	body    buffer.Buffer

	block headerBlock
}

// forget drops what still comes for a stream that is gone.
func (r *reader) forget(s *stream) {
	if r.stream == s {
		r.stream = nil
	}
	if r.block.stream == s {
		r.block.stream = nil
	}
}

// read reads frames until data is empty.
func (c *connection) read(data *buffer.Buffer) *codec.Error {
	r := &c.reader
	for data.Len() > 0 && !c.dead && c.flooded == nil {
		var err *codec.Error
		switch {
		case c.server && r.prefaced < len(preface):
			err = c.readPreface(data)
		case !r.open:
			if r.readHead(data) {
				r.frame, r.have, r.open = parseFrameHeader(r.head[:]), 0, true
				r.left, r.part = int(r.frame.length), nil
				err = c.beginFrame()
			}
		case r.frame.typ == frameData:
			err = c.readData(data)
		default:
			err = c.readPayload(data)
		}
		if err == nil && r.open && r.left == 0 && r.frame.length == 0 {
			err = c.endEmptyFrame(data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) readPreface(data *buffer.Buffer) *codec.Error {
	r := &c.reader
	front := data.Front()
	n := min(len(front), len(preface)-r.prefaced)
	if string(front[:n]) != preface[r.prefaced:r.prefaced+n] {
		return c.silentError("invalid connection preface")
	}
	r.prefaced += n
	data.Drain(n)
	return nil
}

// readHead collects a frame header, and reports whether it is complete.
func (r *reader) readHead(data *buffer.Buffer) bool {
	for r.have < frameHeaderLen && data.Len() > 0 {
		n := copy(r.head[r.have:], data.Front())
		r.have += uint8(n)
		data.Drain(n)
	}
	return r.have == frameHeaderLen
}

// endEmptyFrame handles a frame without payload, for which no byte has to come.
func (c *connection) endEmptyFrame(data *buffer.Buffer) *codec.Error {
	if c.reader.frame.typ == frameData {
		return c.readData(data)
	}
	c.reader.open = false
	return c.onFrame(nil)
}

// readPayload reads a frame that is handled whole, or skipped.
func (c *connection) readPayload(data *buffer.Buffer) *codec.Error {
	r := &c.reader
	front := data.Front()
	switch {
	case r.skips():
		n := min(r.left, data.Len())
		data.Drain(n)
		r.left -= n
		r.open = r.left > 0
		return nil
	case len(front) >= r.left && r.part == nil:
		r.open = false
		err := c.onFrame(front[:r.left])
		data.Drain(r.left)
		return err
	}
	if r.part == nil {
		r.part = make([]byte, 0, r.left)
	}
	n := min(len(front), r.left)
	r.part = append(r.part, front[:n]...)
	data.Drain(n)
	if r.left -= n; r.left > 0 {
		return nil
	}
	payload := r.part
	r.part, r.open = nil, false
	return c.onFrame(payload)
}

// skips reports whether nobody wants the payload.
func (r *reader) skips() bool {
	switch r.frame.typ {
	case frameHeaders, framePriority, frameRSTStream, frameSettings, framePing, frameGoAway, frameWindowUpdate, frameContinuation:
		return false
	case frameMetadata:
		return r.stream == nil
	}
	return true
}

// readData passes on what came of a DATA frame.
func (c *connection) readData(data *buffer.Buffer) *codec.Error {
	r := &c.reader
	if !r.padded {
		r.padded = true
		if err := c.beginData(data); err != nil {
			return err
		}
	}
	end := r.frame.flags&flagEndStream != 0
	n := min(r.left, data.Len())
	r.left -= n
	piece := data
	if n < data.Len() {
		piece = &r.body
		piece.Init(data.Pool())
		piece.MoveN(data, n)
	}
	if s := r.stream; s != nil {
		last := end && r.left == 0
		if last {
			s.remoteEnd, r.stream = true, nil
		}
		if n > 0 || last {
			c.meterData(s, n)
			s.deliver(piece, last)
		}
	} else {
		c.consumeConnection(n)
	}
	piece.Drain(piece.Len())
	if r.left > 0 {
		return nil
	}
	if n := min(r.padding, data.Len()); n > 0 {
		data.Drain(n)
		r.padding -= n
	}
	r.open = r.padding > 0
	return nil
}

// meterData counts bytes of a body.
func (c *connection) meterData(s *stream, n int) {
	if s.decoder != nil {
		s.decoder.Meter().Received += uint64(n)
	}
}

// beginData handles the start of a DATA frame, with the length of its padding.
func (c *connection) beginData(data *buffer.Buffer) *codec.Error {
	r := &c.reader
	r.padding = 0
	if r.frame.flags&flagPadded != 0 {
		if r.left == 0 {
			return c.goAwayError(ProtocolError, "DATA: padding without length")
		}
		r.padding = int(data.Front()[0])
		data.Drain(1)
		if r.left--; r.padding > r.left {
			return c.goAwayError(ProtocolError, "DATA: invalid padding")
		}
		r.left -= r.padding
	}
	end := r.frame.flags&flagEndStream != 0
	overhead := int(r.frame.length) - r.left
	s := r.stream
	if err := c.inbound.payload(r.left, end, c.stats, c.shard); err != nil {
		c.fault(s, detailEmptyFramesFlood)
		return err
	}
	if s == nil {
		c.consumeConnection(overhead)
		return nil
	}
	c.meterData(s, frameHeaderLen+overhead)
	s.consume(overhead)
	s.body += int64(r.left)
	if s.length >= 0 && (s.body > s.length || end && s.body < s.length) {
		c.invalidLength(s)
	}
	return nil
}
