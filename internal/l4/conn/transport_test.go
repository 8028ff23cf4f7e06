package conn

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A shouter is a transport: both sides greet with "hi!", and then all bytes are lower
// case here and upper case on the wire. A "?" on the wire breaks it, a "." ends the
// stream, either way.
type shouter struct {
	rig     *rig
	cb      transport.Callbacks
	greeted bool // the peer has
	failure string
	in, out []byte // raw
	ended   bool
}

func (s *shouter) Start(cb transport.Callbacks) bool {
	s.cb = cb
	s.out = append(s.out, "hi!"...)
	return false
}

func (s *shouter) Read(into *buffer.Buffer, atMost int) (int, error) {
	var raw [4]byte
	n, err := s.cb.ReadRaw([][]byte{raw[:1], raw[1:]})
	s.in = append(s.in, raw[:n]...)
	if !s.greeted && len(s.in) >= 3 {
		if string(s.in[:3]) != "hi!" {
			return 0, s.fail("impolite")
		}
		s.in, s.greeted = s.in[3:], true
		s.cb.Connected()
	}
	if !s.greeted {
		return 0, err
	}
	plain, end, ended := strings.Cut(strings.ToLower(string(s.in)), ".")
	s.in = nil
	if strings.Contains(plain+end, "?") {
		return 0, s.fail("why?")
	}
	into.AppendString(plain)
	if ended {
		err = io.EOF
	}
	return len(plain), err
}

func (s *shouter) fail(why string) error {
	s.failure = why
	return transport.ErrFailed
}

func (s *shouter) Write(from *buffer.Buffer, endStream bool) (n int, err error) {
	if s.failure != "" {
		return 0, transport.ErrFailed
	}
	if s.greeted {
		n = from.Len()
		s.out = append(s.out, strings.ToUpper(from.String())...)
		from.Drain(n)
		if endStream && !s.ended {
			s.out, s.ended = append(s.out, '.'), true
		}
	}
	for len(s.out) > 0 && err == nil {
		var sent int
		sent, err = s.cb.WriteRaw([][]byte{s.out})
		s.out = s.out[sent:]
	}
	if err == nil && !s.greeted {
		err = transport.ErrAgain
	}
	return n, err
}

func (s *shouter) Unsent() int { return len(s.out) }

func (s *shouter) Close(orderly bool) {
	s.rig.logf("transport closed orderly=%t", orderly)
	if orderly && s.greeted && !s.ended {
		_, _ = s.cb.WriteRaw([][]byte{[]byte(".")})
	}
}

func (s *shouter) Failure() string { return s.failure }

func (s *shouter) Detach() bool                  { return len(s.in)+len(s.out) == 0 }
func (s *shouter) Attach(cb transport.Callbacks) { s.cb = cb }

// TestTransportOfClient: the connection is up when the transport is, and the connect
// timeout ends then.
func TestTransportOfClient(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no descriptors")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func(t *testing.T) (*rig, net.Conn) {
		r := newLoop(t, false)
		r.conn = Dial(r.loop, address.FromNetAddr(l.Addr()), &sock.ConnectOptions{}, time.Second, Config{ID: 1, Transport: &shouter{rig: r}})
		r.conn.AddCallbacks(r)
		r.conn.AddReadFilter(&sink{onData: func(data *buffer.Buffer, _ bool) { r.logf("data %s", data) }})
		r.write("early", false)
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r.peer = peer.(*net.TCPConn)
		got := make([]byte, 3)
		for range 5 {
			r.loop.Turn()
		}
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hi!" {
			t.Fatalf("%q, %v", got, err)
		}
		if len(r.log) > 0 || r.conn.State() != network.Connecting {
			t.Fatalf("%s, state %d", r.log, r.conn.State())
		}
		return r, peer
	}
	t.Run("connected", func(t *testing.T) {
		r, peer := dial(t)
		io.WriteString(peer, "hi!HELLO")
		r.until(r.logged("data hello"))
		if r.log[0] != "event Connected" || r.conn.State() != network.Open {
			t.Error(r.log)
		}
		got := make([]byte, 5)
		r.loop.Turn()
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "EARLY" {
			t.Errorf("%q, %v", got, err)
		}
		if r.now = r.now.Add(time.Hour); !r.conn.Detach() {
			t.Error("an idle connection does not leave its loop")
		}
		if err := r.conn.Attach(r.loop); err != nil {
			t.Error(err)
		}
		io.WriteString(peer, "AGAIN")
		r.until(r.logged("data again"))
	})
	t.Run("failed", func(t *testing.T) {
		r, peer := dial(t)
		io.WriteString(peer, "go away")
		r.until(r.logged("event RemoteClose"))
		if r.conn.TransportFailure() != "impolite" || r.conn.TimedOut() {
			t.Error(r.conn.TransportFailure())
		}
	})
	t.Run("ended", func(t *testing.T) {
		r, peer := dial(t)
		peer.Close()
		r.until(r.logged("event RemoteClose"))
		if r.conn.TransportFailure() != "" {
			t.Error(r.conn.TransportFailure())
		}
	})
	t.Run("timeout", func(t *testing.T) {
		r, _ := dial(t)
		r.now = r.now.Add(1001 * time.Millisecond)
		r.until(r.logged("event LocalClose"))
		if !r.conn.TimedOut() {
			t.Error("not timed out")
		}
	})
}

