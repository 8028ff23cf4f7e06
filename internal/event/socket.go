package event

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// ErrAgain is returned by Read, Write, Connected and Accept when there is nothing
// to be had now. The observer is told when there is.
var ErrAgain error = syscall.EAGAIN

// IsReset reports whether err, from Read, Write or Connected, means that the peer
// has reset or abandoned the connection.
func IsReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// IsRefused reports whether err, from Connected, means that nobody listens there.
func IsRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// Ready says what a socket has become ready for.
type Ready uint8

const (
	// Readable: Read has bytes, the end, or an error to return.
	Readable Ready = 1 << iota
	// Writable: Write takes bytes again, or a connect is over (see Connected).
	Writable
	// PeerClosed: the peer sends no more; bytes it sent before may still be unread.
	PeerClosed
	// Failed: the connection was reset, or cannot be made. Read, Write or Connected
	// return the reason.
	Failed
)

// An Observer is told when its socket becomes ready, on the socket's loop.
type Observer interface {
	// OnReady is called when what r says has become true since the last Read or Write
	// that returned ErrAgain, not while it stays true; so who does not read or write
	// until ErrAgain has to remember, or to Requeue. Bits may be set that are of no
	// interest. PeerClosed and Failed always come with Readable. It is not called
	// after Close or Detach. It may close the socket.
	OnReady(r Ready)
}

type socketState uint8

const (
	drained     socketState = 1 << iota // the last read found the end of what has arrived
	full                                // the last write did not fit
	closing                             // PeerClosed or Failed was seen: a short read is not the end
	wantsWrites                         // writability is asked for
)

// A Socket is a stream connection that can be on a loop: a file descriptor, where
// the system has epoll, a net.Conn, or the end of a Pipe. It is part of a connection's object; the
// zero Socket is closed. It must not be copied after Open.
//
// It belongs to the goroutine of its loop; while it is on no loop, to whoever
// holds it.
type Socket struct {
	loop     *Loop // nil while on none
	observer Observer
	stream   *stream // nil, as pipe is: fd is in use
	pipe     *Pipe
	fd       int32
	open     bool
	state    socketState
	pending  Ready // requeued
	watch    watch // where the poller keeps it
}

// Open makes s the socket that sock handed out: a non-blocking stream socket fd;
// or c, unless it is nil; or what dial will return, unless it is nil. dial runs on
// a goroutine of its own, and its context ends when s is closed. s closes what it
// was given. It was closed before.
func (s *Socket) Open(fd int, c net.Conn, dial func(context.Context) (net.Conn, error)) {
	*s = Socket{fd: int32(fd), open: true}
	if c != nil || dial != nil {
		s.fd, s.stream = -1, newStream(c, dial)
	}
}

// IsOpen reports whether Open was called, and not yet Close.
func (s *Socket) IsOpen() bool { return s.open }

// FD returns the file descriptor, -1 if s has none.
func (s *Socket) FD() int { return int(s.fd) }

// Attach puts s, which is on no loop, on l and reports readiness to o from the
// next turn on, beginning with what is ready already. want is Readable, or
// Readable|Writable if a connect is in progress; after Write returned ErrAgain,
// Writable comes without being asked for. It fails when the system is short of
// memory or watches.
//
// To move a connection to another loop, Detach it on its own, Post to the other,
// and Attach it there.
func (s *Socket) Attach(l *Loop, o Observer, want Ready) error {
	s.loop, s.observer, s.pending = l, o, 0
	s.state &= full | wantsWrites
	if want&Writable != 0 || s.state&full != 0 {
		s.state |= wantsWrites
	}
	switch {
	case s.stream != nil:
		s.stream.attach(s)
		return nil
	case s.pipe != nil:
		return s.pipe.attach(want)
	}
	if err := s.add(); err != nil {
		s.loop, s.observer = nil, nil
		return err
	}
	return nil
}

// Detach takes s off its loop. It stays open, and can be attached to another one.
// Nothing is lost that arrives meanwhile.
func (s *Socket) Detach() {
	if s.loop == nil {
		return
	}
	switch {
	case s.stream != nil:
		s.stream.detach()
	case s.pipe == nil:
		s.remove()
	}
	s.dequeue()
	s.loop, s.observer = nil, nil
}

// Requeue calls the observer with r in the next turn, whether or not s is ready
// for it.
func (s *Socket) Requeue(r Ready) {
	if s.pending == 0 {
		s.loop.requeued.push(s)
	}
	s.pending |= r
}

func (s *Socket) runRequeued() {
	r := s.pending
	s.pending = 0
	s.tell(r)
}

