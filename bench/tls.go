//go:build linux && (amd64 || arm64)

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// The proxies' certificates; the names of the files begin with them.
const (
	certECDSA = "ecdsa" // P-256
	certRSA   = "rsa"   // 2048 bits
)

// serverName is the host name in the certificates.
const serverName = "bench.test"

// writeCertificates makes new self-signed certificates in dir: for each a
// certificate (.crt), a key (.key), and one file of both (.pem).
func writeCertificates(dir string) error {
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	for name, key := range map[string]crypto.Signer{certECDSA: ecdsaKey, certRSA: rsaKey} {
		if err := writeCertificate(filepath.Join(dir, name), key); err != nil {
			return err
		}
	}
	return nil
}

func writeCertificate(path string, key crypto.Signer) error {
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: serverName},
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for suffix, text := range map[string][]byte{".crt": certPEM, ".key": keyPEM, ".pem": append(certPEM, keyPEM...)} {
		if err := os.WriteFile(path+suffix, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// serverConfig is that of the upstream, which a "direct" measurement reaches.
func serverConfig(dir, cert, protocol string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, cert+".crt"), filepath.Join(dir, cert+".key"))
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13}, err
}

// clientConfig leaves the proxies no choice but the one that checkSession
// wants of all. Certificates are not verified: that is work of the client's.
func clientConfig(protocol string) *tls.Config {
	return &tls.Config{
		ServerName:         serverName,
		InsecureSkipVerify: true,
		NextProtos:         []string{protocol},
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
}

// checkSession fails unless the connection's parameters are what is measured.
func checkSession(s tls.ConnectionState, protocol string, resumed bool) error {
	switch {
	case s.Version != tls.VersionTLS13 || s.CipherSuite != tls.TLS_AES_128_GCM_SHA256:
		return fmt.Errorf("TLS: the proxy chose %s with %s, not TLS 1.3 with AES-128-GCM",
			tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite))
	case s.NegotiatedProtocol != protocol:
		return fmt.Errorf("TLS: the proxy chose protocol %q, not %q", s.NegotiatedProtocol, protocol)
	case s.DidResume != resumed:
		return fmt.Errorf("TLS: session resumed %v, want %v", s.DidResume, resumed)
	}
	return nil
}

const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)
