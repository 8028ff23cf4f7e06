package cel

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func certificateOf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What Envoy 1.40 logged of sessions with these certificates.
func TestTLS(t *testing.T) {
	const (
		clientName = `CN=\C3\9Cnicode  client#\<\>,O=Acme\, \"x\"\; Inc./y,C=US`
		serverName = `CN=server,OU=B+OU=A,O=Acme\, Inc.,L=San Francisco,ST=CA,C=US`
	)
	client, server := certificateOf(t, "client"), certificateOf(t, "server")
	secure := entry()
	secure.Stream.Downstream.TLS = &streaminfo.TLS{Version: "TLSv1.3", LocalCertificate: server, PeerCertificates: []*x509.Certificate{client}}
	secure.Stream.Upstream.TLS = &streaminfo.TLS{Version: "TLSv1.2", LocalCertificate: client, PeerCertificates: []*x509.Certificate{server}}
	c := New(nil, node())
	for expression, want := range map[string]string{
		"connection.mtls": "true", "connection.tls_version": "TLSv1.3", "upstream.tls_version": "TLSv1.2",
		"connection.subject_local_certificate": serverName, "connection.subject_peer_certificate": clientName,
		"connection.sha256_peer_certificate_digest": "cac3f6e14f103407007e847439c6458a94bf7431cb59a80907ce745977aafb63",
		"connection.uri_san_local_certificate":      "spiffe://acme/server", "connection.uri_san_peer_certificate": "spiffe://acme/client",
		"connection.dns_san_local_certificate": "server.example", "connection.dns_san_peer_certificate": "client.example",
		"upstream.subject_local_certificate": clientName, "upstream.subject_peer_certificate": serverName,
		"upstream.sha256_peer_certificate_digest": "0103504381898382c8c39e0d6dc19679d2d370b1b4ffd01060060e640eab6e33",
		"upstream.uri_san_local_certificate":      "spiffe://acme/client", "upstream.uri_san_peer_certificate": "spiffe://acme/server",
		"upstream.dns_san_local_certificate": "client.example", "upstream.dns_san_peer_certificate": "server.example",
	} {
		x, err := c.Compile("expression", expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, _ := x.AppendText(nil, secure); string(got) != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
		for name, e := range map[string]*format.Entry{"plain": entry(), "no certificates": nobody()} {
			got, ok := x.AppendText(nil, e)
			if ok && string(got) != "false" && string(got) != "TLSv1.3" && string(got) != "TLSv1.2" {
				t.Errorf("%s, %s: got %s", expression, name, got)
			}
		}
	}
}

// nobody returns an entry of sessions in which nobody showed a certificate.
func nobody() *format.Entry {
	e := entry()
	e.Stream.Downstream.TLS, e.Stream.Upstream.TLS = &streaminfo.TLS{Version: "TLSv1.3"}, &streaminfo.TLS{Version: "TLSv1.2"}
	return e
}