// A gate is a read filter that looks at the first bytes and then sets the transport, as
// listener filters do.
type gate struct {
	sink
	rig  *rig
	open bool
}

func (g *gate) OnNewConnection() network.FilterStatus { return network.StopIteration }
func (g *gate) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	switch {
	case g.open:
		return network.Continue
	case data.Len() < 4:
		return network.StopIteration
	}
	g.open = true
	g.rig.logf("saw %s", data)
	g.rig.conn.SetTransport(&shouter{rig: g.rig}, 0, nil)
	g.cb.ContinueReading()
	return network.StopIteration
}

// TestTransportAfterPeek: what was looked at before there was a transport is the
// transport's.
func TestTransportAfterPeek(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		r.conn.AddReadFilter(&gate{rig: r})
		r.conn.AddReadFilter(&sink{onData: func(data *buffer.Buffer, _ bool) { r.logf("data %s", data) }})
		r.conn.Start()
		for _, part := range []string{"hi!", "YOU", "AND ME"} {
			io.WriteString(r.peer, part)
			for range 3 {
				r.loop.Turn()
			}
		}
		r.until(func() bool { return strings.HasSuffix(strings.Join(r.log, ""), "me") })
		if !strings.HasPrefix(r.log[0], "saw hi!") || r.log[1] != "event Connected" {
			t.Error(r.log)
		}
		if s := r.conn.Stream(); s.BytesReceived != uint64(len("YOUAND ME")) {
			t.Errorf("%d bytes received", s.BytesReceived)
		}
	})
}

func TestTransportTimeout(t *testing.T) {
	r := newRig(t, false, 0)
	scope := metrics.New(1)
	r.conn.SetTransport(&shouter{rig: r}, time.Second, scope.Counter("timeout"))
	r.conn.AddReadFilter(&sink{})
	r.conn.Start()
	r.loop.Turn()
	r.now = r.now.Add(1001 * time.Millisecond)
	r.until(r.logged("event LocalClose"))
	info := r.conn.Info()
	if scope.Value("timeout") != 1 || info.LocalCloseReason != "transport_socket_timeout" || info.TransportFailure != "" ||
		r.conn.Stream().TerminationDetails != "transport socket timeout was reached" {
		t.Errorf("%d %+v", scope.Value("timeout"), info)
	}
}

// A breaker is a transport that panics.
type breaker struct{ shouter }

func (b *breaker) Read(*buffer.Buffer, int) (int, error) { panic("in Read") }
func (b *breaker) Close(bool)                            { panic("in Close") }

func TestTransportPanics(t *testing.T) {
	r := newRig(t, false, 0)
	r.conn.SetTransport(&breaker{shouter{rig: r}}, 0, nil)
	r.conn.Start()
	io.WriteString(r.peer, "x")
	r.until(r.logged("event LocalClose"))
	if got := strings.Join(r.log, ", "); got != "panic in Read, panic in Close, event LocalClose" {
		t.Error(got)
	}
	for err := error(nil); err == nil; {
		_, err = r.peer.Read(make([]byte, 10))
	}
}

// TestSecureClose: a peer is told at once that nothing more comes, though the connection
// waits for it to close.
func TestSecureClose(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		r.conn.Info().Secure = true
		r.conn.SetDelayedCloseTimeout(time.Second)
		r.conn.SetTransport(&shouter{rig: r}, 0, nil)
		r.conn.AddReadFilter(&sink{})
		r.conn.Start()
		io.WriteString(r.peer, "hi!")
		r.until(r.logged("event Connected"))
		r.write("bye", false)
		r.conn.Close(network.FlushWriteAndDelay, "done")
		r.loop.Turn()
		got := make([]byte, len("hi!BYE."))
		if _, err := io.ReadFull(r.peer, got); err != nil || string(got) != "hi!BYE." {
			t.Errorf("%q %v", got, err)
		}
		if r.conn.State() != network.Closing {
			t.Error(r.log)
		}
		r.peer.Close()
		r.until(r.logged("event RemoteClose"))
	})
}

// TestStatsOfWhatCameBefore: bytes count that arrived before anybody counted.
func TestStatsOfWhatCameBefore(t *testing.T) {
	r := newRig(t, false, 0)
	scope := metrics.New(1)
	r.conn.AddReadFilter(&sink{onData: func(*buffer.Buffer, bool) {
		r.conn.SetStats(&network.ConnectionStats{ReadTotal: scope.Counter("read")})
		r.logf("read")
	}})
	r.conn.Start()
	io.WriteString(r.peer, "abc")
	r.until(r.logged("read"))
	if got := scope.Value("read"); got != 3 {
		t.Errorf("%d bytes", got)
	}
}
