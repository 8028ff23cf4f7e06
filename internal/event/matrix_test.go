package event

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"
)

// A kind is a way in which a loop can have a connection. Tests of sockets run with
// all kinds, through run.
type kind struct {
	name     string
	portable bool // of the loop
	// open makes s the connection c.
	open func(t *testing.T, s *Socket, c *net.TCPConn)
	// connect makes s a connection to address that is being made.
	connect func(t *testing.T, s *Socket, address string)
	// listen returns NewAcceptor's arguments for a listening socket.
	listen func(t *testing.T, l *net.TCPListener) (fd int, accept func() (closer, error))
}

// A closer is a connection as Acceptor takes it.
type closer struct{ net.Conn }

func (c closer) Close() { c.Conn.Close() }

func openConn(_ *testing.T, s *Socket, c *net.TCPConn) { s.Open(-1, c, nil) }

func connectDial(_ *testing.T, s *Socket, address string) {
	s.Open(-1, nil, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

func listenBlocking(_ *testing.T, l *net.TCPListener) (int, func() (closer, error)) {
	return -1, func() (closer, error) {
		c, err := l.Accept()
		return closer{c}, err
	}
}

// run runs f as a subtest for each kind, and looks for goroutines left over.
func run(t *testing.T, f func(t *testing.T, k kind)) {
	kinds := append(systemKinds(),
		kind{"portable socket", false, openConn, connectDial, listenBlocking},
		kind{"portable loop", true, openConn, connectDial, listenBlocking})
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			t.Cleanup(func() { waitUntil(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before }) })
			f(t, k)
		})
	}
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// start runs a loop until the test ends.
func start(t *testing.T, c Config) *Loop {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(t.Context())
	}()
	t.Cleanup(func() { <-ended })
	return l
}

// on runs f on the loop and waits for it.
func on(l *Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() {
		defer close(done)
		f()
	})
	<-done
}

// connPair returns the two ends of a TCP connection.
func connPair(t *testing.T) (ours, peers *net.TCPConn) {
	t.Helper()
	l := listenTCP(t)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, peer.(*net.TCPConn)
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// An observerFunc is an Observer.
type observerFunc func(Ready)

func (f observerFunc) OnReady(r Ready) { f(r) }

// attach opens one end of a connection on l with the observer that makeObserver
// returns, and returns the other.
func attach(t *testing.T, k kind, l *Loop, makeObserver func(*Socket) Observer) (*Socket, *net.TCPConn) {
	t.Helper()
	ours, peer := connPair(t)
	s := new(Socket)
	k.open(t, s, ours)
	on(l, func() {
		if err := s.Attach(l, makeObserver(s), Readable); err != nil {
			t.Error(err)
		}
	})
	return s, peer
}
