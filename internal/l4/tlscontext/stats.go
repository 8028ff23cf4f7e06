package tlscontext

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

const anyShard = stats.Any

// sslStats are the statistics ssl.* of a listener or cluster.
type sslStats struct {
	scope stats.Scope

	connectionError, handshake, sessionReused, noCertificate,
	failVerifyNoCert, failVerifyError, failVerifySAN, failVerifyCertHash,
	stapleRequests, stapleResponses, stapleOmitted, stapleFailed,
	updates, notReady *stats.Counter

	children sync.Map // *stats.Counter of ciphers.X and the like, by name
}

// newStats makes the statistics below the scope of a listener or cluster.
func newStats(parent stats.Scope, client bool) *sslStats {
	s := parent.Scope("ssl.")
	st := &sslStats{
		scope: s, connectionError: s.Counter("connection_error"), handshake: s.Counter("handshake"),
		sessionReused: s.Counter("session_reused"), noCertificate: s.Counter("no_certificate"),
		failVerifyNoCert: s.Counter("fail_verify_no_cert"), failVerifyError: s.Counter("fail_verify_error"),
		failVerifySAN: s.Counter("fail_verify_san"), failVerifyCertHash: s.Counter("fail_verify_cert_hash"),
		stapleRequests: s.Counter("ocsp_staple_requests"), stapleResponses: s.Counter("ocsp_staple_responses"),
		stapleOmitted: s.Counter("ocsp_staple_omitted"), stapleFailed: s.Counter("ocsp_staple_failed"),
	}
	name, missing, other := "server_ssl_socket_factory.", "downstream_context_secrets_not_ready", "upstream_context_secrets_not_ready"
	if client {
		name, missing, other = "client_ssl_socket_factory.", other, missing
	}
	f := parent.Scope(name)
	st.updates, st.notReady = f.Counter("ssl_context_update_by_sds"), f.Counter(missing)
	f.Counter(other)
	return st
}

// child counts an event that has a name of its own.
func (s *sslStats) child(name string, shard int) {
	c, ok := s.children.Load(name)
	if !ok {
		c, _ = s.children.LoadOrStore(name, s.scope.Counter(name))
	}
	if counter, ok := c.(*stats.Counter); ok {
		counter.Inc(shard)
	}
}

// done counts the end of a handshake.
func (s *sslStats) done(state *tls.ConnectionState, err error, shard int) {
	if err != nil {
		s.failed(err, shard)
		return
	}
	s.handshake.Inc(shard)
	if state.DidResume {
		s.sessionReused.Inc(shard)
	}
	s.child("ciphers."+cipherName(state), shard)
	s.child("versions."+versionName(state.Version), shard)
	if name := groupName(state.CurveID); name != "" {
		s.child("curves."+name, shard)
	}
	if len(state.PeerCertificates) == 0 {
		s.noCertificate.Inc(shard)
	} else if name := signature(state.PeerCertificates[0]); name != "" {
		s.child("sigalgs."+name, shard)
	}
}

// failed counts an error. What validation finds wrong is counted there, and what the
// system says elsewhere.
func (s *sslStats) failed(err error, shard int) {
	var verify *tlssocket.VerifyError
	var system syscall.Errno
	switch {
	case errors.As(err, &verify), errors.As(err, &system), errors.Is(err, io.EOF), errors.Is(err, tlssocket.ErrNotReady), errors.Is(err, errAnswered):
	case strings.Contains(tlssocket.Failure(err), "PEER_DID_NOT_RETURN_A_CERTIFICATE"):
		s.failVerifyNoCert.Inc(shard)
	default:
		s.connectionError.Inc(shard)
	}
}

// cipherName returns the cipher as access logs show it.
func cipherName(state *tls.ConnectionState) string {
	if name, ok := cipherNames()[state.CipherSuite]; ok && state.Version < tls.VersionTLS13 {
		return name
	}
	return tls.CipherSuiteName(state.CipherSuite)
}

// signature returns what a peer with that certificate signs its part of the handshake
// with, as far as its key decides it: crypto/tls does not say it, and offers SHA-256
// first for RSA.
func signature(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case ed25519.PublicKey:
		return "ed25519"
	case *rsa.PublicKey:
		return "rsa_pss_rsae_sha256"
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return "ecdsa_secp256r1_sha256"
		case 384:
			return "ecdsa_secp384r1_sha384"
		case 521:
			return "ecdsa_secp521r1_sha512"
		}
	}
	return ""
}
