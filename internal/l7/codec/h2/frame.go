package h2

import (
	"encoding/binary"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2/hpack"
)

// A frameType is the type of a frame (RFC 9113, section 6).
type frameType uint8

const (
	frameData         frameType = 0x0
	frameHeaders      frameType = 0x1
	framePriority     frameType = 0x2
	frameRSTStream    frameType = 0x3
	frameSettings     frameType = 0x4
	framePushPromise  frameType = 0x5
	framePing         frameType = 0x6
	frameGoAway       frameType = 0x7
	frameWindowUpdate frameType = 0x8
	frameContinuation frameType = 0x9
	frameMetadata     frameType = 0x4d // Envoy's
)

// The flags of frames.
const (
	flagAck         = 0x1 // SETTINGS, PING
	flagEndStream   = 0x1 // DATA, HEADERS
	flagEndHeaders  = 0x4 // HEADERS, CONTINUATION
	flagEndMetadata = 0x4 // METADATA
	flagPadded      = 0x8
	flagPriority    = 0x20
)

// The parameters of SETTINGS frames.
const (
	settingHeaderTableSize      = 0x1
	settingEnablePush           = 0x2
	settingMaxConcurrentStreams = 0x3
	settingInitialWindowSize    = 0x4
	settingMaxFrameSize         = 0x5
	settingEnableConnect        = 0x8
)

const (
	frameHeaderLen = 9
	rstStreamLen   = frameHeaderLen + 4
	// maxFrame is the largest payload, in both directions: more than the default is
	// neither announced nor used, so that streams take turns often.
	maxFrame      = 16384
	defaultWindow = 65535
	maxWindow     = 1<<31 - 1
	maxStreamID   = 1<<31 - 1
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// A frameHeader is what a frame begins with.
type frameHeader struct {
	length uint32
	typ    frameType
	flags  uint8
	stream uint32
}

func parseFrameHeader(p []byte) frameHeader {
	return frameHeader{
		length: uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2]),
		typ:    frameType(p[3]),
		flags:  p[4],
		stream: binary.BigEndian.Uint32(p[5:]) & maxStreamID,
	}
}

func appendFrameHeader(p []byte, length int, typ frameType, flags uint8, stream uint32) []byte {
	return append(p, byte(length>>16), byte(length>>8), byte(length), byte(typ), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// A writer appends frames to the output.
type writer struct {
	out     *buffer.Buffer
	hpack   hpack.Encoder
	rooms   [1][]byte
	pending outbound
}

// frame appends a short frame whole. A control frame is one that the peer can make us
// send.
func (w *writer) frame(typ frameType, flags uint8, stream uint32, payload []byte, control bool) {
	var room [frameHeaderLen + 64]byte
	p := appendFrameHeader(room[:0], len(payload), typ, flags, stream)
	w.out.Append(append(p, payload...))
	w.pending.add(frameHeaderLen+len(payload), control)
}

func (w *writer) rstStream(stream uint32, code ErrorCode) {
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], uint32(code))
	w.frame(frameRSTStream, 0, stream, p[:], true)
}

func (w *writer) windowUpdate(stream, increment uint32) {
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], increment)
	w.frame(frameWindowUpdate, 0, stream, p[:], false)
}

func (w *writer) ping(data []byte, ack bool) {
	flags := uint8(0)
	if ack {
		flags = flagAck
	}
	w.frame(framePing, flags, 0, data, ack)
}

func (w *writer) goAway(last uint32, code ErrorCode, debug string) {
	var room [64]byte
	p := binary.BigEndian.AppendUint32(room[:0], last)
	p = binary.BigEndian.AppendUint32(p, uint32(code))
	w.frame(frameGoAway, 0, 0, append(p, debug...), false)
}

// settings sends ours, and opens the connection's window.
func (w *writer) settings(s *Settings, client bool) {
	var p []byte
	add := func(id uint16, value uint32) {
		p = binary.BigEndian.AppendUint16(p, id)
		p = binary.BigEndian.AppendUint32(p, value)
	}
	if client {
		add(settingEnablePush, 0)
	}
	for _, custom := range s.Custom {
		add(custom.ID, custom.Value)
	}
	connect := uint32(0)
	if s.AllowConnect {
		connect = 1
	}
	add(settingHeaderTableSize, s.HeaderTableSize)
	add(settingEnableConnect, connect)
	add(settingMaxConcurrentStreams, s.MaxConcurrentStreams)
	add(settingInitialWindowSize, s.InitialStreamWindow)
	w.frame(frameSettings, 0, 0, p, false)
	if more := int64(s.InitialConnectionWindow) - defaultWindow; more > 0 {
		w.windowUpdate(0, uint32(more))
	}
}

// data moves n bytes of from into a DATA frame.
func (w *writer) data(stream uint32, from *buffer.Buffer, n int, endStream bool) {
	flags := uint8(0)
	if endStream {
		flags = flagEndStream
	}
	var room [frameHeaderLen]byte
	w.out.Append(appendFrameHeader(room[:0], n, frameData, flags, stream))
	w.out.MoveN(from, n)
	w.pending.add(frameHeaderLen+n, false)
}

// begin returns an empty slice with room for n bytes, at the end of the output if it
// has the room. Only commit may follow.
func (w *writer) begin(n int) []byte {
	room := w.out.Reserve(w.rooms[:0], 1)[0]
	if len(room) >= n {
		return room[:0:len(room)]
	}
	w.out.Commit(w.rooms[:], 0)
	w.rooms[0] = nil
	return make([]byte, 0, n)
}

// commit adds p, which began with what begin returned, to the output.
func (w *writer) commit(p []byte) {
	if room := w.rooms[0]; room != nil && len(p) <= len(room) {
		w.out.Commit(w.rooms[:], len(p))
	} else {
		if room != nil {
			w.out.Commit(w.rooms[:], 0)
		}
		w.out.Append(p)
	}
	w.rooms[0] = nil
}

// headers sends a header block as frames, and returns how many bytes that took. p
// holds room for a frame header and then the block; it began with begin.
func (w *writer) headers(stream uint32, p []byte, endStream bool) int {
	block := len(p) - frameHeaderLen
	flags := uint8(0)
	if endStream {
		flags = flagEndStream
	}
	if block <= maxFrame {
		appendFrameHeader(p[:0], block, frameHeaders, flags|flagEndHeaders, stream)
		w.commit(p)
		w.pending.add(len(p), false)
		return len(p)
	}
	p = append([]byte(nil), p[frameHeaderLen:]...) // out of the output's own room
	w.commit(w.begin(0))
	typ, sent := frameHeaders, 0
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		if n == len(p) {
			flags |= flagEndHeaders
		}
		var room [frameHeaderLen]byte
		w.out.Append(appendFrameHeader(room[:0], n, typ, flags, stream))
		w.out.Append(p[:n])
		w.pending.add(frameHeaderLen+n, false)
		p, sent = p[n:], sent+frameHeaderLen+n
		typ, flags = frameContinuation, 0
	}
	return sent
}
