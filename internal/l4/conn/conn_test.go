package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// pollers are the ways a loop learns of readiness; most tests run with each.
var pollers = map[string]bool{"epoll": false, "portable": true}

func eachPoller(t *testing.T, f func(t *testing.T, portable bool)) {
	for name, portable := range pollers {
		t.Run(name, func(t *testing.T) {
			if !portable && runtime.GOOS != "linux" {
				t.Skip("no epoll")
			}
			f(t, portable)
		})
	}
}

// A rig is a loop with a clock that the test moves, and one connection on it.
type rig struct {
	t    testing.TB
	now  time.Time
	loop *event.Loop
	conn *Conn
	peer *net.TCPConn
	log  []string
}

func newRig(t testing.TB, portable bool, limit int) *rig {
	t.Helper()
	r := newLoop(t, portable)
	r.accept(limit)
	return r
}

func newLoop(t testing.TB, portable bool) *rig {
	r := &rig{t: t, now: time.Unix(1e9, 0)}
	var err error
	r.loop, err = event.New(event.Config{Name: "worker_0", Clock: func() time.Time { return r.now }, Seed: 1, Portable: portable,
		OnPanic: func(owner, value any, stack []byte) {
			r.logf("panic %v", value)
			if c, ok := owner.(*Conn); ok {
				r.loop.Defer(c.Kill)
			} else {
				t.Errorf("panic without a connection: %v\n%s", value, stack)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.conn != nil {
			r.conn.Close(network.NoFlush, "")
			r.peer.Close()
		}
		r.loop.Turn()
		if n := r.loop.Buffers().InUse(); n != 0 {
			t.Errorf("%d buffer blocks are still in use", n)
		}
		r.loop.Close()
	})
	return r
}

// accept makes the connection and its peer.
func (r *rig) accept(limit int) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.peer = client.(*net.TCPConn)
	server, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.conn = NewServer(r.loop, r.socket(server.(*net.TCPConn)), Config{ID: 1, BufferLimit: limit, MeasureRTT: true})
	r.conn.AddCallbacks(r)
}

// socket returns c as the loop takes it.
func (r *rig) socket(c *net.TCPConn) sock.Socket {
	s := sock.Socket{FD: -1, Conn: c, Local: address.FromNetAddr(c.LocalAddr()), Remote: address.FromNetAddr(c.RemoteAddr())}
	if r.portable() {
		return s
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { s.FD, err = dup(int(fd)) }); err != nil {
		r.t.Fatal(err)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	s.Conn = nil
	return s
}

func (r *rig) portable() bool {
	return strings.HasPrefix(r.t.Name()[strings.Index(r.t.Name(), "/")+1:], "portable")
}

func (r *rig) logf(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }

func (r *rig) OnEvent(e network.Event) {
	r.logf("event %s", [...]string{"Connected", "RemoteClose", "LocalClose"}[e])
}
func (r *rig) OnWriteBufferHigh() { r.logf("high") }
func (r *rig) OnWriteBufferLow()  { r.logf("low") }

// until turns the loop until f returns true.
func (r *rig) until(f func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("nothing happens; so far:\n%s", strings.Join(r.log, "\n"))
		}
		r.loop.Turn()
		runtime.Gosched()
	}
}

func (r *rig) logged(line string) func() bool {
	return func() bool { return strings.Contains(strings.Join(r.log, "\n"), line) }
}

// write writes text to the peer.
func (r *rig) write(text string, end bool) {
	var b buffer.Buffer
	b.Init(r.loop.Buffers())
	b.AppendString(text)
	r.conn.Write(&b, end)
	if b.Len() != 0 {
		r.t.Errorf("Write left %d bytes", b.Len())
	}
}

// A sink is a read filter that takes everything.
type sink struct {
	onData func(data *buffer.Buffer, end bool)
	cb     network.ReadCallbacks
}

func (s *sink) InitializeRead(cb network.ReadCallbacks) { s.cb = cb }
func (s *sink) OnNewConnection() network.FilterStatus   { return network.Continue }
func (s *sink) OnData(data *buffer.Buffer, end bool) network.FilterStatus {
	if s.onData != nil {
		s.onData(data, end)
	}
	data.Drain(data.Len())
	return network.StopIteration
}

