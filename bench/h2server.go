//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// serverOut is how much output may wait before no more of a big body is
	// added to it.
	serverOut = 256 << 10
	// serverStreams bounds the answers under way on a connection.
	serverStreams = 1000
)

var (
	errPreface = errors.New("HTTP/2: not the client's preface")
	errStreams = errors.New("HTTP/2: too many streams")
)

// An h2Answer is the answer to every request of a connection: a body of the
// letter x, or of one gRPC message and trailers. Encoded once.
type h2Answer struct {
	body  []byte
	usual h2Headers
	small h2Headers // for clients that want a small header table, like nginx: none is used
}

// h2Headers are the frames of a connection's first answer and those of the
// others. Without trailers those are empty.
type h2Headers struct {
	firstHead, head, firstTrailers, trailers []byte
}

// newH2Answer has no trailers if they are nil.
func newH2Answer(body []byte, head, trailers []hpack.HeaderField) *h2Answer {
	encode := func(table uint32) h2Headers {
		const end = http2.FlagHeadersEndHeaders
		first, next := encodeBlocks(table, head, trailers)
		h := h2Headers{
			firstHead: appendFrame(nil, frame{http2.FrameHeaders, end, 0, first[0]}),
			head:      appendFrame(nil, frame{http2.FrameHeaders, end, 0, next[0]}),
		}
		if trailers != nil {
			h.firstTrailers = appendFrame(nil, frame{http2.FrameHeaders, end | http2.FlagHeadersEndStream, 0, first[1]})
			h.trailers = appendFrame(nil, frame{http2.FrameHeaders, end | http2.FlagHeadersEndStream, 0, next[1]})
		}
		return h
	}
	return &h2Answer{body, encode(defaultTable), encode(0)}
}

func newTextAnswer(body int) *h2Answer {
	return newH2Answer(bytes.Repeat([]byte{'x'}, body), []hpack.HeaderField{
		{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/plain"},
		{Name: "content-length", Value: strconv.Itoa(body)}}, nil)
}

func newGRPCAnswer() *h2Answer {
	return newH2Answer(grpcMessage(smallBody),
		[]hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}},
		[]hpack.HeaderField{{Name: "grpc-status", Value: "0"}, {Name: "grpc-message", Value: ""}})
}

// An h2Server is the server's side of one connection. It does no I/O: bytes
// from the client go to feed, those in out are to be sent, and after that pump
// adds more of the bodies under way. It does not look into requests.
type h2Server struct {
	answer  *h2Answer
	headers *h2Headers // of it; nil before the first answer
	preface int        // bytes of it that have come
	frames  frameReader
	flow    flow
	streams []serverStream
	out     []byte
}

// A serverStream is an answer under way.
type serverStream struct {
	id           uint32
	sent, window int  // of the body
	first        bool // of its connection
}

func newH2Server(a *h2Answer) *h2Server {
	return &h2Server{
		answer: a, flow: flow{window: startWindow, initial: startWindow},
		out: appendSettings(nil),
	}
}

// feed takes the next bytes of the connection.
func (c *h2Server) feed(p []byte) error {
	if n := min(len(p), len(http2.ClientPreface)-c.preface); n > 0 {
		if string(p[:n]) != http2.ClientPreface[c.preface:c.preface+n] {
			return errPreface
		}
		c.preface += n
		p = p[n:]
	}
	c.frames.push(p)
	for {
		f, ok, err := c.frames.read()
		if err != nil {
			return err
		}
		if !ok {
			return c.pump()
		}
		if err := c.handle(f); err != nil {
			return err
		}
	}
}

func (c *h2Server) handle(f frame) (err error) {
	switch f.kind {
	case http2.FrameHeaders, http2.FrameData:
		if f.kind == http2.FrameData {
			c.out = c.flow.take(len(f.payload), startWindow/2, c.out)
		} else if !f.flags.Has(http2.FlagHeadersEndHeaders) {
			return errPadding
		}
		if f.flags.Has(http2.FlagHeadersEndStream) {
			return c.start(f.stream)
		}
		return nil
	case http2.FrameRSTStream:
		c.drop(f.stream)
		return nil
	case http2.FrameContinuation:
		return errPadding
	}
	var adjust int
	c.out, adjust, err = c.flow.handle(f, c.out)
	if c.headers == &c.answer.usual && c.flow.small {
		return errTableSize // too late: only new connections get to the other encoding
	}
	for i := range c.streams {
		if f.stream == 0 || f.stream == c.streams[i].id {
			c.streams[i].window += adjust
		}
	}
	return err
}

// start sends the answer's head.
func (c *h2Server) start(stream uint32) error {
	if len(c.streams) == serverStreams {
		return errStreams
	}
	first := c.headers == nil
	if first && c.flow.small {
		c.headers = &c.answer.small
	} else if first {
		c.headers = &c.answer.usual
	}
	head := c.headers.head
	if first {
		head = c.headers.firstHead
	}
	c.out = appendOn(c.out, head, stream)
	c.streams = append(c.streams, serverStream{id: stream, window: c.flow.initial, first: first})
	if len(c.answer.body) <= smallBody+5 {
		return c.pump() // a first answer's trailers are sent before the second answer's head
	}
	return nil
}

func (c *h2Server) drop(stream uint32) {
	for i := range c.streams {
		if c.streams[i].id == stream {
			c.streams = append(c.streams[:i], c.streams[i+1:]...)
			return
		}
	}
}

// pump adds to out what the windows allow of the bodies under way.
func (c *h2Server) pump() error {
	left := c.streams[:0]
	for _, s := range c.streams {
		c.send(&s)
		if s.sent < len(c.answer.body) {
			left = append(left, s)
			if s.first && len(c.headers.trailers) > 0 {
				return errWindow
			}
		}
	}
	c.streams = left
	return nil
}

func (c *h2Server) send(s *serverStream) {
	for s.sent < len(c.answer.body) && len(c.out) < serverOut {
		n := min(len(c.answer.body)-s.sent, s.window, c.flow.window, maxFrame)
		if n <= 0 {
			return
		}
		f := frame{http2.FrameData, 0, s.id, c.answer.body[s.sent : s.sent+n]}
		s.sent += n
		s.window -= n
		c.flow.window -= n
		if s.sent == len(c.answer.body) && len(c.headers.trailers) == 0 {
			f.flags = http2.FlagDataEndStream
		}
		c.out = appendFrame(c.out, f)
	}
	if s.sent == len(c.answer.body) {
		trailers := c.headers.trailers
		if s.first {
			trailers = c.headers.firstTrailers
		}
		c.out = appendOn(c.out, trailers, s.id)
	}
}
