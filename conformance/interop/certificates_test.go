package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A pair is a certificate and its key, in files.
type pair struct {
	certificate, key string
	parsed           *x509.Certificate
	private          crypto.Signer
}

func (p pair) files() object {
	return object{"certificate_chain": object{"filename": p.certificate}, "private_key": object{"filename": p.key}}
}

// made are the certificates of a run. They are as young as scanners want them, and the
// server's is for localhost, which is where clients go.
var made struct{ ca, server, serverRSA, client pair }

func makeCertificates(dir string) error {
	var err error
	if made.ca, err = makePair(dir, "ca", nil, &x509.Certificate{
		IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}); err != nil {
		return err
	}
	if made.server, err = makePair(dir, "server", &made.ca, serverTemplate()); err != nil {
		return err
	}
	serverKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if made.serverRSA, err = makePairFor(dir, "server-rsa", serverKey, &made.ca, serverTemplate()); err != nil {
		return err
	}
	made.client, err = makePair(dir, "client", &made.ca, &x509.Certificate{
		DNSNames: []string{"client.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

func serverTemplate() *x509.Certificate {
	return &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// makePair writes a certificate from a template, with a key of ECDSA; without an issuer it
// signs itself.
func makePair(dir, name string, issuer *pair, x *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	return makePairFor(dir, name, key, issuer, x)
}

func makePairFor(dir, name string, private crypto.Signer, issuer *pair, x *x509.Certificate) (pair, error) {
	p := pair{certificate: filepath.Join(dir, name+".crt"), key: filepath.Join(dir, name+".key"), private: private}
	var err error
	if x.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return p, err
	}
	x.Subject = pkix.Name{CommonName: name}
	x.NotBefore = time.Now().Add(-time.Hour)
	x.NotAfter = x.NotBefore.AddDate(0, 1, 0)
	x.BasicConstraintsValid = true
	if issuer == nil {
		issuer = &pair{parsed: x, private: p.private}
	}
	der, err := x509.CreateCertificate(rand.Reader, x, issuer.parsed, p.private.Public(), issuer.private)
	if err != nil {
		return p, err
	}
	if p.parsed, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.private)
	if err != nil {
		return p, err
	}
	if err := os.WriteFile(p.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return p, err
	}
	return p, os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}
