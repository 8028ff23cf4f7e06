package event

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// ready makes n sockets on l that all have a byte to read, and their peers.
func readySockets(t *testing.T, l *Loop, n int, onReady func(i int, s []*Socket, r Ready)) (sockets []*Socket, peers []int) {
	t.Helper()
	sockets = make([]*Socket, n)
	for i := range sockets {
		fds := socketPair(t)
		s := new(Socket)
		s.Open(fds[0], nil, nil)
		sockets[i], peers = s, append(peers, fds[1])
		t.Cleanup(func() { syscall.Close(fds[1]); s.Close(false) })
		err := s.Attach(l, observerFunc(func(r Ready) { onReady(i, sockets, r) }), Readable)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Write(fds[1], []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	return sockets, peers
}

// TestStaleEvents: sockets are closed, detached and replaced while events for them
// wait in the same batch. The descriptor and the slot of a closed one are used
// again at once.
func TestStaleEvents(t *testing.T) {
	l := newTurned(t, Config{})
	var told []string
	fresh := new(Socket)
	sockets, peers := readySockets(t, l, 5, func(i int, s []*Socket, _ Ready) {
		told = append(told, fmt.Sprint(i))
		if i != 0 {
			return
		}
		s[1].Close(false)
		fds := socketPair(t)
		t.Cleanup(func() { syscall.Close(fds[1]); fresh.Close(false) })
		fresh.Open(fds[0], nil, nil)
		if err := fresh.Attach(l, observerFunc(func(Ready) { told = append(told, "fresh") }), Readable); err != nil {
			t.Error(err)
		}
		s[2].Detach()
		s[3].Requeue(Readable)
		s[3].Close(false)
	})
	l.Turn()
	l.Turn()
	if !slices.Equal(told, []string{"0", "4"}) {
		t.Fatalf("told %v", told)
	}
	// What came to a detached socket is told when it is attached again.
	if err := sockets[2].Attach(l, observerFunc(func(Ready) { told = append(told, "2 again") }), Readable); err != nil {
		t.Fatal(err)
	}
	l.Turn()
	if !slices.Equal(told, []string{"0", "4", "2 again"}) {
		t.Fatalf("told %v", told)
	}
	if len(l.poll.(*epoll).slots) != len(peers) {
		t.Errorf("%d slots for %d sockets", len(l.poll.(*epoll).slots), len(peers))
	}
}

func TestPanicOfAnObserver(t *testing.T) {
	var blamed []any
	l := newTurned(t, Config{OnPanic: func(owner, _ any, _ []byte) { blamed = append(blamed, owner) }})
	var told []int
	sockets, _ := readySockets(t, l, 3, func(i int, s []*Socket, r Ready) {
		told = append(told, i)
		if i == 1 {
			s[0].Requeue(Readable)
			panic("no")
		}
	})
	culprit := &ping{onPing: func() { panic("ping") }}
	fds := socketPair(t)
	defer syscall.Close(fds[1])
	culprit.socket.Open(fds[0], nil, nil)
	defer culprit.socket.Close(false)
	if err := culprit.socket.Attach(l, culprit, Readable); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fds[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	l.Turn()
	l.Turn()
	if !slices.Equal(told, []int{0, 1, 2, 0}) || len(blamed) != 2 || blamed[1] != any(culprit) {
		t.Errorf("told %v, blamed %v of %v", told, blamed, sockets)
	}
}

// TestReadStopsWithoutSystemCall: after a short read the socket knows that it is
// empty, until the next event.
func TestReadStopsWithoutSystemCall(t *testing.T) {
	l := newTurned(t, Config{})
	events := 0
	sockets, peers := readySockets(t, l, 1, func(int, []*Socket, Ready) { events++ })
	s, buf := sockets[0], [][]byte{make([]byte, 10)}
	l.Turn()
	if n, err := s.Read(buf); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := syscall.Write(peers[0], []byte{2}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(buf); !errors.Is(err, ErrAgain) {
		t.Errorf("reads %v without an event", err)
	}
	l.Turn()
	if n, err := s.Read(buf); n != 1 || err != nil || events != 2 {
		t.Errorf("%d events, read %d, %v", events, n, err)
	}
}

// TestTurnDoesNotAllocate is the budget of everything that a request does with its
// loop.
func TestTurnDoesNotAllocate(t *testing.T) {
	l := newTurned(t, Config{OnPanic: func(any, any, []byte) {}})
	fds := socketPair(t)
	defer syscall.Close(fds[1])
	var p ping
	idle, request := l.NewTimer(func() {}), l.NewTimer(func() {})
	fired := l.NewTimer(func() {})
	nothing, pings := func() {}, 0
	p.onPing = func() {
		pings++
		idle.Enable(time.Hour)
		request.Enable(15 * time.Second)
		request.Disable()
		fired.Enable(0)
		l.Defer(nothing)
		l.Post(nothing)
		p.socket.Requeue(Readable)
	}
	p.socket.Open(fds[0], nil, nil)
	defer p.socket.Close(false)
	if err := p.socket.Attach(l, &p, Readable); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	turn := func() {
		if _, err := syscall.Write(fds[1], buf); err != nil {
			t.Fatal(err)
		}
		l.Turn()
		if n, err := syscall.Read(fds[1], buf); n != len(buf) || err != nil {
			t.Fatal(n, err)
		}
	}
	turn()
	turn()
	if n := testing.AllocsPerRun(200, turn); n != 0 {
		t.Errorf("%v allocations in a turn", n)
	}
	if pings < 200 {
		t.Errorf("only %d pings", pings)
	}
}

func TestAttachFails(t *testing.T) {
	fds := socketPair(t)
	defer syscall.Close(fds[1])
	var s Socket
	s.Open(fds[0], nil, nil)
	defer s.Close(false)
	for name, l := range map[string]*Loop{"portable": newTurned(t, Config{Portable: true}), "epoll": newTurned(t, Config{})} {
		if name == "epoll" {
			s.fd += 1000 // no such descriptor
		}
		if err := s.Attach(l, observerFunc(func(Ready) {}), Readable); err == nil {
			t.Errorf("%s: attached", name)
		}
		s.Detach() // of a socket that is not attached: nothing
		s.fd = int32(fds[0])
	}
}

func TestAddressesOfUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s Socket
	s.Open(descriptor(t, c.(*net.UnixConn)), nil, nil)
	if s.LocalAddress() != address.Unix(path) || s.RemoteAddress() != address.Unix(path) {
		t.Errorf("local %v, remote %v", s.LocalAddress(), s.RemoteAddress())
	}
	s.Close(false)
	if s.LocalAddress().IsValid() {
		t.Error("a closed socket has an address")
	}
}

// TestRTTOfUnixSocket: only TCP measures one, and a closed socket has none.
func TestRTTOfUnixSocket(t *testing.T) {
	fds := socketPair(t)
	defer syscall.Close(fds[1])
	var s Socket
	s.Open(fds[0], nil, nil)
	for range 2 {
		if rtt, ok := s.RTT(); ok {
			t.Errorf("open %t: %v", s.IsOpen(), rtt)
		}
		s.Close(false)
	}
}
