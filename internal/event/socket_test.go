package event

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// An echo returns what it reads, at most perTurn bytes in a turn, and closes after
// the peer did.
type echo struct {
	s       *Socket
	perTurn int
	buf     []byte
	unsent  []byte
	ended   bool
	err     error
	closed  chan struct{}
	onBytes func(n int) (stop bool)
}

func (e *echo) OnReady(r Ready) {
	if !e.flush() {
		return
	}
	for read := 0; !e.ended; {
		n, err := e.s.Read([][]byte{e.buf[:len(e.buf)/3], e.buf[len(e.buf)/3:]})
		switch {
		case errors.Is(err, ErrAgain):
			return
		case err != nil:
			e.ended, e.err = true, err
		}
		if n > 0 && e.onBytes != nil && e.onBytes(n) {
			return
		}
		e.unsent = e.buf[:n]
		if !e.flush() {
			return
		}
		if read += n; read >= e.perTurn && !e.ended {
			e.s.Requeue(Readable)
			return
		}
	}
	e.s.Close(false)
	close(e.closed)
}

// flush reports whether everything was sent.
func (e *echo) flush() bool {
	n, err := e.s.Write([][]byte{e.unsent[:len(e.unsent)/2], nil, e.unsent[len(e.unsent)/2:]})
	e.unsent = e.unsent[n:]
	if err != nil && !errors.Is(err, ErrAgain) {
		e.ended, e.err = true, err
		return true
	}
	return err == nil
}

func newEcho(s *Socket) *echo {
	return &echo{s: s, perTurn: 100_000, buf: make([]byte, 50_000), closed: make(chan struct{})}
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// TestEcho sends more than any buffer holds in both directions at once, and ends
// with the peer's end.
func TestEcho(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		var e *echo
		_, peer := attach(t, k, l, func(s *Socket) Observer { e = newEcho(s); return e })
		data := randomBytes(8 << 20)
		go func() {
			_, _ = peer.Write(data)
			_ = peer.CloseWrite()
		}()
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(data), err)
		}
		<-e.closed
		if !errors.Is(e.err, io.EOF) {
			t.Errorf("ended with %v", e.err)
		}
	})
}

// TestWriteAfterPeerClosed fails with a reset sooner or later, and does not kill
// the process.
func TestWriteAfterPeerClosed(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		failed := make(chan error, 1)
		buf := [][]byte{make([]byte, 10_000)}
		s, peer := attach(t, k, l, func(s *Socket) Observer {
			return observerFunc(func(Ready) {
				for s.IsOpen() {
					if _, err := s.Write(buf); errors.Is(err, ErrAgain) {
						return
					} else if err != nil {
						s.Close(false)
						failed <- err
					}
				}
			})
		})
		_ = peer.SetLinger(0)
		peer.Close()
		on(l, func() {
			if s.IsOpen() {
				s.Requeue(Writable)
			}
		})
		if err := <-failed; !IsReset(err) {
			t.Errorf("write fails with %v", err)
		}
	})
}

func TestPeerResets(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		failed := make(chan error, 1)
		_, peer := attach(t, k, l, func(s *Socket) Observer {
			return observerFunc(func(r Ready) {
				_, err := s.Read([][]byte{make([]byte, 10)})
				if r&Failed == 0 || r&Readable == 0 {
					t.Errorf("ready for %b", r)
				}
				s.Close(false)
				failed <- err
			})
		})
		_ = peer.SetLinger(0)
		peer.Close()
		if err := <-failed; !IsReset(err) {
			t.Errorf("read fails with %v", err)
		}
	})
}

func TestResetPeer(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		s, peer := attach(t, k, l, func(*Socket) Observer { return observerFunc(func(Ready) {}) })
		on(l, func() { s.Close(true); s.Close(true) })
		if _, err := peer.Read(make([]byte, 1)); !IsReset(err) {
			t.Errorf("the peer reads %v", err)
		}
		if _, err := s.Read([][]byte{make([]byte, 1)}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket reads %v", err)
		}
	})
}

