//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// readFrames reads what was sent with the other implementation.
func readFrames(t *testing.T, p []byte) (list []string) {
	t.Helper()
	framer := http2.NewFramer(nil, bytes.NewReader(p))
	framer.ReadMetaHeaders = hpack.NewDecoder(defaultTable, nil)
	for {
		f, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		text := f.Header().Type.String()
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				text += " " + field.Name + "=" + field.Value
			}
			if f.StreamEnded() {
				text += " END"
			}
		case *http2.DataFrame:
			if text += " " + strings.TrimLeft(string(f.Data()), "\x00]"); f.StreamEnded() {
				text += " END"
			}
		}
		list = append(list, text)
	}
}

func TestEncodeBlocks(t *testing.T) {
	head := []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/plain"}}
	trailers := []hpack.HeaderField{{Name: "grpc-status", Value: "0"}}
	for _, table := range []uint32{0, defaultTable} {
		first, next := encodeBlocks(table, head, trailers)
		decoder := hpack.NewDecoder(table, nil)
		for round, blocks := range [][][]byte{first, next, next} {
			for i, want := range [][]hpack.HeaderField{head, trailers} {
				got, err := decoder.DecodeFull(blocks[i])
				if err != nil || len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
					t.Errorf("table %d, message %d, block %d: %v, %v", table, round, i, got, err)
				}
			}
		}
		if indexed := len(next[0]) == 2 && len(next[1]) == 1; indexed != (table > 0) {
			t.Errorf("table %d: later blocks have %d and %d bytes", table, len(next[0]), len(next[1]))
		}
	}
}

func TestRequestFrames(t *testing.T) {
	body := strings.Repeat("x", smallBody)
	for _, test := range []struct {
		spec h2Spec
		want []string
	}{
		{h2Spec{Scheme: "http", Path: "/"}, []string{
			"HEADERS :method=GET :scheme=http :authority=bench.test :path=/ user-agent=nuncio-bench accept=*/* END"}},
		{h2Spec{Scheme: "https", Path: "/s/m", GRPC: true}, []string{
			"HEADERS :method=POST :scheme=https :authority=bench.test :path=/s/m user-agent=nuncio-bench content-type=application/grpc te=trailers",
			"DATA " + body + " END"}},
	} {
		c := newH2Client(test.spec, 2)
		for stream := range 2 {
			if err := c.start(stream); err != nil {
				t.Fatal(err)
			}
		}
		preface, frames := c.out[:len(http2.ClientPreface)], c.out[len(http2.ClientPreface):]
		want := strings.Join(append([]string{"SETTINGS", "WINDOW_UPDATE"}, append(test.want, test.want...)...), "\n")
		if got := strings.Join(readFrames(t, frames), "\n"); string(preface) != http2.ClientPreface || got != want {
			t.Errorf("%q, then\n%s\nwant\n%s", preface, got, want)
		}
	}
}

// converse lets a client and a server talk, in pieces, until both are silent,
// and returns how many requests were answered.
func converse(c *h2Client, s *h2Server, piece int) (answered int, err error) {
	for len(c.out) > 0 || len(s.out) > 0 {
		n := min(piece, len(c.out))
		if err := s.feed(c.out[:n]); err != nil {
			return answered, err
		}
		c.out = c.out[n:]
		n = min(piece, len(s.out))
		if err := c.feed(s.out[:n]); err != nil {
			return answered, err
		}
		answered += len(c.done)
		if s.out = s.out[n:]; len(s.out) == 0 {
			if err := s.pump(); err != nil {
				return answered, err
			}
		}
	}
	return answered, nil
}

func TestClientAndServer(t *testing.T) {
	for _, test := range []struct {
		name   string
		spec   h2Spec
		answer *h2Answer
		pieces []int
	}{
		{"small", h2Spec{Body: smallBody}, newTextAnswer(smallBody), []int{1, 7, 1 << 20}},
		{"big", h2Spec{Body: bigBody}, newTextAnswer(bigBody), []int{1009, 1 << 20}},
		{"gRPC", h2Spec{GRPC: true, Body: smallBody + 5}, newGRPCAnswer(), []int{1, 7, 1 << 20}},
	} {
		for _, piece := range test.pieces {
			c, s := newH2Client(test.spec, 3), newH2Server(test.answer)
			for round := range 3 {
				for stream := range c.streams {
					if err := c.start(stream); err != nil {
						t.Fatal(err)
					}
				}
				if n, err := converse(c, s, piece); n != 3 || err != nil {
					t.Errorf("%s, round %d in pieces of %d: %d answered, %v", test.name, round, piece, n, err)
				}
			}
		}
	}
}

// TestWindows gives a server little to send, and more later.
func TestWindows(t *testing.T) {
	s := newH2Server(newTextAnswer(bigBody))
	in := appendSettings([]byte(http2.ClientPreface), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	first, _, _ := h2Spec{Path: "/"}.encode()
	in = appendOn(in, first, 1)
	sent := func(in []byte) (n int) {
		t.Helper()
		s.out = s.out[:0]
		if err := s.feed(in); err != nil {
			t.Fatal(err)
		}
		var r frameReader
		r.push(s.out)
		for f, ok, _ := r.read(); ok; f, ok, _ = r.read() {
			if f.kind == http2.FrameData {
				n += len(f.payload)
			}
		}
		return n
	}
	for i, step := range []struct {
		in   []byte
		want int
	}{
		{in, 100},
		{appendWindowUpdate(nil, 0, 1000), 0},
		{appendWindowUpdate(nil, 1, 50), 50},
		{appendWindowUpdate(nil, 3, 50), 0}, // not open
		{appendSettings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 200}), 100},
		{appendWindowUpdate(nil, 1, 1<<20), startWindow + 1000 - 250},
		{appendFrame(appendWindowUpdate(nil, 0, 1000), frame{http2.FramePing, 0, 0, make([]byte, 8)}), 1000},
		{appendFrame(appendWindowUpdate(nil, 0, 1000), frame{http2.FrameRSTStream, 0, 1, make([]byte, 4)}), 0},
	} {
		if got := sent(step.in); got != step.want {
			t.Errorf("step %d: %d bytes sent, want %d", i, got, step.want)
		}
	}
}

