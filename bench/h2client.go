//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// As Go's own client has them.
	clientStreamWindow = 4 << 20
	clientConnWindow   = 1 << 30
)

// h2Spec is a request of HTTP/2 and the reply to it.
type h2Spec struct {
	Scheme, Path string
	GRPC         bool // a unary call
	Body         int  // bytes of the reply's body
}

// An h2Client is the client's side of one connection. It does no I/O: bytes
// from the proxy go to feed, those in out are to be sent.
type h2Client struct {
	spec        h2Spec
	first, next []byte // the request's frames
	used        bool   // first has been sent
	message     int    // DATA of a request
	nextStream  uint32

	frames  frameReader
	flow    flow
	decoder *hpack.Decoder
	current *clientStream // whose header block is being decoded
	bad     error         // a field that says failure

	streams []clientStream
	out     []byte
	done    []int // the numbers of streams that the last feed completed
}

// A clientStream carries one request at a time.
type clientStream struct {
	id         uint32 // 0: no request is under way
	body       int    // bytes still to come
	head, fine bool   // the head has come; it, or the trailer of gRPC, says success
}

// newH2Client returns a client for a new connection with the number of streams.
func newH2Client(spec h2Spec, streams int) *h2Client {
	c := &h2Client{
		spec: spec, nextStream: 1, streams: make([]clientStream, streams),
		flow: flow{window: startWindow, initial: startWindow},
	}
	c.decoder = hpack.NewDecoder(defaultTable, c.field)
	c.first, c.next, c.message = spec.encode()
	c.out = append(c.out, http2.ClientPreface...)
	c.out = appendSettings(c.out,
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: clientStreamWindow})
	c.out = appendWindowUpdate(c.out, 0, clientConnWindow-startWindow)
	return c
}

// encode returns the frames of a connection's first request and of the others,
// and the length of their DATA.
func (s h2Spec) encode() (first, next []byte, message int) {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: s.Scheme},
		{Name: ":authority", Value: "bench.test"}, {Name: ":path", Value: s.Path},
		{Name: "user-agent", Value: "nuncio-bench"},
	}
	var body []byte
	if s.GRPC {
		fields[0].Value = "POST"
		fields = append(fields, hpack.HeaderField{Name: "content-type", Value: "application/grpc"},
			hpack.HeaderField{Name: "te", Value: "trailers"})
		body = grpcMessage(smallBody)
	} else {
		fields = append(fields, hpack.HeaderField{Name: "accept", Value: "*/*"})
	}
	assemble := func(block []byte) []byte {
		if body == nil {
			return appendFrame(nil, frame{http2.FrameHeaders, http2.FlagHeadersEndHeaders | http2.FlagHeadersEndStream, 0, block})
		}
		out := appendFrame(nil, frame{http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, block})
		return appendFrame(out, frame{http2.FrameData, http2.FlagDataEndStream, 0, body})
	}
	firstBlocks, nextBlocks := encodeBlocks(defaultTable, fields)
	return assemble(firstBlocks[0]), assemble(nextBlocks[0]), len(body)
}

// start sends the request on a stream that has none.
func (c *h2Client) start(stream int) error {
	c.streams[stream] = clientStream{id: c.nextStream, body: c.spec.Body}
	if c.flow.window -= c.message; c.flow.window < 0 {
		return errWindow
	}
	frames := c.next
	if !c.used {
		frames, c.used = c.first, true
	}
	c.out = appendOn(c.out, frames, c.nextStream)
	c.nextStream += 2
	return nil
}

// feed takes the next bytes of the connection; c.done holds the numbers of the
// streams whose request they completed.
func (c *h2Client) feed(p []byte) error {
	c.done = c.done[:0]
	c.frames.push(p)
	for {
		f, ok, err := c.frames.read()
		if err != nil || !ok {
			return err
		}
		if err := c.handle(f); err != nil {
			return err
		}
	}
}

func (c *h2Client) handle(f frame) (err error) {
	switch f.kind {
	case http2.FrameHeaders, http2.FrameData:
		number := slices.IndexFunc(c.streams, func(s clientStream) bool { return s.id == f.stream })
		if number < 0 || f.stream == 0 {
			return fmt.Errorf("HTTP/2: %v on stream %d, which has no request", f.kind, f.stream)
		}
		return c.receive(number, f)
	case http2.FrameGoAway, http2.FrameRSTStream:
		return fmt.Errorf("%w: %x", errConnClosed, f.payload)
	case http2.FrameContinuation:
		return errPadding
	}
	c.out, _, err = c.flow.handle(f, c.out)
	if err == nil && c.flow.small {
		return errTableSize
	}
	return err
}

// receive takes a part of the reply on a stream.
func (c *h2Client) receive(number int, f frame) error {
	s := &c.streams[number]
	if f.flags.Has(http2.FlagDataPadded) || f.flags.Has(http2.FlagHeadersPriority) {
		return errPadding
	}
	if f.kind == http2.FrameData {
		s.body -= len(f.payload)
		c.out = c.flow.take(len(f.payload), clientConnWindow/2, c.out)
	} else if err := c.receiveHeaders(s, f); err != nil {
		return err
	}
	if !f.flags.Has(http2.FlagDataEndStream) {
		return nil
	}
	if s.body != 0 || !s.fine {
		return fmt.Errorf("HTTP/2: the reply has %d bytes too few, success %v", s.body, s.fine)
	}
	s.id = 0
	c.done = append(c.done, number)
	return nil
}

// receiveHeaders decodes a header block: with the dynamic table, none may be
// left out.
func (c *h2Client) receiveHeaders(s *clientStream, f frame) error {
	if !f.flags.Has(http2.FlagHeadersEndHeaders) {
		return errPadding
	}
	c.current = s
	_, err := c.decoder.Write(f.payload)
	if err == nil {
		err = c.decoder.Close()
	}
	if err == nil {
		err = c.bad
	}
	s.head = true
	return err
}

// field takes a field of the header block that is being decoded.
func (c *h2Client) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		if f.Value != "200" {
			c.bad = fmt.Errorf("HTTP/2: response is %s, not 200", f.Value)
		}
		c.current.fine = !c.spec.GRPC
	case "grpc-status":
		if f.Value != "0" {
			c.bad = fmt.Errorf("gRPC: status %s", f.Value)
		}
		c.current.fine = c.current.head
	}
}
