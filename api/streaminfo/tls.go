package streaminfo

import (
	"crypto/x509"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// TLS describes the TLS session of a connection, either side. It is complete before
// the connection counts as connected, and never changed afterwards.
type TLS struct {
	// Version and CipherSuite have the names that Envoy logs, as TLSv1.3 and
	// TLS_AES_128_GCM_SHA256 (or ECDHE-RSA-AES128-GCM-SHA256 up to TLS 1.2); Group is the
	// key exchange, as X25519.
	Version, CipherSuite, Group string
	// CipherSuiteID is the number of the cipher suite in IANA's registry.
	CipherSuiteID uint16
	// ServerName is the SNI, ALPN the protocol that was agreed on; "" for none.
	ServerName, ALPN string
	// SessionID is in hexadecimal, "" if there is none.
	SessionID string
	Resumed   bool
	// HandshakeStart is when the handshake began: with a client's first bytes, or as soon as
	// the connection to a server was there. HandshakeEnd is when the session was agreed on.
	// Both by the worker's clock.
	HandshakeStart, HandshakeEnd time.Time
	// LocalCertificate is what this side showed, nil for none.
	LocalCertificate *x509.Certificate
	// PeerCertificates is the chain that the peer showed, its own first.
	PeerCertificates []*x509.Certificate
	// PeerValidated says that the peer's certificate was checked and is valid.
	PeerValidated bool
	// ValidatedChain is what the peer's certificate was found valid by: itself first, the
	// certificate that is trusted last. nil without a check against trusted ones.
	ValidatedChain []*x509.Certificate
}

// PeerCertificate returns the peer's own certificate, nil if it showed none. t may be
// nil.
func (t *TLS) PeerCertificate() *x509.Certificate {
	if t == nil || len(t.PeerCertificates) == 0 {
		return nil
	}
	return t.PeerCertificates[0]
}

// PeerIssuer returns the certificate that the peer's own was signed with, nil unless the
// peer was validated by one. t may be nil.
func (t *TLS) PeerIssuer() *x509.Certificate {
	if t == nil || len(t.ValidatedChain) < 2 {
		return nil
	}
	return t.ValidatedChain[1]
}

// Local returns the certificate that this side showed, nil if it showed none. t may be
// nil.
func (t *TLS) Local() *x509.Certificate {
	if t == nil {
		return nil
	}
	return t.LocalCertificate
}

// Fingerprints tell TLS clients apart by how they begin; each is "" if it is not made.
type Fingerprints struct{ JA3, JA4 string }

// A ProxyProtocol is what a PROXY protocol header said, or is to say.
type ProxyProtocol struct {
	Source, Destination address.Address
	Version             int // 1 or 2
	TLVs                []TLV
}

// A TLV is an extension of a PROXY protocol header of version 2.
type TLV struct {
	Type  byte
	Value []byte
}
