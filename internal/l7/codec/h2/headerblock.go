package h2

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A headerBlock is what came of HEADERS and CONTINUATION frames.
type headerBlock struct {
	active    bool    // CONTINUATION must follow
	id        uint32  // of the stream
	stream    *stream // nil if the block is only decoded, for the tables
	endStream bool
	length    int    // of the frames so far, with their headers
	bytes     []byte // of the block so far
}

// beginHeaders begins a header block: a message on a new stream, a response, or
// trailers.
func (c *connection) beginHeaders() *codec.Error {
	f := &c.reader.frame
	b := &c.reader.block
	if f.stream == 0 {
		return c.silentError("HEADERS: stream_id == 0")
	}
	*b = headerBlock{active: true, id: f.stream, endStream: f.flags&flagEndStream != 0, bytes: b.bytes[:0]}
	s := c.find(f.stream)
	if s == nil {
		var err *codec.Error
		if s, err = c.side.beginHeaders(f.stream); err != nil {
			return err
		}
	} else if s.remoteEnd {
		return c.streamFault(s, "HEADERS: stream in half-closed(remote)")
	} else if s.headersIn && c.server {
		c.stats.Trailers.Inc(c.shard)
	}
	b.stream = s
	return nil
}

// countBlockFrame takes note of a HEADERS or CONTINUATION frame with n bytes of a
// header block.
func (c *connection) countBlockFrame(n int) *codec.Error {
	b := &c.reader.block
	f := &c.reader.frame
	b.length += frameHeaderLen + int(f.length)
	err := c.inbound.payload(n, f.typ == frameHeaders && b.endStream, c.stats, c.shard)
	if err != nil {
		c.fault(b.stream, detailEmptyFramesFlood)
	}
	return err
}

// onHeadersFrame takes padding and priority off the payload of a HEADERS frame.
func (c *connection) onHeadersFrame(p []byte) *codec.Error {
	flags := c.reader.frame.flags
	padding := 0
	if flags&flagPadded != 0 {
		if len(p) == 0 {
			return c.badSize()
		}
		padding, p = int(p[0]), p[1:]
	}
	if flags&flagPriority != 0 {
		if len(p) < 5 {
			return c.badSize()
		}
		if err := c.checkDependency(p); err != nil {
			return err
		}
		p = p[5:]
	}
	if padding > len(p) {
		return c.goAwayError(ProtocolError, "HEADERS: invalid padding")
	}
	p = p[:len(p)-padding]
	if err := c.countBlockFrame(len(p)); err != nil {
		return err
	}
	return c.onFragment(p)
}

// onFragment takes a piece of a header block, which the last one completes.
func (c *connection) onFragment(p []byte) *codec.Error {
	b := &c.reader.block
	complete := c.reader.frame.flags&flagEndHeaders != 0
	if len(b.bytes)+len(p) > c.maxBlock() {
		c.stats.HeaderListSizeTooLarge.Inc(c.shard)
		err := c.goAwayError(EnhanceYourCalm, "header block too large")
		c.fault(b.stream, detailHeadersTooLarge)
		return err
	}
	if !complete || len(b.bytes) > 0 {
		b.bytes = append(b.bytes, p...)
		p = b.bytes
	}
	if !complete {
		return nil
	}
	b.active = false
	err := c.decodeBlock(p)
	if cap(b.bytes) > keptBlock {
		b.bytes = nil
	}
	return err
}

// keptBlock is the memory that an idle connection keeps for header blocks.
const keptBlock = 512

// maxBlock bounds a header block before it is decoded. It leaves room to find out,
// and reset the stream only, if the header section is not much too large.
func (c *connection) maxBlock() int { return 2*c.settings.maxHeaders() + maxFrame }

// decodeBlock decodes a complete header block, and acts on it.
func (c *connection) decodeBlock(p []byte) *codec.Error {
	b := &c.reader.block
	f := &c.section
	s := b.stream
	f.begin(c, s)
	room, err := c.hpack.DecodeMessage(p, c.emit)
	if f.to != nil {
		f.to.SetArena(room)
	}
	if s != nil && s.decoder != nil {
		s.decoder.Meter().DecompressedHeaderReceived += uint64(f.size)
	}
	if err != nil {
		fail := c.goAwayError(CompressionError, "")
		fail.Cause = err.Error()
		c.fault(s, detailCodec)
		return fail
	}
	if s == nil {
		return nil
	}
	if f.dropped > 0 {
		c.stats.DroppedHeadersWithUnderscores.Add(c.shard, uint64(f.dropped))
	}
	if f.fault == faultNone {
		f.end(b.endStream)
	}
	if f.fault != faultNone {
		return c.onFault(s, f)
	}
	if s.decoder != nil {
		m := s.decoder.Meter()
		m.Received += uint64(b.length)
		m.HeaderReceived += uint64(b.length)
	}
	if f.kind == isTrailers {
		if s.length >= 0 && s.body < s.length {
			c.invalidLength(s)
			return nil
		}
		s.remoteEnd = true
		s.deliverTrailers(f.to)
		return nil
	}
	s.length = f.length
	if b.endStream {
		s.remoteEnd = true
	}
	return c.side.onHeaders(s, f, b.endStream)
}

// onFault acts on a header section that is not accepted.
func (c *connection) onFault(s *stream, f *section) *codec.Error {
	detail := ""
	switch f.fault {
	case faultField:
		return c.invalid(s, detailInvalidHeader, f.cause)
	case faultMessage:
		return c.invalid(s, detailMessaging, f.cause)
	case faultFieldSize:
		err := c.goAwayError(CompressionError, "header field too large")
		c.fault(s, detailCodec)
		return err
	case faultUnderscore:
		detail = detailUnderscore
		c.stats.RequestsRejectedForUnderscores.Inc(c.shard)
	case faultCount:
		detail = detailTooManyHeaders
		c.stats.HeaderOverflow.Inc(c.shard)
	default:
		detail = detailHeadersTooLarge
		c.stats.HeaderListSizeTooLarge.Inc(c.shard)
	}
	c.resetStream(s, InternalError, httpmsg.ResetRemoteReset, detail)
	return nil
}

// invalid acts on a message that is malformed: it ends the connection, without a
// GOAWAY as in Envoy, or only the stream.
func (c *connection) invalid(s *stream, detail, cause string) *codec.Error {
	c.stats.RxMessagingError.Inc(c.shard)
	if c.settings.StreamErrorOnInvalidMessaging {
		c.resetInvalid(s, detail)
		return nil
	}
	c.fault(s, detail)
	return c.silentError(cause)
}
