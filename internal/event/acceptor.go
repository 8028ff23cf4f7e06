package event

import (
	"errors"
	"net"
)

// acceptAhead is how many connections an acceptor without descriptor holds.
const acceptAhead = 16

// An Acceptor tells a loop of the connections that wait at a listening socket. T
// is what accepting makes: sock.Socket. It belongs to its loop's goroutine.
type Acceptor[T interface{ Close() }] struct {
	loop    *Loop
	accept  func() (T, error)
	onReady func()
	paused  bool
	closed  bool

	// with a descriptor:
	fd    int
	watch watch

	// without: a goroutine accepts ahead
	accepted chan acceptResult[T]
	done     chan struct{}
	ready    func()
}

type acceptResult[T any] struct {
	conn T
	err  error
}

// NewAcceptor watches the listening socket fd; or, if that is negative, calls
// accept on a goroutine until it returns net.ErrClosed. onReady is called on the
// loop, turn after turn, while connections wait: it calls Accept until ErrAgain,
// or as often as it likes. Several loops may share a listening socket.
func NewAcceptor[T interface{ Close() }](l *Loop, fd int, accept func() (T, error), onReady func()) (*Acceptor[T], error) {
	a := &Acceptor[T]{loop: l, fd: fd, accept: accept, onReady: onReady}
	if fd >= 0 {
		return a, a.add()
	}
	a.accepted, a.done = make(chan acceptResult[T], acceptAhead), make(chan struct{})
	a.ready = a.tell
	go a.goAccept()
	return a, nil
}

func (a *Acceptor[T]) goAccept() {
	for {
		conn, err := a.accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case a.accepted <- acceptResult[T]{conn, err}:
			if a.loop.Post(a.ready) {
				continue
			}
			a.discard()
		case <-a.done:
			if err == nil {
				conn.Close()
			}
		}
		return
	}
}

func (a *Acceptor[T]) tell() {
	if a.paused || a.closed || len(a.accepted) == 0 {
		return
	}
	a.onReady()
	if len(a.accepted) > 0 && !a.closed {
		a.loop.Post(a.ready)
	}
}

// Accept returns the next connection; ErrAgain if there is none; or an error of
// the accept function, after which it may be called again.
func (a *Acceptor[T]) Accept() (conn T, err error) {
	if a.fd >= 0 {
		return a.accept()
	}
	select {
	case r := <-a.accepted:
		return r.conn, r.err
	default:
		return conn, ErrAgain
	}
}

// Pause stops the calls of onReady, as is right when accepting fails for lack of
// descriptors: the connections wait in the system's queue.
func (a *Acceptor[T]) Pause() {
	if !a.paused && !a.closed {
		a.paused = true
		a.remove()
	}
}

// Resume ends Pause. It fails as NewAcceptor does; then a is still paused.
func (a *Acceptor[T]) Resume() error {
	if !a.paused || a.closed {
		return nil
	}
	a.paused = false
	if a.fd < 0 {
		a.loop.Post(a.ready)
		return nil
	}
	if err := a.add(); err != nil {
		a.paused = true
		return err
	}
	return nil
}

// Close stops watching. It comes before the listening socket is closed, which its
// owner does, and which ends the goroutine if there is one.
func (a *Acceptor[T]) Close() {
	if a.closed {
		return
	}
	if !a.paused {
		a.remove()
	}
	a.closed = true
	if a.fd < 0 {
		close(a.done)
		a.discard()
	}
}

func (a *Acceptor[T]) discard() {
	for {
		select {
		case r := <-a.accepted:
			if r.err == nil {
				r.conn.Close()
			}
		default:
			return
		}
	}
}
