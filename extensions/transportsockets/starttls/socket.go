package starttls

import (
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
)

// A socket is the plain transport, and then the secure one: its methods are theirs.
type socket struct {
	transport.Socket
	cb     transport.Callbacks
	secure func() transport.Socket // nil when it was called
}

var _ transport.StartTLS = (*socket)(nil)

func newSocket(secure func() transport.Socket) transport.Socket {
	return &socket{Socket: &passthrough.Plain{}, secure: secure}
}

// Start implements transport.Socket.
func (s *socket) Start(cb transport.Callbacks) bool {
	s.cb = cb
	return s.Socket.Start(cb)
}

// StartSecureTransport implements transport.StartTLS. The plain transport keeps nothing
// back, so the next bytes of either side are the secure one's.
func (s *socket) StartSecureTransport() bool {
	if s.secure == nil || s.cb == nil {
		return s.secure == nil
	}
	s.Socket, s.secure = s.secure(), nil
	s.Socket.Start(s.cb)
	s.cb.Readable()
	s.cb.Writable()
	return true
}