func TestEcho(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		r.conn.EnableHalfClose(true)
		r.conn.AddReadFilter(&sink{onData: func(data *buffer.Buffer, end bool) { r.conn.Write(data, end) }})
		r.conn.Start()
		const text = "to be echoed"
		io.WriteString(r.peer, text)
		r.peer.CloseWrite()
		got := make(chan string, 1)
		go func() {
			all, _ := io.ReadAll(r.peer)
			got <- string(all)
		}()
		r.until(r.logged("event"))
		if s := <-got; s != text {
			t.Errorf("got %q", s)
		}
		s := r.conn.Stream()
		if s.BytesReceived != uint64(len(text)) || s.BytesSent != uint64(len(text)) {
			t.Errorf("counted %d and %d bytes", s.BytesReceived, s.BytesSent)
		}
	})
}

// TestRTT: only a descriptor can be asked for the round trip time of the handshake.
func TestRTT(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		info := newRig(t, portable, 0).conn.Info()
		if info.HasRTT == portable || info.RTT < 0 || info.RTT > time.Minute {
			t.Errorf("%v, %t", info.RTT, info.HasRTT)
		}
	})
}

func TestReset(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		r.conn.Start()
		r.peer.SetLinger(0)
		r.peer.Close()
		r.until(r.logged("event RemoteClose"))
		if got := r.conn.Info().CloseType.String(); got != "RemoteReset" {
			t.Errorf("detected %s", got)
		}
	})
}

func TestAbortReset(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		r.conn.AddReadFilter(&sink{onData: func(*buffer.Buffer, bool) { r.logf("data") }})
		r.conn.Start()
		io.WriteString(r.peer, "x")
		r.until(r.logged("data"))
		r.write("lost", false)
		r.conn.Close(network.AbortReset, "because")
		if got := r.conn.Info(); got.CloseType.String() != "LocalReset" || got.LocalCloseReason != "because" {
			t.Errorf("%s, %s", got.CloseType, got.LocalCloseReason)
		}
		if _, err := r.peer.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("the peer sees %v", err)
		}
	})
}

func TestDial(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		if portable && runtime.GOOS == "linux" {
			t.Skip("sock makes descriptors here")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := newLoop(t, portable)
		remote := address.FromNetAddr(l.Addr())
		r.conn = Dial(r.loop, remote, &sock.ConnectOptions{}, time.Second, Config{ID: 1})
		r.conn.AddCallbacks(r)
		r.conn.AddReadFilter(&sink{})
		r.write("early", false)
		r.until(r.logged("event Connected"))
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r.peer = accepted.(*net.TCPConn)
		r.loop.Turn()
		got := make([]byte, 5)
		if _, err := io.ReadFull(accepted, got); err != nil || string(got) != "early" {
			t.Errorf("%q, %v", got, err)
		}
		if a := r.conn.Info(); a.Local.String() != accepted.RemoteAddr().String() || a.Remote != remote {
			t.Errorf("addresses %s, %s", a.Local, a.Remote)
		}
		l.Close()

		r.log = nil
		c := Dial(r.loop, remote, &sock.ConnectOptions{}, time.Second, Config{ID: 2})
		c.AddCallbacks(r)
		r.until(r.logged("event RemoteClose"))
		if c.TransportFailure() != "delayed connect error: Connection refused" {
			t.Errorf("failure %q", c.TransportFailure())
		}

		r.log = nil
		c = Dial(r.loop, address.Unix("/nonexistent/socket"), &sock.ConnectOptions{}, 0, Config{ID: 3})
		c.AddCallbacks(r)
		if len(r.log) > 0 {
			t.Error("told before Dial returned")
		}
		r.until(r.logged("event RemoteClose"))
		if c.TransportFailure() != "immediate connect error: No such file or directory|remote address:/nonexistent/socket" {
			t.Errorf("failure %q", c.TransportFailure())
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	r := newLoop(t, false)
	// A listening socket whose queue is full lets a connect hang.
	l, err := sock.Listen(address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")), &sock.ListenOptions{Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c *Conn
	for range 5 {
		c = Dial(r.loop, l.Address(), &sock.ConnectOptions{}, 100*time.Millisecond, Config{})
		defer c.Close(network.NoFlush, "")
		r.loop.Turn()
	}
	if c.State() != network.Connecting {
		t.Skip("the system takes all connections")
	}
	c.AddCallbacks(r)
	r.now = r.now.Add(101 * time.Millisecond)
	r.until(r.logged("event LocalClose"))
	if !c.TimedOut() {
		t.Error("not timed out")
	}
}

func TestPanic(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 0)
		bad := &badCallbacks{}
		r.conn.RemoveCallbacks(r)
		r.conn.AddCallbacks(bad)
		r.conn.AddCallbacks(r)
		r.conn.AddReadFilter(&sink{onData: func(*buffer.Buffer, bool) { panic("in OnData") }})
		r.conn.Start()
		io.WriteString(r.peer, "x")
		r.until(r.logged("event LocalClose"))
		if got := strings.Join(r.log, ", "); got != "panic in OnData, panic in OnEvent, event LocalClose" {
			t.Error(got)
		}
		if _, err := r.peer.Read(make([]byte, 1)); err == nil {
			t.Error("the peer's connection is still open")
		}
	})
}

