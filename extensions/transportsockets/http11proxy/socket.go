package http11proxy

import (
	"bytes"
	"io"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
)

// maxResponse bounds the head of the proxy's response in bytes.
const maxResponse = 2000

// A socket asks a proxy for a connection, and lets another transport have it then.
type socket struct {
	passthrough.Socket
	waiting  bool   // for the response
	response []byte // of the proxy, and what came behind it
	failed   bool
}

// connect asks for target.
func (s *socket) connect(target string) {
	s.Header = []byte("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n")
	s.waiting = true
}

// Start implements transport.Socket.
func (s *socket) Start(cb transport.Callbacks) bool {
	s.Callbacks = cb
	return s.Socket.Socket.Start(s)
}

// Read implements transport.Socket.
func (s *socket) Read(into *buffer.Buffer, atMost int) (int, error) {
	if s.waiting {
		if err := s.readResponse(); err != nil {
			return 0, err
		}
		s.waiting = false
		s.Writable()
	}
	return s.Socket.Read(into, atMost)
}

// readResponse reads the head of the proxy's response. It returns nil when there is one
// that says yes.
func (s *socket) readResponse() error {
	for !s.failed {
		if end := bytes.Index(s.response, []byte("\r\n\r\n")); end >= 0 {
			s.failed = !accepted(s.response)
			s.response = s.response[end+4:]
			break
		}
		if len(s.response) >= maxResponse {
			s.failed = true
			break
		}
		var room [512]byte
		n, err := s.Callbacks.ReadRaw([][]byte{room[:min(len(room), maxResponse-len(s.response))]})
		s.response = append(s.response, room[:n]...)
		if err == io.EOF { //nolint:errorlint // a socket returns it bare
			err = io.ErrUnexpectedEOF // there is no stream yet that could end
		}
		if err != nil {
			return err
		}
	}
	if s.failed {
		return transport.ErrFailed
	}
	return nil
}

// accepted reports whether a response has the status 200.
func accepted(response []byte) bool {
	return len(response) >= 13 && bytes.HasPrefix(response, []byte("HTTP/1.")) && string(response[8:12]) == " 200" &&
		(response[12] == ' ' || response[12] == '\r')
}

// Write implements transport.Socket.
func (s *socket) Write(from *buffer.Buffer, endStream bool) (int, error) {
	if s.failed {
		return 0, transport.ErrFailed
	}
	if s.waiting {
		n, err := s.SendHeader()
		if err == nil {
			err = transport.ErrAgain
		}
		return n, err
	}
	return s.Socket.Write(from, endStream)
}

// ReadRaw implements transport.Raw for the other transport.
func (s *socket) ReadRaw(into [][]byte) (n int, err error) {
	if s.waiting {
		return 0, transport.ErrAgain
	}
	if len(s.response) == 0 {
		return s.Socket.ReadRaw(into)
	}
	for _, p := range into {
		took := copy(p, s.response)
		s.response = s.response[took:]
		n += took
	}
	return n, nil
}

// WriteRaw implements transport.Raw for the other transport.
func (s *socket) WriteRaw(from [][]byte) (int, error) {
	if s.waiting {
		return 0, transport.ErrAgain
	}
	return s.Socket.WriteRaw(from)
}

// Detach implements transport.Movable.
func (s *socket) Detach() bool { return !s.waiting && len(s.response) == 0 && s.Socket.Detach() }

// Attach implements transport.Movable.
func (s *socket) Attach(cb transport.Callbacks) {
	s.Callbacks = cb
	s.Socket.Socket.(transport.Movable).Attach(s)
}
