package tlscontext

import (
	"crypto/tls"
	"errors"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// challengeProtocol is the ALPN name by which an authority asks (RFC 8737).
const challengeProtocol = "acme-tls/1"

var (
	// errAnswered ends the connection of an authority that has its answer. Nobody else may
	// use it: the client was not asked for a certificate.
	errAnswered = errors.New("the ACME challenge is answered")
	// errNoCertificate has the text of crypto/tls.
	errNoCertificate = errors.New("tls: no certificates configured")
)

// ACME obtains certificates. Any goroutine, except where a method says otherwise.
type ACME interface {
	// Manages reports whether a secret is among those that it publishes, and whether it
	// stands for the certificates that are obtained on demand. Such a secret has no
	// certificate itself.
	Manages(secret string) (managed, onDemand bool)
	// Challenge returns the certificate for the handshake of an authority that asks whether
	// a domain is ours, nil if none does. It may block.
	Challenge(domain string) *tls.Certificate
	// Ready returns the certificate of a name that may be asked for on demand, nil without
	// one. It does not wait.
	Ready(name string) *tls.Certificate
	// Obtain waits for that certificate, but not after aborted is closed.
	Obtain(name string, aborted <-chan struct{}) (*tls.Certificate, error)
}

// findACME notes which of the certificates come from ACME.
func (s *server) findACME() {
	if s.contexts.acme == nil {
		return
	}
	for i, c := range s.certificates {
		if c.source == nil || s.dynamic[c.source] {
			continue
		}
		managed, onDemand := s.contexts.acme.Manages(c.name)
		if managed {
			s.acme = s.contexts.acme
		}
		s.certificates[i].onDemand = onDemand
		s.onDemand = s.onDemand || onDemand
	}
}

// answer returns the configuration for the handshake of an authority, nil if the client
// is none.
func (s *server) answer(hello *tls.ClientHelloInfo) *tls.Config {
	if s.acme == nil || len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != challengeProtocol {
		return nil
	}
	cert := s.acme.Challenge(hello.ServerName)
	if cert == nil {
		return nil
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*cert}, NextProtos: hello.SupportedProtos, MinVersion: tls.VersionTLS12,
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}
}

// obtain returns the certificate of the name that a client asks for, which it waits for.
func (s *server) obtain(hello *tls.ClientHelloInfo) (*certificate, error) {
	found := s.acme.Ready(hello.ServerName)
	if found == nil {
		var failed error
		if err := tlssocket.Pause(hello.Conn, func(aborted <-chan struct{}) {
			found, failed = s.acme.Obtain(hello.ServerName, aborted)
		}); err != nil {
			return nil, err
		}
		if failed != nil {
			return nil, failed
		}
	}
	c := &certificate{tls: *found, leaf: found.Leaf, path: "<inline>"}
	return c, c.inspect()
}

// Describe implements tlssocket.Context.
func (s *server) Describe(session *streaminfo.TLS, state *tls.ConnectionState) error {
	if s.acme != nil && state.NegotiatedProtocol == challengeProtocol {
		return errAnswered
	}
	describe(session, state)
	return nil
}
