package acme

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// A bundle is a certificate with its chain and key. It is immutable.
type bundle struct {
	chain, key []byte // PEM
	tls        tls.Certificate
}

// newBundle takes what an authority has signed for a subject.
func newBundle(chain [][]byte, key crypto.Signer, s subject) (*bundle, error) {
	text, err := marshalKey(key)
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return parseBundle(text, s)
}

// parseBundle reads a file of the storage: the key, then the chain. It is an error if
// that is no certificate for the subject.
func parseBundle(text []byte, s subject) (*bundle, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("there is no private key in it")
	}
	b := &bundle{key: pem.EncodeToMemory(block), chain: bytes.Clone(rest)}
	var err error
	if b.tls, err = tls.X509KeyPair(b.chain, b.key); err != nil {
		return nil, errors.New("certificate and key do not fit, or cannot be read")
	}
	for _, domain := range s.domains {
		if err := b.leaf().VerifyHostname(domain); err != nil {
			return nil, fmt.Errorf("the certificate is not for %s", domain)
		}
	}
	return b, nil
}

// text is what the file of the storage holds.
func (b *bundle) text() []byte { return append(bytes.Clone(b.key), b.chain...) }

func (b *bundle) leaf() *x509.Certificate { return b.tls.Leaf }

// valid reports whether the certificate holds at a time. b may be nil.
func (b *bundle) valid(now time.Time) bool { return b != nil && now.Before(b.leaf().NotAfter) }

// renewAt is when the certificate is to be renewed.
func (b *bundle) renewAt(ratio float64) time.Time {
	life := b.leaf().NotAfter.Sub(b.leaf().NotBefore)
	return b.leaf().NotAfter.Add(-time.Duration(float64(life) * ratio))
}

func (b *bundle) equal(other *bundle) bool {
	return b != nil && other != nil && bytes.Equal(b.leaf().Raw, other.leaf().Raw)
}

// secret makes the bundle a secret.
func (b *bundle) secret(name string) *tlsv3.Secret {
	inline := func(text []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: text}}
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(b.chain), PrivateKey: inline(b.key)},
	}}
}
