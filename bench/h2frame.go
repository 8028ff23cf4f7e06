//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	frameHeader  = 9
	maxFrame     = 16 << 10 // RFC 9113's default, which neither side here changes
	defaultTable = 4096     // of HPACK, likewise: header blocks are encoded for it
	startWindow  = 65535    // of connections, and of streams until SETTINGS say otherwise
)

var (
	errFrameSize  = errors.New("HTTP/2: malformed frame, or one of a size that was not allowed")
	errPadding    = errors.New("HTTP/2: padding, a priority or CONTINUATION, which no peer sends here")
	errTableSize  = errors.New("HTTP/2: SETTINGS with a smaller header table than by default")
	errWindow     = errors.New("HTTP/2: no window for a small message")
	errConnClosed = errors.New("HTTP/2: GOAWAY or RST_STREAM")
)

// A frame of HTTP/2.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	stream  uint32
	payload []byte
}

// appendFrame appends f as it is sent.
func appendFrame(out []byte, f frame) []byte {
	n := len(f.payload)
	out = append(out, byte(n>>16), byte(n>>8), byte(n), byte(f.kind), byte(f.flags))
	out = binary.BigEndian.AppendUint32(out, f.stream)
	return append(out, f.payload...)
}

// appendOn appends frames that were encoded before, on the stream given.
func appendOn(out, frames []byte, stream uint32) []byte {
	start := len(out)
	out = append(out, frames...)
	for start < len(out) {
		h := out[start:]
		binary.BigEndian.PutUint32(h[5:], stream)
		start += frameHeader + (int(h[0])<<16 | int(h[1])<<8 | int(h[2]))
	}
	return out
}

func appendWindowUpdate(out []byte, stream uint32, n int) []byte {
	return appendFrame(out, frame{http2.FrameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(n))})
}

func appendSettings(out []byte, settings ...http2.Setting) []byte {
	var payload []byte
	for _, s := range settings {
		payload = binary.BigEndian.AppendUint16(payload, uint16(s.ID))
		payload = binary.BigEndian.AppendUint32(payload, s.Val)
	}
	return appendFrame(out, frame{http2.FrameSettings, 0, 0, payload})
}

// A frameReader cuts the bytes of a connection into frames.
type frameReader struct {
	buf  []byte
	next int // start in buf of the next frame
}

// push adds bytes. Payloads that were read before are no longer valid.
func (r *frameReader) push(p []byte) {
	r.buf = append(r.buf[:copy(r.buf, r.buf[r.next:])], p...)
	r.next = 0
}

// read returns the next frame, false if it is not complete.
func (r *frameReader) read() (f frame, ok bool, err error) {
	p := r.buf[r.next:]
	if len(p) < frameHeader {
		return frame{}, false, nil
	}
	length := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	if length > maxFrame {
		return frame{}, false, errFrameSize
	}
	if len(p) < frameHeader+length {
		return frame{}, false, nil
	}
	r.next += frameHeader + length
	return frame{
		kind:    http2.FrameType(p[3]),
		flags:   http2.Flags(p[4]),
		stream:  binary.BigEndian.Uint32(p[5:]) &^ (1 << 31),
		payload: p[frameHeader : frameHeader+length],
	}, true, nil
}

// A flow is what both sides of a connection do with frames that are not of one
// request: settings, pings and windows.
type flow struct {
	window   int  // for DATA to the peer
	initial  int  // the peer's window of new streams
	received int  // DATA that the connection's window has not been enlarged for
	small    bool // the peer wants a smaller header table than the default
}

// handle takes f and appends the reply to out. adjust is what a stream's window
// grows by: f.stream's, or with stream 0 each one's that is open.
func (w *flow) handle(f frame, out []byte) (reply []byte, adjust int, err error) {
	switch f.kind {
	case http2.FramePing:
		if f.flags.Has(http2.FlagPingAck) {
			return out, 0, nil
		}
		return appendFrame(out, frame{f.kind, http2.FlagPingAck, 0, f.payload}), 0, nil
	case http2.FrameWindowUpdate:
		if len(f.payload) != 4 {
			return out, 0, errFrameSize
		}
		n := int(binary.BigEndian.Uint32(f.payload) &^ (1 << 31))
		if f.stream == 0 {
			w.window += n
			return out, 0, nil
		}
		return out, n, nil
	case http2.FrameSettings:
		if f.flags.Has(http2.FlagSettingsAck) {
			return out, 0, nil
		}
		for p := f.payload; len(p) >= 6; p = p[6:] {
			value := binary.BigEndian.Uint32(p[2:])
			switch http2.SettingID(binary.BigEndian.Uint16(p)) {
			case http2.SettingInitialWindowSize:
				adjust = int(value) - w.initial
				w.initial = int(value)
			case http2.SettingHeaderTableSize:
				w.small = value < defaultTable
			}
		}
		return appendFrame(out, frame{f.kind, http2.FlagSettingsAck, 0, nil}), adjust, nil
	}
	return out, 0, nil
}

// take counts the DATA that has come and enlarges the connection's window again
// when half of it is used up.
func (w *flow) take(n, half int, out []byte) []byte {
	w.received += n
	if w.received < half {
		return out
	}
	out = appendWindowUpdate(out, 0, w.received)
	w.received = 0
	return out
}

// encodeBlocks encodes messages' header blocks as HPACK with a dynamic table of
// the size given: first for a connection's first message, which adds the fields
// to the table, next for all that follow, which refer to it.
func encodeBlocks(table uint32, blocks ...[]hpack.HeaderField) (first, next [][]byte) {
	var buf bytes.Buffer
	encoder := hpack.NewEncoder(&buf)
	encoder.SetMaxDynamicTableSize(table)
	encode := func() (encoded [][]byte) {
		for _, fields := range blocks {
			buf.Reset()
			for _, f := range fields {
				_ = encoder.WriteField(f) // a buffer takes all
			}
			encoded = append(encoded, bytes.Clone(buf.Bytes()))
		}
		return encoded
	}
	return encode(), encode()
}

// grpcMessage returns a gRPC message of n bytes with its prefix.
func grpcMessage(n int) []byte {
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(n))
	return append(prefix, bytes.Repeat([]byte{'x'}, n)...)
}
