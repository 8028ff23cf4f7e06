package event

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// socketPair returns two connected descriptors, as sock makes them.
func socketPair(t testing.TB) [2]int {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// A ping returns what it reads, and counts.
type ping struct {
	socket Socket
	bufs   [1][]byte
	onPing func()
}

func (p *ping) OnReady(Ready) {
	for {
		p.bufs[0] = p.socket.loop.scratch[:]
		n, err := p.socket.Read(p.bufs[:])
		if err != nil {
			return
		}
		p.onPing()
		p.bufs[0] = p.socket.loop.scratch[:n]
		if _, err := p.socket.Write(p.bufs[:]); err != nil {
			return
		}
	}
}

// BenchmarkPingPong is the cost of a turn with one event, a read and a write,
// where poll, read and write are system calls; compare with BenchmarkSystemCalls.
func BenchmarkPingPong(b *testing.B) {
	pingPong(b, func(*Loop) func() { return func() {} })
}

// pingPong runs the benchmark; work returns what each of the two does for a ping.
func pingPong(b *testing.B, work func(*Loop) func()) {
	l, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	fds := socketPair(b)
	var pair [2]ping
	n := 0
	for i := range pair {
		p := &pair[i]
		extra := work(l)
		p.onPing = func() {
			extra()
			if n++; n == b.N {
				l.Stop()
			}
		}
		p.socket.Open(fds[i], nil, nil)
		if err := p.socket.Attach(l, p, Readable); err != nil {
			b.Fatal(err)
		}
		defer p.socket.Close(false)
	}
	if _, err := pair[0].socket.Write([][]byte{make([]byte, 100)}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	l.Run(context.Background())
}

// BenchmarkPingPongTimers is BenchmarkPingPong with what a request adds: timers and
// work at the end of the turn.
func BenchmarkPingPongTimers(b *testing.B) {
	nothing := func() {}
	pingPong(b, func(l *Loop) func() {
		idle, request := l.NewTimer(nothing), l.NewTimer(nothing)
		return func() {
			idle.Enable(time.Hour)
			request.Enable(15 * time.Second)
			l.Defer(nothing)
			request.Disable()
		}
	})
}

// BenchmarkSystemCalls makes the system calls of BenchmarkPingPong and nothing else.
func BenchmarkSystemCalls(b *testing.B) {
	p, err := newPoller(nil, false)
	if err != nil {
		b.Fatal(err)
	}
	defer p.close()
	fds := socketPair(b)
	buf := make([]byte, ScratchSize)
	for _, fd := range fds {
		defer syscall.Close(fd)
		if _, err := p.(*epoll).add(fd, syscall.EPOLLIN|syscall.EPOLLRDHUP|epollEdge, nil); err != nil {
			b.Fatal(err)
		}
	}
	sockets := [2]Socket{{fd: int32(fds[0])}, {fd: int32(fds[1])}}
	bufs := [][]byte{buf[:100]}
	sockets[1].writeFD(bufs)
	for i := 0; b.Loop(); i++ {
		if !p.poll() {
			b.Fatal("nothing to read")
		}
		p.(*epoll).count = 0
		bufs[0] = buf
		n, _, _ := sockets[i%2].readFD(bufs)
		bufs[0] = buf[:n]
		sockets[i%2].writeFD(bufs)
	}
}