// dequeue undoes Requeue. The loop must not look at s again: s may be on another
// one by then.
func (s *Socket) dequeue() {
	if s.pending != 0 {
		s.pending = 0
		remove(&s.loop.requeued, s)
		remove(&s.loop.running, s)
	}
}

func (s *Socket) tell(r Ready) {
	s.loop.owner = s.observer
	s.observer.OnReady(r)
}

// Connected returns the result of the connect that was in progress: nil,
// ErrAgain while it is not over, or why it failed. It is called after Writable or
// Failed.
func (s *Socket) Connected() error {
	switch {
	case s.stream != nil:
		return s.stream.connected()
	case s.pipe != nil:
		return s.pipe.connected()
	}
	return s.connectedFD()
}

// Read reads into bufs, which hold at least one byte and at most MaxSlices slices
// are used. It returns at least one byte, or the error: ErrAgain, io.EOF after the
// peer's end, or a system error (see IsReset). It knows without a system call when
// there is nothing more.
func (s *Socket) Read(bufs [][]byte) (int, error) {
	switch {
	case s.stream != nil:
		return s.stream.read(bufs)
	case s.pipe != nil:
		return s.pipe.read(bufs)
	case !s.open:
		return 0, net.ErrClosed
	case s.state&drained != 0:
		return 0, ErrAgain
	}
	n, room, errno := s.readFD(bufs)
	switch {
	case errno == syscall.EAGAIN:
		s.state |= drained
		return 0, ErrAgain
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	if n < room && s.state&closing == 0 {
		s.state |= drained
	}
	return n, nil
}

// Write writes bufs. It returns the number of bytes written; if that is not all,
// the error says why: ErrAgain, and the observer will be told Writable, or a
// system error (see IsReset). Written bytes are copied.
func (s *Socket) Write(bufs [][]byte) (int, error) {
	switch {
	case s.stream != nil:
		return s.stream.write(bufs)
	case s.pipe != nil:
		return s.pipe.write(bufs)
	case !s.open:
		return 0, net.ErrClosed
	case s.state&full != 0:
		return 0, ErrAgain
	}
	written := 0
	for len(bufs) > 0 {
		chunk := bufs[:min(len(bufs), MaxSlices)]
		bufs = bufs[len(chunk):]
		n, size, errno := s.writeFD(chunk)
		written += n
		switch {
		case errno == syscall.EAGAIN || errno == 0 && n < size:
			return written, s.blocked()
		case errno != 0:
			return written, errno
		}
	}
	return written, nil
}

// MaxSlices is the number of slices that one system call reads into or writes.
const MaxSlices = 32

// blocked asks for the news that Write takes bytes again.
func (s *Socket) blocked() error {
	s.state |= full
	if s.state&wantsWrites == 0 {
		s.state |= wantsWrites
		if s.loop != nil {
			if err := s.modify(); err != nil {
				return err
			}
		}
	}
	return ErrAgain
}

// RTT returns the smoothed round trip time as the system estimates it now, and false
// if it does not: it knows that of TCP sockets, on Linux.
func (s *Socket) RTT() (rtt time.Duration, ok bool) {
	if s.fd < 0 || !s.open {
		return 0, false
	}
	return s.rttFD()
}

// CloseWrite tells the peer that nothing more is sent, after what was written. It
// returns errors.ErrUnsupported if the connection knows no such thing.
func (s *Socket) CloseWrite() error {
	switch {
	case s.stream != nil:
		return s.stream.closeWrite()
	case s.pipe != nil:
		return s.pipe.closeWrite()
	}
	return s.closeWriteFD()
}

// Close closes the socket; what was written still goes out, unless reset is
// true: then the peer sees a reset, where the protocol has one. Closing a closed
// socket does nothing.
func (s *Socket) Close(reset bool) {
	if !s.open {
		return
	}
	s.dequeue()
	switch {
	case s.stream != nil:
		s.stream.close(reset)
	case s.pipe != nil:
		s.pipe.Close()
	default:
		s.closeFD(reset)
	}
	*s = Socket{fd: -1}
}

// LocalAddress returns the socket's own address, as the system knows it; the zero
// Address if it has none (yet).
func (s *Socket) LocalAddress() address.Address {
	if s.stream != nil {
		return s.stream.address(net.Conn.LocalAddr)
	}
	if s.pipe != nil {
		return s.pipe.local
	}
	return s.addressFD(false)
}

// RemoteAddress returns the peer's address, as the system knows it; the zero
// Address if it has none (yet). For a Unix socket without a name it is, as in
// Envoy, the path of our own end.
func (s *Socket) RemoteAddress() address.Address {
	if s.stream != nil {
		return s.stream.address(net.Conn.RemoteAddr)
	}
	if s.pipe != nil {
		return s.pipe.remote
	}
	return s.addressFD(true)
}