// TestSmallTable asks as nginx does for answers without a dynamic table.
func TestSmallTable(t *testing.T) {
	s := newH2Server(newGRPCAnswer())
	in := appendSettings([]byte(http2.ClientPreface), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	first, next, _ := h2Spec{Path: "/", GRPC: true}.encode()
	if err := s.feed(appendOn(appendOn(in, first, 1), next, 3)); err != nil {
		t.Fatal(err)
	}
	decoder := hpack.NewDecoder(0, nil)
	var r frameReader
	r.push(s.out)
	blocks := 0
	for f, ok, _ := r.read(); ok; f, ok, _ = r.read() {
		if f.kind == http2.FrameHeaders {
			blocks++
			if _, err := decoder.DecodeFull(f.payload); err != nil {
				t.Error(err)
			}
		}
	}
	if blocks != 4 {
		t.Errorf("%d header blocks", blocks)
	}
	late := newH2Server(newGRPCAnswer())
	in = appendOn([]byte(http2.ClientPreface), first, 1)
	if err := late.feed(appendSettings(in, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})); !errors.Is(err, errTableSize) {
		t.Errorf("a table that shrinks: %v", err)
	}
}

// TestBadReplies lists what must not count as an answer.
func TestBadReplies(t *testing.T) {
	const all = http2.FlagHeadersEndHeaders | http2.FlagHeadersEndStream
	headers := func(flags http2.Flags, fields ...hpack.HeaderField) []byte {
		first, _ := encodeBlocks(defaultTable, fields)
		return appendFrame(nil, frame{http2.FrameHeaders, flags, 1, first[0]})
	}
	ok := hpack.HeaderField{Name: ":status", Value: "200"}
	for _, test := range []struct {
		name string
		grpc bool
		in   []byte
	}{
		{"failure", false, headers(all, hpack.HeaderField{Name: ":status", Value: "503"})},
		{"no body", false, headers(all, ok)},
		{"no status", true, headers(all, hpack.HeaderField{Name: "grpc-status", Value: "0"})},
		{"gRPC failure", true, headers(all, ok, hpack.HeaderField{Name: "grpc-status", Value: "14"})},
		{"gRPC without trailers", true, append(headers(http2.FlagHeadersEndHeaders, ok),
			appendFrame(nil, frame{http2.FrameData, http2.FlagDataEndStream, 1, make([]byte, smallBody)})...)},
		{"long body", false, append(headers(http2.FlagHeadersEndHeaders, ok),
			appendFrame(nil, frame{http2.FrameData, http2.FlagDataEndStream, 1, make([]byte, smallBody+1)})...)},
		{"other stream", false, appendFrame(nil, frame{http2.FrameData, http2.FlagDataEndStream, 3, nil})},
		{"part of a head", false, headers(0, ok)},
		{"reset", false, appendFrame(nil, frame{http2.FrameRSTStream, 0, 1, make([]byte, 4)})},
		{"goodbye", false, appendFrame(nil, frame{http2.FrameGoAway, 0, 0, make([]byte, 8)})},
		{"small table", false, appendSettings(nil, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})},
		{"not HTTP/2", false, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
	} {
		c := newH2Client(h2Spec{GRPC: test.grpc, Body: smallBody}, 1)
		if err := c.start(0); err != nil {
			t.Fatal(err)
		}
		if err := c.feed(test.in); err == nil || len(c.done) > 0 {
			t.Errorf("%s: error %v, %d answered", test.name, err, len(c.done))
		}
	}
}

func TestWindowOfRequests(t *testing.T) {
	c := newH2Client(h2Spec{GRPC: true}, 1)
	for range startWindow / (smallBody + 5) {
		if err := c.start(0); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.start(0); !errors.Is(err, errWindow) {
		t.Errorf("a message beyond the window: %v", err)
	}
}

// FuzzH2 feeds both sides with anything: they fail, or not, wherever it is cut.
func FuzzH2(f *testing.F) {
	first, _, _ := h2Spec{Path: "/", GRPC: true}.encode()
	f.Add(appendOn(appendSettings([]byte(http2.ClientPreface)), first, 1))
	s := newH2Server(newTextAnswer(smallBody))
	if err := s.start(1); err != nil {
		f.Fatal(err)
	}
	f.Add(s.out)
	f.Fuzz(func(t *testing.T, in []byte) {
		feed := func(pieces ...[]byte) (client, server error, out []byte) {
			c, s := newH2Client(h2Spec{Body: smallBody}, 1), newH2Server(newGRPCAnswer())
			_ = c.start(0)
			for _, p := range pieces {
				if client == nil {
					client = c.feed(p)
				}
				if server == nil {
					server = s.feed(p)
				}
			}
			return client, server, append(c.out, s.out...)
		}
		client, server, out := feed(in)
		for cut := range min(len(in), 200) {
			c, s, o := feed(in[:cut], in[cut:])
			if (c == nil) != (client == nil) || (s == nil) != (server == nil) || client == nil && server == nil && !bytes.Equal(o, out) {
				t.Fatalf("cut at %d: %v, %v; whole: %v, %v", cut, c, s, client, server)
			}
		}
	})
}