type badCallbacks struct{ removed }

func (*badCallbacks) OnEvent(network.Event) { panic("in OnEvent") }

// TestCost fixes what a connection costs: memory at rest, and no allocation per
// message.
func TestCost(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 1024 {
		t.Errorf("a connection takes %d bytes", size)
	}
	if runtime.GOOS != "linux" {
		return
	}
	r := newRig(t, false, 1<<20)
	r.conn.AddReadFilter(&sink{onData: func(data *buffer.Buffer, _ bool) { r.conn.Write(data, false) }})
	r.conn.Start()
	buf := make([]byte, 100)
	cycle := func() {
		r.peer.Write(buf)
		r.loop.Turn()
		r.peer.Read(buf)
	}
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
	if n := r.loop.Buffers().InUse(); n != 0 {
		t.Errorf("a connection at rest holds %d blocks", n)
	}
}

var errTest = errors.New("test")

func TestDescribe(t *testing.T) {
	if got := describe(&os.PathError{Op: "x", Path: "y", Err: errTest}); got != "X y: test" {
		t.Error(got)
	}
}

// TestStuckPeer writes to a peer that reads nothing: the connection says so, and
// does not wait for ever to close.
func TestStuckPeer(t *testing.T) {
	eachPoller(t, func(t *testing.T, portable bool) {
		r := newRig(t, portable, 1<<20)
		scope := metrics.New(1)
		r.conn.SetStats(&network.ConnectionStats{ReadTotal: scope.Counter("rx"), WriteTotal: scope.Counter("tx"),
			ReadBuffered: scope.Gauge("rx_buffered"), WriteBuffered: scope.Gauge("tx_buffered"), DelayedCloseTimeouts: scope.Counter("timeouts")})
		r.conn.SetDelayedCloseTimeout(time.Second)
		r.conn.Start()
		const size = 32 << 20 // more than a socket takes
		r.write(strings.Repeat("x", size), false)
		if !r.conn.AboveHighWatermark() || r.conn.BufferLimit() != 1<<20 || strings.Join(r.log, " ") != "high" {
			t.Errorf("%v, %d, %s", r.conn.AboveHighWatermark(), r.conn.BufferLimit(), r.log)
		}
		r.loop.Turn()
		if tx, left := scope.Value("tx"), scope.Value("tx_buffered"); tx == 0 || tx+left != size {
			t.Errorf("%d written, %d left", tx, left)
		}
		r.conn.Close(network.FlushWrite, "done")
		if r.loop.Turn(); r.conn.State() != network.Closing {
			t.Errorf("state %d", r.conn.State())
		}
		// As long as the socket takes some, the time begins anew.
		closed := r.logged("event LocalClose")
		r.until(func() bool { r.now = r.now.Add(500 * time.Millisecond); return closed() })
		if got := r.conn.Info().LocalCloseReason; got != "triggered_delayed_close_timeout" || scope.Value("timeouts") != 1 {
			t.Errorf("%s, %d", got, scope.Value("timeouts"))
		}
		if scope.Value("tx_buffered") != 0 {
			t.Error("buffered bytes are left in the statistics")
		}
	})
}
