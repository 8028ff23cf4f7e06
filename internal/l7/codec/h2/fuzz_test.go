package h2

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// feed gives a codec bytes in two ways, and checks that it does the same.
func feed(t *testing.T, make func() *user, data []byte) {
	whole, cut := make(), make()
	whole.dispatch(data, len(data)+1)
	cut.dispatch(data, 3)
	a, b := new(log), new(log)
	for _, x := range []struct {
		u *user
		l *log
	}{{whole, a}, {cut, b}} {
		newPeer().read(&x.u.out, x.l)
		if n := x.u.conn().Active(); n > int(x.u.conn().settings.MaxConcurrentStreams) {
			t.Errorf("%d streams", n)
		}
		if r := x.u.conn().receive; r.left < 0 || r.left > r.size {
			t.Errorf("window of %d bytes", r.left)
		}
		if x.u.server != nil {
			x.u.server.OnClose(3)
		} else {
			x.u.client.OnClose(3)
		}
		for _, e := range x.u.streams {
			if x.u.client != nil && !e.over {
				t.Errorf("%s has no end", e.name)
			}
		}
		for _, g := range []string{"streams_active", "pending_send_bytes", "deferred_stream_close"} {
			if n := x.u.scope.gauges[g].Value(); n != 0 {
				t.Errorf("%s %d", g, n)
			}
		}
	}
	if d := diffLogs(whole.lines, cut.lines); d != "" {
		t.Error(d)
	}
}

func diffLogs(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "whole: " + a[i] + "\ncut: " + b[i]
		}
	}
	if len(a) != len(b) {
		return "different lengths"
	}
	return ""
}

// FuzzServer feeds a server whatever comes, while its user answers requests in several
// ways.
func FuzzServer(f *testing.F) {
	f.Add([]byte{})
	p := newPeer()
	if err := p.framer.WriteSettings(); err != nil {
		f.Fatal(err)
	}
	f.Add(p.take())
	f.Fuzz(func(t *testing.T, data []byte) {
		feed(t, func() *user {
			s := ServerDefaults()
			s.AllowConnect, s.AllowMetadata, s.MaxConcurrentStreams = true, true, 4
			s.InitialStreamWindow, s.InitialConnectionWindow = 65535, 65535
			s.StreamErrorOnInvalidMessaging = len(data)%2 == 1
			u := newUser(true, s)
			u.headers = answer
			// Most of what is tried would end at the preface.
			u.dispatch([]byte(preface), 1<<20)
			return u
		}, data)
	})
}

// answer answers a request in a way that depends on its stream id.
func answer(e *exchanger) {
	h := headersOf([][2]string{{":status", "200"}, {"x", "y"}})
	body := new(buffer.Buffer)
	body.Append(make([]byte, 100))
	switch e.stream.(responseEncoder).id / 2 % 5 {
	case 0:
		e.response.EncodeHeaders(h, true)
	case 1:
		e.response.EncodeHeaders(h, false)
		e.response.EncodeData(body, true)
	case 2:
		e.stream.ReadDisable(true)
		e.onData = func(*buffer.Buffer, bool) { panic("reading is disabled") }
	case 3:
		e.response.EncodeHeaders(h, false)
		e.response.EncodeData(body, false)
		e.response.EncodeTrailers(h)
	case 4:
		e.onData = func(*buffer.Buffer, bool) {
			if !e.over {
				e.over = true
				e.stream.Reset(1)
			}
		}
	}
}

// FuzzClient feeds a client with open requests whatever comes.
func FuzzClient(f *testing.F) {
	f.Add([]byte{})
	p := newPeer()
	if err := p.framer.WriteSettings(); err != nil {
		f.Fatal(err)
	}
	f.Add(p.take())
	f.Fuzz(func(t *testing.T, data []byte) {
		feed(t, func() *user {
			s := ClientDefaults()
			s.AllowMetadata = true
			s.InitialStreamWindow, s.InitialConnectionWindow = 65535, 65535
			s.StreamErrorOnInvalidMessaging = len(data)%2 == 1
			u := newUser(false, s)
			for i := range 4 {
				h := headersOf(get)
				if i == 3 {
					h = headersOf(append([][2]string{{"connection", "upgrade"}, {"upgrade", "websocket"}}, get...))
				}
				if err := u.request().requestEnc.EncodeHeaders(h, i%2 == 0); err != nil {
					t.Fatal(err)
				}
			}
			u.request() // has no headers yet
			return u
		}, data)
	})
}
