package grpc

import (
	"encoding/binary"
	"math"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// HeaderSize is the length of what precedes each message in a body: a byte of flags and
// the length of the message in four.
const HeaderSize = 5

// The flags of a frame.
const (
	Compressed = 1 << 0
	// ConnectEnd marks the last frame of a response of the Connect protocol.
	ConnectEnd = 1 << 1
	// WebTrailers marks the trailers in a gRPC-Web body.
	WebTrailers = 1 << 7
)

// A Header is that of a frame.
type Header [HeaderSize]byte

// NewHeader returns the header of a message of n bytes.
func NewHeader(flags byte, n int) Header {
	h := Header{flags}
	binary.BigEndian.PutUint32(h[1:], uint32(n))
	return h
}

// Flags returns the flags.
func (h *Header) Flags() byte { return h[0] }

// Len returns the length of the message.
func (h *Header) Len() int { return int(binary.BigEndian.Uint32(h[1:])) }

// Prepend puts a header before message, which holds n bytes or will.
func Prepend(message *buffer.Buffer, n int) {
	h := NewHeader(0, n)
	var rest buffer.Buffer
	rest.Init(message.Pool())
	rest.Move(message)
	message.Append(h[:])
	message.Move(&rest)
}

// A Cutter finds the frames in a stream of bytes. The zero Cutter is at the start of a
// frame.
type Cutter struct {
	header Header
	have   int // bytes of the header
	left   int // bytes of the message that are missing, once the header is complete
}

// Next takes bytes from the front of p: what is missing of a header or, behind that, of
// its message. first is set for the first byte of a frame, and last for its last one; data
// are the bytes of the message.
func (c *Cutter) Next(p []byte) (data, rest []byte, first, last bool) {
	if c.have < HeaderSize {
		first = c.have == 0
		n := copy(c.header[c.have:], p)
		c.have += n
		if c.have < HeaderSize {
			return nil, p[n:], first, false
		}
		p, c.left = p[n:], c.header.Len()
	}
	n := min(c.left, len(p))
	c.left -= n
	if last = c.left == 0; last {
		c.have = 0
	}
	return p[:n], p[n:], first, last
}

// Header returns the header of the frame that Next took bytes of last: all of it once
// there was data or the end of the frame, and the flags from the first byte on.
func (c *Cutter) Header() *Header { return &c.header }

// InHeader reports whether a frame has begun and its header is not complete.
func (c *Cutter) InHeader() bool { return c.have > 0 && c.have < HeaderSize }

// InMessage reports whether the header of a frame is complete and the frame is not.
func (c *Cutter) InMessage() bool { return c.have == HeaderSize }

// A Counter counts the frames of a body as they begin. The zero Counter is ready.
type Counter struct {
	// Frames is how many there were.
	Frames int
	cutter Cutter
}

// Count looks at a piece of the body, and returns how many frames began in it.
func (c *Counter) Count(body *buffer.Buffer) (began int) {
	var room [16][]byte
	for _, p := range body.Slices(room[:0], math.MaxInt) {
		for len(p) > 0 {
			var first bool
			if _, p, first, _ = c.cutter.Next(p); first {
				began++
			}
		}
	}
	c.Frames += began
	return began
}
