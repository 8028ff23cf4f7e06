package tlssocket

import (
	"net"
	"time"
)

// A shim is the net.Conn that crypto/tls reads and writes: it blocks on the goroutine of
// the handshake, and never on the worker.
type shim struct {
	socket    *Socket
	handshake *handshake // nil when it is over
	remote    remote
}

// A remote is the peer's address.
type remote string

func (remote) Network() string  { return "tcp" }
func (r remote) String() string { return string(r) }

func (s *shim) Read(p []byte) (int, error) {
	if h := s.handshake; h != nil {
		return h.read(p)
	}
	return s.socket.readRaw(p)
}

func (s *shim) Write(p []byte) (int, error) {
	if h := s.handshake; h != nil {
		return h.write(p)
	}
	s.socket.out.Append(p)
	return len(p), nil
}

func (s *shim) Close() error                     { return nil }
func (s *shim) LocalAddr() net.Addr              { return s.remote }
func (s *shim) RemoteAddr() net.Addr             { return s.remote }
func (s *shim) SetDeadline(time.Time) error      { return nil }
func (s *shim) SetReadDeadline(time.Time) error  { return nil }
func (s *shim) SetWriteDeadline(time.Time) error { return nil }