// TestPeerClosedIsToldWithoutReading: who does not read learns of the end all the
// same.
func TestPeerClosedIsToldWithoutReading(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		told := make(chan Ready, 100)
		s, peer := attach(t, k, l, func(*Socket) Observer { return observerFunc(func(r Ready) { told <- r }) })
		_, _ = peer.Write([]byte("unread"))
		if r := <-told; r != Readable {
			t.Errorf("first ready for %b", r)
		}
		_ = peer.CloseWrite()
		for r := range told {
			if r&PeerClosed != 0 {
				break
			}
		}
		on(l, func() {
			buf := make([]byte, 100)
			n, err := s.Read([][]byte{buf})
			_, end := s.Read([][]byte{buf})
			if string(buf[:n]) != "unread" || err != nil || !errors.Is(end, io.EOF) {
				t.Errorf("%q, %v, then %v", buf[:n], err, end)
			}
			s.Close(false)
		})
	})
}

func TestCloseSendsWhatWasWritten(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		s, peer := attach(t, k, l, func(*Socket) Observer { return observerFunc(func(Ready) {}) })
		data := randomBytes(4 << 20)
		written := 0
		on(l, func() {
			var err error
			if written, err = s.Write([][]byte{data}); !errors.Is(err, ErrAgain) {
				t.Errorf("write returns %v", err)
			}
			s.Close(false)
		})
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, data[:written]) || written == 0 {
			t.Errorf("%d bytes came of %d: %v", len(got), written, err)
		}
	})
}

// TestCloseAtOnce closes in the turn in which the connection came.
func TestCloseAtOnce(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		for range 20 {
			ours, peer := connPair(t)
			on(l, func() {
				var s Socket
				k.open(t, &s, ours)
				if err := s.Attach(l, observerFunc(func(Ready) { t.Error("told after Close") }), Readable); err != nil {
					t.Error(err)
				}
				if _, err := s.Write([][]byte{[]byte("busy")}); err != nil {
					t.Error(err)
				}
				s.Close(false)
			})
			if got, err := io.ReadAll(peer); string(got) != "busy" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

func TestHalfClose(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		read := make(chan string, 1)
		s, peer := attach(t, k, l, func(s *Socket) Observer {
			return observerFunc(func(Ready) {
				buf := make([]byte, 10)
				if n, err := s.Read([][]byte{buf}); err == nil {
					read <- string(buf[:n])
				}
			})
		})
		on(l, func() {
			if _, err := s.Write([][]byte{[]byte("bye")}); err != nil {
				t.Error(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		if got, err := io.ReadAll(peer); string(got) != "bye" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_, _ = peer.Write([]byte("more"))
		if got := <-read; got != "more" {
			t.Errorf("%q after CloseWrite", got)
		}
		on(l, func() {
			if _, err := s.Write([][]byte{[]byte("x")}); !IsReset(err) {
				t.Errorf("write after CloseWrite: %v", err)
			}
			s.Close(false)
		})
	})
}

func TestConnect(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		connect := func(to string, check func(s *Socket, r Ready, err error)) {
			var s Socket
			done := make(chan struct{})
			k.connect(t, &s, to)
			on(l, func() {
				err := s.Attach(l, observerFunc(func(r Ready) {
					err := s.Connected()
					if errors.Is(err, ErrAgain) {
						return
					}
					check(&s, r, err)
					s.Close(false)
					close(done)
				}), Readable|Writable)
				if err != nil {
					t.Error(err)
				}
			})
			<-done
		}
		listener := listenTCP(t)
		connect(listener.Addr().String(), func(s *Socket, r Ready, err error) {
			if err != nil || r != Writable {
				t.Errorf("connected with %v, ready for %b", err, r)
			}
			if s.RemoteAddress() != address.FromNetAddr(listener.Addr()) || s.LocalAddress().Port() == 0 {
				t.Errorf("from %v to %v", s.LocalAddress(), s.RemoteAddress())
			}
		})
		listener.Close()
		connect(listener.Addr().String(), func(_ *Socket, r Ready, err error) {
			if !IsRefused(err) || r&Failed == 0 {
				t.Errorf("connected with %v, ready for %b", err, r)
			}
		})
	})
}

// TestCloseWhileConnecting leaves nothing behind (run looks for goroutines).
func TestCloseWhileConnecting(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		listener := listenTCP(t)
		on(l, func() {
			var s Socket
			k.connect(t, &s, listener.Addr().String())
			if err := s.Attach(l, observerFunc(func(Ready) { t.Error("told after Close") }), Readable|Writable); err != nil {
				t.Error(err)
			}
			s.Requeue(Readable)
			s.Close(false)
		})
	})
}

