package h1

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// allFeatures has the settings that reach the most code.
func allFeatures() Settings {
	s := ServerDefaults()
	s.EnableTrailers = true
	accept10(&s)
	return s
}

// FuzzServer checks that requests are read the same however they are cut, and that
// what is read and written again is read the same.
func FuzzServer(f *testing.F) {
	for _, h := range hostileRequests {
		if len(h.bytes) < 1000 {
			f.Add([]byte(h.bytes), uint16(len(h.bytes)/2))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		run := func(pieces ...[]byte) *server {
			s := newServer(allFeatures())
			s.reply = func() { s.respond(200) }
			s.onHeaders = func() { roundTrip(t, &s.headers) }
			for _, p := range pieces {
				s.send(string(p))
			}
			if s.stopped < 0 || s.stopped > 1 {
				t.Fatalf("reading is stopped %d times", s.stopped)
			}
			return s
		}
		whole := run(input)
		at := min(int(cut), len(input))
		if parts := run(input[:at], input[at:]); parts.String() != whole.String() {
			t.Fatalf("cut at %d:\n%s\nwhole:\n%s", at, parts, whole)
		}
		if len(input) > 300 {
			return
		}
		var bytes [][]byte
		for i := range input {
			bytes = append(bytes, input[i:i+1])
		}
		if parts := run(bytes...); parts.String() != whole.String() {
			t.Fatalf("byte by byte:\n%s\nwhole:\n%s", parts, whole)
		}
	})
}

// roundTrip sends a request that the server read, as a proxy does, and checks that
// the next server reads the same.
func roundTrip(t *testing.T, h *httpmsg.Headers) {
	want := new(httpmsg.Headers)
	want.CopyFrom(h)
	want.Remove(httpmsg.Scheme)
	want.RemoveIf(func(f *httpmsg.Field) bool {
		switch f.ID() {
		case httpmsg.Connection, httpmsg.ProxyConnection, httpmsg.Upgrade, httpmsg.TransferEncoding, httpmsg.ContentLength:
			return true
		}
		return false
	})
	path := want.Get(httpmsg.Path)
	if !want.Has(httpmsg.Authority) || path != "" && path[0] != '/' {
		return // the connection manager refuses these
	}
	c := newClient(ClientDefaults())
	enc := c.conn.NewStream(c)
	if err := enc.EncodeHeaders(want, true); err != nil {
		t.Fatalf("%v: %v", err, want.Fields())
	}
	next := newServer(ServerDefaults())
	next.send(c.sent())
	next.headers.Remove(httpmsg.ContentLength) // of a POST without a body
	if next.err != nil || !next.headers.Equal(want) {
		t.Fatalf("%v\nsent %v\nread %v", next.err, want.Fields(), next.headers.Fields())
	}
}

// FuzzClient checks that responses are read the same however they are cut.
func FuzzClient(f *testing.F) {
	for _, r := range hostileResponses {
		if len(r.bytes) < 1000 {
			f.Add([]byte(r.bytes), uint16(len(r.bytes)/2))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		run := func(pieces ...[]byte) *client {
			s := ClientDefaults()
			s.EnableTrailers = true
			c := newClient(s)
			// The request stays open, so that bytes behind the response do not change the
			// transcript.
			c.request(t, "POST", false)
			for _, p := range pieces {
				c.receive(string(p))
			}
			c.conn.OnEOF()
			if c.in.Len() > 0 || c.stopped != 0 {
				t.Fatalf("%d bytes left, stopped %d", c.in.Len(), c.stopped)
			}
			return c
		}
		whole := run(input)
		at := min(int(cut), len(input))
		if parts := run(input[:at], input[at:]); parts.String() != whole.String() {
			t.Fatalf("cut at %d:\n%s\nwhole:\n%s", at, parts, whole)
		}
	})
}
