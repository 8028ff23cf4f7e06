package event

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
)

const (
	// streamBuffer bounds what a stream holds in either direction.
	streamBuffer = 64 << 10
	// streamChunk is how much its goroutine reads at once.
	streamChunk = 16 << 10
	// flushTimeout bounds how long written bytes may take to leave after Close.
	flushTimeout = 5 * time.Second
)

type dialFunc = func(context.Context) (net.Conn, error)

// A stream feeds a loop from a net.Conn: one goroutine reads ahead into in, one
// writes what the loop left in out, each at most streamBuffer bytes. They tell the
// loop by a posted function, one at a time. Both end after close.
type stream struct {
	cancel context.CancelFunc // ends a dial

	mu sync.Mutex
	// changed wakes the goroutines: in has room, out has bytes, or finish or closed
	// is set. Its lock is mu.
	changed sync.Cond
	// guarded by mu:
	conn     net.Conn // nil until connected
	in       []byte   // received
	taken    int      // in[:taken] was read by the loop
	readErr  error    // why nothing follows in
	out      []byte   // written by the loop
	leaving  int      // bytes that the writer took from out, and is writing
	writeErr error    // of dial or Write
	starved  bool     // the loop waits for room in out, or for the connect
	finish   bool     // closeWrite after out
	closed   bool
	reset    bool

	// guarded by mu: where the stream is attached
	loop *Loop // nil while on none
	pass int   // counts attach, detach and close
	tell func()
	told bool // tell is posted and has not run
}

func newStream(c net.Conn, dial dialFunc) *stream {
	st := &stream{}
	st.changed.L = &st.mu
	ctx, cancel := context.WithCancel(context.Background())
	st.cancel = cancel
	if c != nil {
		dial = func(context.Context) (net.Conn, error) { return c, nil }
		st.conn = c
	}
	go st.serve(ctx, dial)
	return st
}

func (st *stream) attach(s *Socket) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pass++
	l, pass := s.loop, st.pass
	st.loop, st.told = l, false
	st.tell = func() { st.deliver(s, pass) }
	st.starved = st.starved || s.state&wantsWrites != 0
	st.announce()
}

func (st *stream) detach() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pass++
	st.loop, st.tell = nil, nil
}

// announce makes the loop look at the stream if there is news. mu is held.
func (st *stream) announce() {
	if st.loop != nil && !st.told && st.ready() != 0 {
		st.told = st.loop.Post(st.tell)
	}
}

// ready returns what the loop does not know yet, or may not know. mu is held.
func (st *stream) ready() Ready {
	var r Ready
	if st.taken < len(st.in) {
		r |= Readable
	}
	if st.readErr != nil {
		r |= Readable | PeerClosed
		if st.readErr != io.EOF { //nolint:errorlint // the data path, and Reader returns it bare
			r |= Failed
		}
	}
	if st.writeErr != nil {
		r |= Readable | Writable | Failed
	}
	if st.starved && st.conn != nil && st.room() > 0 {
		r |= Writable
	}
	return r
}

func (st *stream) room() int { return streamBuffer - st.leaving - len(st.out) }

// deliver runs on the loop s was on at the given pass, and does nothing if s has
// left it.
func (st *stream) deliver(s *Socket, pass int) {
	st.mu.Lock()
	if st.pass != pass {
		st.mu.Unlock()
		return
	}
	st.told = false
	r := st.ready()
	if r&Writable != 0 {
		st.starved = false
	}
	st.mu.Unlock()
	if r != 0 {
		s.tell(r)
	}
}

func (st *stream) connected() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.writeErr == nil && st.conn == nil {
		return ErrAgain
	}
	return st.writeErr
}

func (st *stream) read(bufs [][]byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := 0
	for _, b := range bufs {
		c := copy(b, st.in[st.taken:])
		st.taken += c
		n += c
	}
	switch {
	case n > 0:
		if st.taken == len(st.in) {
			st.in, st.taken = st.in[:0], 0
		}
		st.changed.Broadcast()
		return n, nil
	case st.readErr != nil:
		return 0, st.readErr
	}
	return 0, ErrAgain
}

