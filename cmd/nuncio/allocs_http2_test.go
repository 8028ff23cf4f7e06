package main

import (
	"bufio"
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// TestAllocationsOfHTTP2 is TestAllocationsOfAProxiedRequest with HTTP/2 on both sides.
func TestAllocationsOfHTTP2(t *testing.T) {
	bootstrap := strings.Replace(allocsBootstrap, "  - name: up\n", "  - name: up\n    http2_protocol_options: {}\n", 1)
	client := &http2Peer{Conn: proxied(t, bootstrap, answerHTTP2)}
	client.in = bufio.NewReader(client.Conn)
	client.write([]byte(preface + settingsFrame))
	// :method GET, :scheme http, :path, :authority and user-agent, in no table.
	request := []byte(frameOf(headersType, endStream|endHeaders, "\x82\x86\x04\x0a/some/path\x01\x0bexample.com\x0f\x2b\x04test"))
	stream := uint32(1)
	wantAllocations(t, 2, func() {
		binary.BigEndian.PutUint32(request[5:], stream)
		stream += 2
		client.write(request)
		for !client.messageEnds(dataType) {
		}
	})
	if client.err != nil {
		t.Error(client.err)
	}
}

// answerHTTP2 serves one connection of HTTP/2 without allocating.
func answerHTTP2(c net.Conn) {
	defer c.Close()
	p := &http2Peer{Conn: c, in: bufio.NewReader(c)}
	if _, err := p.in.Discard(len(preface)); err != nil {
		return
	}
	p.write([]byte(settingsFrame))
	head := frameOf(headersType, endHeaders, "\x88\x0f\x10\x0atext/plain")
	response := []byte(head + frameOf(dataType, endStream, "hello, world\n"))
	for p.err == nil {
		if p.messageEnds(headersType) {
			binary.BigEndian.PutUint32(response[5:], p.stream)
			binary.BigEndian.PutUint32(response[len(head)+5:], p.stream)
			p.write(response)
		}
	}
}

const (
	dataType, headersType, settingsType = 0, 1, 4

	endStream, endHeaders = 1, 4

	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settingsFrame = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	settingsAck   = "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
)

// frameOf returns a frame of stream 0.
func frameOf(typ, flags byte, payload string) string {
	return string([]byte{0, 0, byte(len(payload)), typ, flags, 0, 0, 0, 0}) + payload
}

// An http2Peer speaks as much HTTP/2 as is needed to measure.
type http2Peer struct {
	net.Conn
	in     *bufio.Reader
	stream uint32 // of the last frame
	err    error
}

func (p *http2Peer) write(b []byte) {
	if _, err := p.Conn.Write(b); err != nil {
		p.err = err
	}
}

// messageEnds reads a frame, and reports whether it is of this type and ends a message.
// It also reports an error as the end.
func (p *http2Peer) messageEnds(typ byte) bool {
	head, err := p.in.Peek(9)
	if err != nil {
		p.err = err
		return true
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	got, flags := head[3], head[4]
	p.stream = binary.BigEndian.Uint32(head[5:])
	if _, err := p.in.Discard(9 + length); err != nil {
		p.err = err
	}
	if got == settingsType && flags == 0 {
		p.write([]byte(settingsAck))
	}
	return got == typ && flags&endStream != 0
}
