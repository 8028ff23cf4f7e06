package networkinputs_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/matching/networkinputs"
)

func client(t *testing.T, template *x509.Certificate) matcher.Data {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return session(&streaminfo.TLS{PeerCertificates: []*x509.Certificate{cert}})
}

func session(tls *streaminfo.TLS) matcher.Data {
	return matcher.Data{Stream: &streaminfo.Stream{Downstream: &streaminfo.Connection{TLS: tls}}}
}

func TestCertificate(t *testing.T) {
	a, b := &url.URL{Scheme: "spiffe", Host: "a", Path: "/b"}, &url.URL{Scheme: "https", Host: "c"}
	data := []matcher.Data{
		client(t, &x509.Certificate{Subject: pkix.Name{CommonName: "client", Organization: []string{"Acme"}},
			URIs: []*url.URL{a, b}, DNSNames: []string{"x.example", "y.example"}}),
		client(t, &x509.Certificate{}),
		session(&streaminfo.TLS{}),
		session(nil),
		{},
	}
	const prefix = "envoy.extensions.matching.common_inputs.ssl.v3."
	for config, want := range map[string]string{
		prefix + `UriSanInput"`:  "spiffe://a/b,https://c",
		prefix + `DnsSanInput"`:  "x.example,y.example",
		prefix + `SubjectInput"`: "CN=client,O=Acme",
	} {
		check(t, config, networkinputs.Factories(), data, []string{want, "-", "-", "?", "?"})
	}
}
