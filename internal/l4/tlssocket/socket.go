package tlssocket

import (
	"crypto/tls"
	"errors"
	"io"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

const (
	// maxRecord is the most that crypto/tls puts into a record.
	maxRecord = 16 << 10
	// joinBelow is the length below which a run of bytes is not worth a record of its own,
	// if more follow.
	joinBelow = 4 << 10
	// maxUnsent is the number of encrypted bytes above which no more are made before the
	// system has taken some.
	maxUnsent = 64 << 10
)

// notReady is the failure of a socket whose secrets are missing.
const notReady = "TLS error: Secret is not supplied by SDS"

// A Socket is the transport socket of TLS.
type Socket struct {
	// set by the constructor, read-only after
	all     *Handshakes
	context Context
	client  bool

	// owned by the worker
	configure func(*streaminfo.Connection, *streaminfo.TLS) *tls.Config // nil after Start
	config    *tls.Config                                               // nil: not ready, or handed over
	session   *streaminfo.TLS                                           // the handshake writes to it
	cb        transport.Callbacks
	conn      *tls.Conn // nil before the first bytes
	shim      shim
	handshake *handshake // nil before the first bytes and when it is over
	up        bool
	ended     bool  // close_notify was sent
	closed    bool  // by the connection
	stalled   bool  // reading waits for out to leave
	err       error // why nothing can be read or written any more
	failure   string
	rawErr    error // what reading the system's socket ended with
	// early has arrived and was not read by the handshake. Its free room joins short runs
	// of bytes.
	early  buffer.Buffer
	out    buffer.Buffer // encrypted
	slices [4][]byte     // for ReadRaw and WriteRaw, which make them escape
}

var _ transport.Movable = (*Socket)(nil)

// NewServer returns the socket of an accepted connection.
func NewServer(c Server, all *Handshakes) *Socket {
	return &Socket{all: all, context: c, configure: c.Config}
}

// NewClient returns the socket of a connection to host with options o, which may be
// nil.
func NewClient(c Client, all *Handshakes, o *transport.Options, host transport.Host) *Socket {
	return &Socket{all: all, context: c, client: true, configure: func(info *streaminfo.Connection, session *streaminfo.TLS) *tls.Config {
		return c.Config(info, session, o, host)
	}}
}

// Start implements transport.Socket.
func (s *Socket) Start(cb transport.Callbacks) bool {
	s.cb = cb
	s.early.Init(cb.Dispatcher().Buffers())
	s.out.Init(cb.Dispatcher().Buffers())
	s.session = new(streaminfo.TLS)
	s.config = s.configure(cb.Info(), s.session)
	s.configure = nil
	switch {
	case s.config == nil:
		s.err, s.failure = transport.ErrFailed, notReady
	case s.client:
		s.begin()
	}
	return false
}

// begin starts the handshake: a client's at once, a server's when there is something to
// answer.
func (s *Socket) begin() {
	s.session.HandshakeStart = s.cb.Dispatcher().Now()
	h := &handshake{all: s.all, context: s.context, session: s.session, wake: make(chan struct{}, 1), aborted: make(chan struct{})}
	d, look := s.cb.Dispatcher(), func() {
		if s.handshake != nil {
			s.cb.Writable() // which has Write look
		}
	}
	h.tell = func() { d.Post(look) }
	s.shim = shim{socket: s, handshake: h, remote: remote(s.cb.Info().Remote.String())}
	if s.client {
		h.conn = tls.Client(&s.shim, s.config)
	} else {
		h.conn = tls.Server(&s.shim, s.config)
	}
	s.conn, s.handshake, s.config = h.conn, h, nil
	h.begin()
}

// advance takes what the handshake made, and goes on when it is over. It reports
// whether the socket is up.
func (s *Socket) advance() bool {
	h := s.handshake
	if h == nil {
		return s.up
	}
	h.mu.Lock()
	h.told = false
	s.out.Append(h.out)
	h.out = h.out[:0]
	done, readable := h.done, h.full && len(h.in)-h.taken < maxPending
	h.mu.Unlock()
	if done {
		s.finish(h)
	} else if readable {
		s.cb.Readable()
	}
	return s.up
}

// finish ends the handshake, whose goroutine has ended.
func (s *Socket) finish(h *handshake) {
	s.handshake, s.shim.handshake, s.shim.remote = nil, nil, ""
	s.early.Append(h.in[h.taken:])
	s.rawErr = h.ended
	shard := s.cb.Dispatcher().Shard()
	if h.err != nil {
		s.context.Done(nil, h.err, shard)
		s.fail(h.err, h.connectionError())
		return
	}
	s.context.Done(&h.state, nil, shard)
	info := s.cb.Info()
	s.session.HandshakeEnd = s.cb.Dispatcher().Now()
	info.TLS = s.session
	if !s.client {
		info.PeerCertificatePresented = len(info.TLS.PeerCertificates) > 0
		info.PeerCertificateValidated = info.TLS.PeerValidated
	}
	s.up = true
	s.cb.Readable() // what came early, or was not asked for meanwhile
	s.cb.Writable() // what waits, if the connection was up before
	s.cb.Connected()
}

// fail ends the socket: because of err, or of what the system said.
func (s *Socket) fail(err, system error) {
	switch {
	case errors.Is(err, ErrNotReady):
		s.err, s.failure = transport.ErrFailed, notReady
	case system == nil:
		s.err, s.failure = transport.ErrFailed, Failure(err)
	case errors.Is(system, io.EOF):
		s.err = io.ErrUnexpectedEOF
	default:
		s.err = system
	}
	_ = s.flush() // the alert; the connection ends anyway
}

// Read implements transport.Socket.
func (s *Socket) Read(into *buffer.Buffer, atMost int) (n int, err error) {
	if s.err == nil && !s.up {
		s.feed()
	}
	switch {
	case s.closed:
		return 0, transport.ErrAgain
	case s.err != nil:
		return 0, s.err
	case !s.up:
		return 0, transport.ErrAgain
	}
	var room [1][]byte
	for n < atMost && err == nil {
		if s.stalled = s.out.Len() > 2*maxUnsent; s.stalled { // more than Write makes
			err = transport.ErrAgain // the peer makes crypto/tls answer, and does not listen
			break
		}
		var took int
		slices := into.Reserve(room[:0], 1)
		took, err = s.conn.Read(slices[0])
		into.Commit(slices, took)
		n += took
	}
	if s.out.Len() > 0 {
		s.cb.Writable()
	}
	return n, s.readError(err)
}

// readError makes of what crypto/tls says of the end what the connection knows.
func (s *Socket) readError(err error) error {
	switch {
	case err == nil || err == transport.ErrAgain: //nolint:errorlint // the data path, and crypto/tls returns it bare
		return err
	case err == io.EOF || err == io.ErrUnexpectedEOF: //nolint:errorlint // crypto/tls returns them bare
		return io.EOF // as in Envoy, with and without close_notify
	case s.rawErr != nil && errors.Is(err, s.rawErr):
		s.err = s.rawErr
	default:
		s.context.Failed(err, s.cb.Dispatcher().Shard())
		s.fail(err, nil)
	}
	return s.err
}

// feed brings the handshake what has arrived.
func (s *Socket) feed() {
	for err := error(nil); err == nil; {
		if s.advance() || s.err != nil || s.closed {
			return
		}
		if s.handshake != nil && s.handshake.room() <= 0 {
			return
		}
		var room [1][]byte
		slices := s.early.Reserve(room[:0], 1)
		s.slices[0] = slices[0]
		var n int
		n, err = s.cb.ReadRaw(s.slices[:1])
		if err != transport.ErrAgain { //nolint:errorlint // a socket returns it bare
			if s.handshake == nil {
				s.begin()
			}
			s.handshake.bring(slices[0][:n], err)
		}
		s.early.Commit(slices, 0)
		s.slices[0] = nil
	}
}

// readRaw is the Read of crypto/tls after the handshake.
func (s *Socket) readRaw(p []byte) (n int, err error) {
	if s.early.Len() > 0 {
		n = copy(p, s.early.Front())
		s.early.Drain(n)
		return n, nil
	}
	if s.rawErr != nil {
		return 0, s.rawErr
	}
	s.slices[0] = p
	n, err = s.cb.ReadRaw(s.slices[:1])
	s.slices[0] = nil
	if err != nil && err != transport.ErrAgain { //nolint:errorlint // the data path, and a socket returns it bare
		s.rawErr = err
	}
	return n, err
}

// Write implements transport.Socket.
func (s *Socket) Write(from *buffer.Buffer, endStream bool) (n int, err error) {
	if !s.advance() {
		if s.err == nil {
			err = s.flush()
		}
		switch {
		case s.err != nil:
			return 0, s.err
		case err == nil:
			err = transport.ErrAgain
		}
		return 0, err
	}
	for s.err == nil && !s.closed {
		for from.Len() > 0 && s.out.Len() < maxUnsent {
			took, err := s.seal(from)
			n += took
			if err != nil {
				s.fail(err, nil)
				return n, s.err
			}
		}
		if from.Len() == 0 && endStream {
			s.end()
		}
		if err := s.flush(); err != nil || from.Len() == 0 {
			return n, err
		}
	}
	if s.err != nil {
		return n, s.err
	}
	return n, transport.ErrAgain
}

// seal makes a record of bytes of from.
func (s *Socket) seal(from *buffer.Buffer) (int, error) {
	data := from.Front()
	if len(data) < min(from.Len(), joinBelow) {
		var room [1][]byte
		slices := s.early.Reserve(room[:0], 1)
		defer s.early.Commit(slices, 0)
		data = join(slices[0], from)
	}
	n, err := s.conn.Write(data[:min(len(data), maxRecord)])
	from.Drain(n)
	return n, err
}

// join copies the first bytes of from into room.
func join(room []byte, from *buffer.Buffer) []byte {
	var parts [8][]byte
	n := 0
	for _, p := range from.Slices(parts[:0], len(parts)) {
		n += copy(room[n:], p)
	}
	return room[:n]
}

// end sends close_notify.
func (s *Socket) end() {
	if !s.ended {
		s.ended = true
		_ = s.conn.CloseWrite() // can fail only after another failure
	}
}

// flush sends what is encrypted.
func (s *Socket) flush() (err error) {
	for s.out.Len() > 0 && err == nil {
		var n int
		n, err = s.cb.WriteRaw(s.out.Slices(s.slices[:0], len(s.slices)))
		s.out.Drain(n)
		clear(s.slices[:])
	}
	if s.stalled && err == nil {
		s.stalled = false
		s.cb.Readable()
	}
	return err
}

// Unsent implements transport.Socket.
func (s *Socket) Unsent() int { return s.out.Len() }

// Close implements transport.Socket.
func (s *Socket) Close(orderly bool) {
	s.closed = true
	if s.handshake != nil {
		close(s.handshake.aborted)
		s.handshake = nil
	}
	if orderly && s.up && s.err == nil {
		s.end()
		_ = s.flush() // if it does not fit it does not go
	}
	s.early.Reset()
	s.out.Reset()
}

// Failure implements transport.Socket.
func (s *Socket) Failure() string { return s.failure }

// Detach implements transport.Movable.
func (s *Socket) Detach() bool {
	if !s.up || s.err != nil || s.rawErr != nil || s.early.Len() > 0 || s.out.Len() > 0 {
		return false
	}
	s.cb = nil
	return true
}

// Attach implements transport.Movable.
func (s *Socket) Attach(cb transport.Callbacks) {
	s.cb = cb
	s.early.Init(cb.Dispatcher().Buffers())
	s.out.Init(cb.Dispatcher().Buffers())
}
