package grpc_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

func headers(pairs ...string) *httpmsg.Headers {
	h := new(httpmsg.Headers)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestIsRequestAndResponse(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc-web": false, "application/grpc;a=b": false,
		"application/json": false, "": false,
	} {
		if got := grpc.IsRequest(headers(":path", "/a/b", "content-type", contentType)); got != want {
			t.Errorf("request %q: %v", contentType, got)
		}
		if got := grpc.IsResponse(headers(":status", "200", "content-type", contentType), false); got != want {
			t.Errorf("response %q: %v", contentType, got)
		}
	}
	for _, tc := range []struct {
		h    *httpmsg.Headers
		end  bool
		want bool
	}{
		{headers(":status", "503", "content-type", "application/grpc"), false, false},
		{headers(":status", "200", "content-type", "application/grpc"), true, false},
		{headers(":status", "503", "grpc-status", "1"), true, true},
	} {
		if got := grpc.IsResponse(tc.h, tc.end); got != tc.want {
			t.Errorf("%v: %v", tc.h.Fields(), got)
		}
	}
	if grpc.IsRequest(headers("content-type", "application/grpc")) {
		t.Error("a request without a path")
	}
}

func TestServiceAndMethod(t *testing.T) {
	for path, want := range map[string][2]string{
		"/a.B/C": {"a.B", "C"}, "//a/b/": {"a", "b"}, "/a//b?c/d": {"a", "b"}, "a/b": {"a", "b"},
		"/a": {}, "/a/": {}, "/a/b/c": {}, "": {}, "/": {}, "/?a/b": {},
	} {
		service, method, ok := grpc.ServiceAndMethod(path)
		if ok != (want[0] != "") || ok && [2]string{service, method} != want {
			t.Errorf("%q: %q %q %v", path, service, method, ok)
		}
	}
}

func TestStatus(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "16": 16, "99": 99, "": -1, "x": -1, "-1": -1, "99999999999": -1} {
		n, ok := grpc.Status(headers("grpc-status", text))
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d %v", text, n, ok)
		}
	}
}

func frame(text string) []byte {
	h := grpc.NewHeader(0, len(text))
	return append(h[:], text...)
}

func TestPrepend(t *testing.T) {
	var pool buffer.Pool
	var b buffer.Buffer
	b.Init(&pool)
	b.AppendString("abc")
	grpc.Prepend(&b, 7)
	if got := b.String(); got != "\x00\x00\x00\x00\x07abc" {
		t.Errorf("%q", got)
	}
	b.Drain(b.Len())
	if pool.InUse() != 0 {
		t.Error("a block is lost")
	}
}

// FuzzCounter checks that frames are cut the same however they arrive.
func FuzzCounter(f *testing.F) {
	f.Add(append(frame("abc"), append(frame(""), frame("d")...)...))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		type cut struct {
			flags byte
			data  string
			whole bool
		}
		run := func(step int) (all []cut) {
			var c grpc.Cutter
			for from := 0; from < len(stream); from += step {
				for p := stream[from:min(from+step, len(stream))]; len(p) > 0; {
					var data []byte
					var first, last bool
					if data, p, first, last = c.Next(p); first {
						all = append(all, cut{flags: c.Header().Flags()})
					}
					now := &all[len(all)-1]
					now.data += string(data)
					now.whole = last
				}
			}
			return all
		}
		want, got := run(len(stream)+1), run(1)
		if len(want) != len(got) {
			t.Fatalf("%v, in single bytes %v", want, got)
		}
		rebuilt := 0
		for i := range want {
			if want[i] != got[i] {
				t.Fatalf("%v, in single bytes %v", want, got)
			}
			if want[i].whole {
				rebuilt += grpc.HeaderSize + len(want[i].data)
			}
		}
		if rebuilt > len(stream) {
			t.Fatalf("%d bytes of %d", rebuilt, len(stream))
		}
		var b buffer.Buffer
		b.Append(stream)
		var c grpc.Counter
		if n := c.Count(&b); n != len(want) || c.Frames != n {
			t.Fatalf("%d frames, want %d", n, len(want))
		}
	})
}

func TestBase64Decoder(t *testing.T) {
	for _, tc := range []struct {
		pieces []string
		want   string
		ok     bool
	}{
		{[]string{"AAAAAAF4"}, "\x00\x00\x00\x00\x01x", true},
		{[]string{"AAA", "AAAF", "4"}, "\x00\x00\x00\x00\x01x", true},
		{[]string{"AA==", "AAAA"}, "\x00\x00\x00\x00", true},
		{[]string{"AA==AAAA"}, "\x00", false},
		{[]string{"AB=="}, "", false}, // bits that are lost
		{[]string{"AAB="}, "", false},
		{[]string{"A==="}, "", false},
		{[]string{"=AAA"}, "", false},
		{[]string{"AA=A"}, "", false},
		{[]string{"AAA\n"}, "", false},
	} {
		var d grpc.Base64Decoder
		var got []byte
		ok := true
		for _, p := range tc.pieces {
			if got, ok = d.Append(got, []byte(p)); !ok {
				break
			}
		}
		if string(got) != tc.want || ok != tc.ok {
			t.Errorf("%q: %q %v", tc.pieces, got, ok)
		}
	}
}

// FuzzBase64 compares both directions with the standard library.
func FuzzBase64(f *testing.F) {
	f.Add([]byte("AAAAAAF4"), 3)
	f.Add([]byte("AA==AAAA"), 4)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		at = int(uint(at) % uint(len(p)+1))
		var e grpc.Base64Encoder
		encoded := e.Flush(e.Append(e.Append(nil, p[:at]), p[at:]))
		if want := base64.StdEncoding.EncodeToString(p); string(encoded) != want {
			t.Fatalf("encoded %q, want %q", encoded, want)
		}
		var d grpc.Base64Decoder
		if back, ok := d.Append(nil, encoded); !ok || !bytes.Equal(back, p) || !d.Complete() {
			t.Fatalf("%q came back as %q", p, back)
		}
		got, ok := d.Append(nil, p)
		want, err := base64.StdEncoding.Strict().DecodeString(string(p))
		if bytes.ContainsAny(p, "\r\n") {
			return // the library leaves them out
		}
		if (ok && d.Complete()) != (err == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%q: %q %v, want %q %v", p, got, ok, want, err)
		}
	})
}

// FuzzMessage checks that a message comes back, and that no text is too much.
func FuzzMessage(f *testing.F) {
	f.Add("no \xff%\n luck")
	f.Add("%4")
	f.Fuzz(func(t *testing.T, text string) {
		if got := grpc.DecodeMessage(grpc.EncodeMessage([]byte(text))); got != text {
			t.Fatalf("%q came back as %q", text, got)
		}
		_ = grpc.DecodeMessage(text)
	})
}

func TestNoAllocation(t *testing.T) {
	var pool buffer.Pool
	var b buffer.Buffer
	b.Init(&pool)
	b.Append(bytes.Repeat(frame("abcdefgh"), 10000))
	h := headers(":path", "/a.B/C", "content-type", "application/grpc")
	if n := testing.AllocsPerRun(100, func() {
		var c grpc.Counter
		c.Count(&b)
		grpc.IsRequest(h)
		grpc.ServiceAndMethod(h.Get(httpmsg.Path))
		grpc.Status(h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