func (st *stream) write(bufs [][]byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.writeErr != nil {
		return 0, st.writeErr
	}
	if st.finish {
		return 0, syscall.EPIPE
	}
	n := 0
	for _, b := range bufs {
		fits := min(len(b), st.room())
		st.out = append(st.out, b[:fits]...)
		n += fits
		if fits < len(b) {
			st.starved = true
			st.changed.Broadcast()
			return n, ErrAgain
		}
	}
	st.changed.Broadcast()
	return n, nil
}

type writeCloser interface{ CloseWrite() error }

func (st *stream) closeWrite() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, ok := st.conn.(writeCloser); !ok && st.conn != nil {
		return errors.ErrUnsupported
	}
	st.finish = true
	st.changed.Broadcast()
	return nil
}

// close does not wait. The goroutines are woken by deadlines, since Close of a
// net.Conn may block.
func (st *stream) close(reset bool) {
	st.cancel()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pass++
	st.loop, st.tell = nil, nil
	st.closed, st.reset = true, reset
	st.changed.Broadcast()
	if st.conn == nil {
		return
	}
	// The errors are of connections that have failed already.
	past := time.Unix(1, 0)
	_ = st.conn.SetReadDeadline(past)
	if !reset {
		past = time.Now().Add(flushTimeout)
	}
	_ = st.conn.SetWriteDeadline(past)
}

func (st *stream) address(of func(net.Conn) net.Addr) address.Address {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.conn == nil {
		return address.Address{}
	}
	return address.FromNetAddr(of(st.conn))
}

// serve connects and then writes; it is the goroutine that closes the connection.
func (st *stream) serve(ctx context.Context, dial dialFunc) {
	c, err := dial(ctx)
	if !st.established(c, err) {
		if c != nil {
			c.Close()
		}
		return
	}
	var reader sync.WaitGroup
	reader.Go(func() { st.readAhead(c) })
	if st.writeBehind(c) {
		if c, ok := c.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0) // fails on a connection that has failed before
		}
	}
	c.Close()
	reader.Wait()
}

// established notes the end of a dial, and reports whether c is of use. A stream
// that was closed before has no use for c, but for sending what was written, if c
// was there from the start.
func (st *stream) established(c net.Conn, err error) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case err != nil:
		st.readErr, st.writeErr = plain(err), plain(err)
	case st.conn == nil && st.closed:
		return false
	default:
		st.conn = c
	}
	st.announce()
	return err == nil
}

func (st *stream) readAhead(c net.Conn) {
	buf := make([]byte, streamChunk)
	for {
		n, err := c.Read(buf)
		st.mu.Lock()
		for !st.closed && len(st.in)-st.taken+n > streamBuffer {
			st.changed.Wait()
		}
		if st.closed {
			st.mu.Unlock()
			return
		}
		if st.taken > 0 {
			st.in = append(st.in[:0], st.in[st.taken:]...)
			st.taken = 0
		}
		st.in = append(st.in, buf[:n]...)
		if err != nil {
			st.readErr = plain(err)
		}
		st.announce()
		st.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// writeBehind returns when c is to be closed, and whether by a reset.
func (st *stream) writeBehind(c net.Conn) (reset bool) {
	var batch []byte
	finished := false
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		for len(st.out) == 0 && !st.closed && st.finish == finished {
			st.changed.Wait()
		}
		if st.reset {
			return true
		}
		batch, st.out = st.out, batch[:0]
		st.leaving = len(batch)
		finish := st.finish && !finished
		var err error
		if st.writeErr == nil {
			st.mu.Unlock()
			err = writeAll(c, batch, finish)
			st.mu.Lock()
		}
		st.leaving = 0
		finished = finished || finish
		if err != nil {
			st.writeErr = plain(err)
		}
		if st.closed && len(st.out) == 0 {
			return st.reset
		}
		st.announce()
	}
}

func writeAll(c net.Conn, p []byte, finish bool) error {
	if len(p) > 0 {
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
	if w, ok := c.(writeCloser); ok && finish {
		return w.CloseWrite()
	}
	return nil
}

// plain takes a system error out of what package net wraps around it, so that all
// sockets return the same errors.
func plain(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.ErrClosedPipe):
		return syscall.EPIPE
	}
	return err
}