// TestMove lets a connection wander between two loops while bytes come in.
func TestMove(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		loops := [2]*Loop{start(t, Config{Portable: k.portable}), start(t, Config{Portable: k.portable})}
		var e *echo
		moves := 0
		_, peer := attach(t, k, loops[0], func(s *Socket) Observer {
			e = newEcho(s)
			e.onBytes = func(n int) bool {
				moves++
				to := loops[moves%2]
				e.unsent = e.buf[:n]
				e.flush() // an unfinished write goes on elsewhere
				s.Requeue(Readable)
				s.Detach()
				return to.Post(func() {
					if err := s.Attach(to, e, Readable); err != nil {
						t.Error(err)
					}
				})
			}
			return e
		})
		data := randomBytes(3 << 20)
		var wg sync.WaitGroup
		wg.Go(func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(60_000))
				_, _ = peer.Write(rest[:n])
				rest = rest[n:]
			}
			_ = peer.CloseWrite()
		})
		got, err := io.ReadAll(peer)
		wg.Wait()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(data), err)
		}
		<-e.closed
		if moves < 10 {
			t.Errorf("only %d moves", moves)
		}
	})
}

func TestAcceptor(t *testing.T) {
	run(t, func(t *testing.T, k kind) {
		l := start(t, Config{Portable: k.portable})
		listener := listenTCP(t)
		fd, accept := k.listen(t, listener)
		accepted := make(chan net.Conn, 10)
		var a *Acceptor[closer]
		on(l, func() {
			var err error
			a, err = NewAcceptor(l, fd, accept, func() { // one a turn: the rest comes again
				c, err := a.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				accepted <- c.Conn
				if len(accepted) == cap(accepted)-1 {
					a.Pause()
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
		var clients []net.Conn
		dial := func(n int) {
			for range n {
				c, err := net.Dial("tcp", listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				clients = append(clients, c)
			}
		}
		dial(cap(accepted) + 2)
		waitUntil(t, "the acceptor pauses", func() bool { return len(accepted) == cap(accepted)-1 })
		on(l, func() {
			for len(accepted) > 0 {
				(<-accepted).Close()
			}
			a.Pause()
			if err := a.Resume(); err != nil {
				t.Error(err)
			}
		})
		for range 3 {
			(<-accepted).Close()
		}
		on(l, func() { a.Close(); a.Close() })
		dial(1)
		on(l, func() {})
		if len(accepted) != 0 {
			t.Error("accepts after Close")
		}
		listener.Close()
		for _, c := range clients {
			c.Close()
		}
	})
}

// TestStreamOfPipe: a connection in memory, without addresses or half-close, is a
// socket like any other.
func TestStreamOfPipe(t *testing.T) {
	l := start(t, Config{Portable: true})
	ours, peer := net.Pipe()
	var s Socket
	s.Open(-1, ours, nil)
	e := newEcho(&s)
	on(l, func() {
		if err := s.Attach(l, e, Readable); err != nil {
			t.Error(err)
		}
		if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite: %v", err)
		}
		if s.LocalAddress().IsValid() || s.FD() != -1 {
			t.Errorf("address %v, descriptor %d", s.LocalAddress(), s.FD())
		}
	})
	data := randomBytes(300_000)
	go func() { _, _ = peer.Write(data) }()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("echo differs: %v", err)
	}
	peer.Close()
	<-e.closed
	if !errors.Is(e.err, io.EOF) {
		t.Errorf("ended with %v", e.err)
	}
}
