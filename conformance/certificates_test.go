package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var certificatesFlag = flag.Bool("certificates", false, "make the certificates of testdata/tls anew")

// A certificate is one of testdata/tls.
type certificate struct {
	name    string // of the files
	cn      string
	issuer  string // name, or "" for itself
	dns     []string
	uri     string
	email   string
	ip      string
	ca      bool
	rsa     bool
	expired bool
	client  bool // extended key usage: of a client, not of a server
	chain   bool // the file has the issuer too
}

// madeCertificates is the content of testdata/tls; serial numbers count from 1.
var madeCertificates = []certificate{
	{name: "ca", cn: "Test CA", ca: true},
	{name: "other_ca", cn: "Other CA", ca: true},
	{name: "intermediate", cn: "Intermediate CA", issuer: "ca", ca: true},
	{name: "server", cn: "server", issuer: "ca", dns: []string{"a.example"}},
	{name: "server_rsa", cn: "server-rsa", issuer: "ca", dns: []string{"a.example"}, rsa: true},
	{name: "b", cn: "b", issuer: "ca", dns: []string{"b.example"}},
	{name: "wildcard", cn: "wildcard", issuer: "ca", dns: []string{"*.w.example"}},
	{name: "up", cn: "up", issuer: "ca", dns: []string{"up.example"}, uri: "spiffe://example/up", ip: "127.0.0.1"},
	{name: "up_other", cn: "up-other", issuer: "other_ca", dns: []string{"up.example"}},
	{name: "up_expired", cn: "up-expired", issuer: "ca", dns: []string{"up.example"}, expired: true},
	{name: "client", cn: "client", issuer: "ca", dns: []string{"client.example", "c2.example"}, uri: "spiffe://example/client", email: "c@example", ip: "192.0.2.1", client: true},
	{name: "client_plain", cn: "plain", issuer: "ca", client: true},
	{name: "client_other", cn: "client-other", issuer: "other_ca", dns: []string{"client.example"}, client: true},
	{name: "client_expired", cn: "client-expired", issuer: "ca", dns: []string{"client.example"}, expired: true, client: true},
	{name: "client_revoked", cn: "client-revoked", issuer: "ca", dns: []string{"client.example"}, client: true},
	{name: "client_chain", cn: "client-chain", issuer: "intermediate", dns: []string{"client.example"}, client: true, chain: true},
}

func TestCertificates(t *testing.T) {
	if !*certificatesFlag {
		for _, c := range madeCertificates {
			if _, err := os.Stat(filepath.Join(certificates, c.name+".crt")); err != nil {
				t.Error(err)
			}
		}
		return
	}
	issued := map[string]*x509.Certificate{}
	keys := map[string]crypto.Signer{}
	for i, c := range madeCertificates {
		key := c.key(t)
		template := c.template(t, int64(i+1))
		parent, signer := template, key
		if c.issuer != "" {
			parent, signer = issued[c.issuer], keys[c.issuer]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		keys[c.name] = key
		if issued[c.name], err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		blocks := []*pem.Block{{Type: "CERTIFICATE", Bytes: der}}
		if c.chain {
			blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: parent.Raw})
		}
		writePEM(t, c.name+".crt", blocks...)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, c.name+".key", &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	}
	writeCRL(t, issued["ca"], keys["ca"], issued["client_revoked"].SerialNumber)
}

func (c certificate) key(t *testing.T) crypto.Signer {
	if c.rsa {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c certificate) template(t *testing.T, serial int64) *x509.Certificate {
	x := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: c.dns, BasicConstraintsValid: true, IsCA: c.ca,
		Subject:   pkix.Name{CommonName: c.cn, Organization: []string{"Test"}},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if c.expired {
		x.NotAfter = x.NotBefore.AddDate(1, 0, 0)
	}
	if c.rsa {
		x.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if c.client {
		x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if c.ca {
		x.KeyUsage, x.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	}
	if c.uri != "" {
		u, err := url.Parse(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		x.URIs = []*url.URL{u}
	}
	if c.email != "" {
		x.EmailAddresses = []string{c.email}
	}
	if c.ip != "" {
		x.IPAddresses = []net.IP{net.ParseIP(c.ip)}
	}
	return x
}

func writeCRL(t *testing.T, issuer *x509.Certificate, key crypto.Signer, revoked *big.Int) {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: issuer.NotBefore, NextUpdate: issuer.NotAfter,
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: revoked, RevocationTime: issuer.NotBefore}},
	}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, "ca.crl", &pem.Block{Type: "X509 CRL", Bytes: der})
}

func writePEM(t *testing.T, name string, blocks ...*pem.Block) {
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	if err := os.WriteFile(filepath.Join(certificates, name), text, 0o644); err != nil {
		t.Fatal(err)
	}
}
