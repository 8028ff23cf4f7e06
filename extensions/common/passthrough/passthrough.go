// Package passthrough holds what transport sockets have in common that stand in front of
// another one: the plain transport, and one that sends some bytes first.
package passthrough

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// A Plain is a transport that changes nothing, for sockets that need one to stand in
// front of.
type Plain struct {
	cb     transport.Callbacks
	ended  bool
	slices [4][]byte // for the calls of cb, which make them escape
}

var _ transport.Movable = (*Plain)(nil)

// Start implements transport.Socket.
func (p *Plain) Start(cb transport.Callbacks) bool {
	p.cb = cb
	return true
}

// Read implements transport.Socket.
func (p *Plain) Read(into *buffer.Buffer, atMost int) (n int, err error) {
	for n < atMost && err == nil {
		slices := into.Reserve(p.slices[:0], 1)
		var took int
		took, err = p.cb.ReadRaw(slices)
		into.Commit(slices, took)
		n += took
	}
	clear(p.slices[:])
	return n, err
}

// Write implements transport.Socket.
func (p *Plain) Write(from *buffer.Buffer, endStream bool) (n int, err error) {
	for from.Len() > 0 && err == nil {
		var took int
		took, err = p.cb.WriteRaw(from.Slices(p.slices[:0], len(p.slices)))
		from.Drain(took)
		n += took
	}
	clear(p.slices[:])
	if err == nil && endStream && !p.ended {
		p.ended = true
		_ = p.cb.CloseWriteRaw() // an error is one that reading shows too
	}
	return n, err
}

// Unsent implements transport.Socket.
func (p *Plain) Unsent() int { return 0 }

// Close implements transport.Socket.
func (p *Plain) Close(bool) {}

// Failure implements transport.Socket.
func (p *Plain) Failure() string { return "" }

// Detach implements transport.Movable.
func (p *Plain) Detach() bool { return true }

// Attach implements transport.Movable.
func (p *Plain) Attach(cb transport.Callbacks) { p.cb = cb }

// A Socket stands in front of another one, and sends a header before its bytes. Its
// methods are those of the other one, as far as it has none of its own; towards the
// other one it is the connection.
type Socket struct {
	transport.Socket
	transport.Callbacks
	Header []byte // what is left of it
	sent   [1][]byte
}

// New returns the socket of f, which may be nil for a plain one.
func New(f transport.ClientFactory, o *transport.Options, h transport.Host) transport.Socket {
	if f == nil {
		return &Plain{}
	}
	return f.New(o, h)
}

// Start implements transport.Socket.
func (s *Socket) Start(cb transport.Callbacks) bool {
	s.Callbacks = cb
	return s.Socket.Start(s)
}

// Write implements transport.Socket. The header counts too.
func (s *Socket) Write(from *buffer.Buffer, endStream bool) (int, error) {
	header, err := s.SendHeader()
	if err != nil {
		return header, err
	}
	n, err := s.Socket.Write(from, endStream)
	return header + n, err
}

// SendHeader sends what is left of the header.
func (s *Socket) SendHeader() (n int, err error) {
	for len(s.Header) > 0 && err == nil {
		var sent int
		s.sent[0] = s.Header
		sent, err = s.Callbacks.WriteRaw(s.sent[:])
		s.Header = s.Header[sent:]
		n += sent
	}
	s.sent[0] = nil
	return n, err
}

// WriteRaw implements transport.Raw for the other socket.
func (s *Socket) WriteRaw(from [][]byte) (int, error) {
	if _, err := s.SendHeader(); err != nil {
		return 0, err
	}
	return s.Callbacks.WriteRaw(from)
}

// Unsent implements transport.Socket.
func (s *Socket) Unsent() int { return len(s.Header) + s.Socket.Unsent() }

// Detach implements transport.Movable.
func (s *Socket) Detach() bool {
	m, ok := s.Socket.(transport.Movable)
	return ok && len(s.Header) == 0 && m.Detach()
}

// Attach implements transport.Movable.
func (s *Socket) Attach(cb transport.Callbacks) {
	s.Callbacks = cb
	s.Socket.(transport.Movable).Attach(s)
}

// A Factory has what a transport.ClientFactory knows of the one behind it, which may be
// nil for a plain one.
type Factory struct{ Inner transport.ClientFactory }

// Secure implements transport.ClientFactory.
func (f Factory) Secure() bool { return f.Inner != nil && f.Inner.Secure() }

// Pass implements transport.Passer.
func (f Factory) Pass(d event.Dispatcher, o *transport.Options, h transport.Host) transport.Passed {
	if inner, ok := f.Inner.(transport.Passer); ok {
		return inner.Pass(d, o, h)
	}
	return transport.Passed{}
}

// SupportsALPN implements transport.ClientFactory.
func (f Factory) SupportsALPN() bool { return f.Inner != nil && f.Inner.SupportsALPN() }

// Key implements transport.ClientFactory.
func (f Factory) Key(o *transport.Options) string {
	if f.Inner == nil {
		return ""
	}
	return f.Inner.Key(o)
}
