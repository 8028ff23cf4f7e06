package streaminfo_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func loadCertificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
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

// What Envoy 1.40 logged of these certificates.
func TestCertificateAsEnvoy(t *testing.T) {
	client, server := loadCertificate(t, "client.pem"), loadCertificate(t, "server.pem")
	for _, tc := range []struct{ name, got, want string }{
		{"subject", streaminfo.Subject(client), `CN=\C3\9Cnicode  client#\<\>,O=Acme\, \"x\"\; Inc./y,C=US`},
		{"issuer", streaminfo.Issuer(client), "CN=Int CA,O=Acme"},
		{"several attributes in one part", streaminfo.Subject(server), `CN=server,OU=B+OU=A,O=Acme\, Inc.,L=San Francisco,ST=CA,C=US`},
		{"serial", streaminfo.Serial(client), "6f4183d137528e48101580841b24991b0687798d"},
		{"sha256", streaminfo.Fingerprint256(client), "cac3f6e14f103407007e847439c6458a94bf7431cb59a80907ce745977aafb63"},
		{"sha1", streaminfo.Fingerprint1(client), "d99ae7c3e032b954738b06e857c3c2b5096b6663"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, tc.got, tc.want)
		}
	}
	const start = "-----BEGIN%20CERTIFICATE-----%0AMIICNjCCAd2gAwIBAgIUb0GD0TdSjkgQFYCEGySZGwaHeY0wCgYIKoZIzj0EAwIw%0AIDENMAsGA1UECgwEQWNtZTEPMA0GA1UEAwwGSW50IENBMB4XDTI2MTEyMzIwMTcx%0AOFoXDTI3MTIyODIwMTcxOFowRzELMAkGA1UEBhMCVVMxGjAYBgNVBAoMEUFjbWUs%0AICJ4IjsgSW5jLi95MRwwGgYDVQQDDBPDnG5pY29kZSAgY2xpZW50Izw%2BMFkwEwYH%0A"
	if got := streaminfo.URLEncodedPEM(client); !strings.HasPrefix(got, start) || !strings.HasSuffix(got, "4yN%0A-----END%20CERTIFICATE-----%0A") {
		t.Errorf("URL-encoded: %s", got)
	}
	if got := streaminfo.PEM(client); !strings.HasSuffix(got, "4yN\n-----END CERTIFICATE-----\n") {
		t.Errorf("PEM: %s", got)
	}
	for kind, want := range map[streaminfo.AltNameKind][]string{
		streaminfo.DNSName:   {"client.example", "c2.example"},
		streaminfo.URIName:   {"spiffe://acme/client", "http://two"},
		streaminfo.IPName:    {"10.1.2.3", "2001:db8::1"},
		streaminfo.EmailName: {"c@d.e"},
		streaminfo.OtherName: {"upn@x"},
	} {
		if got := streaminfo.AltNamesOf(client, kind); !slices.Equal(got, want) {
			t.Errorf("alternative names of kind %d: got %q, want %q", kind, got, want)
		}
	}
	if got := streaminfo.AltNames(client); got[len(got)-1].OID != "1.3.6.1.4.1.311.20.2.3" {
		t.Errorf("got %v", got)
	}
}

func TestTLSWithoutCertificates(t *testing.T) {
	for _, s := range []*streaminfo.TLS{nil, {}} {
		if s.PeerCertificate() != nil || s.PeerIssuer() != nil || s.Local() != nil {
			t.Errorf("a certificate of %v", s)
		}
	}
	if streaminfo.AltNamesOf(nil, streaminfo.DNSName) != nil {
		t.Error("names of no certificate")
	}
}

// FuzzAltNames feeds extensions and names that no parser has seen before.
func FuzzAltNames(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0x82, 0x01, 'a'})
	f.Add([]byte{0x30, 0x0d, 0xa0, 0x0b, 0x06, 0x03, 0x2a, 0x03, 0x04, 0xa0, 0x04, 0x02, 0x02, 0xff, 0x00})
	f.Add([]byte{0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x1e, 0x02, 0x00, 'a'})
	client := loadCertificate(f, "client.pem")
	f.Fuzz(func(t *testing.T, der []byte) {
		c := &x509.Certificate{RawSubject: der}
		streaminfo.Subject(c)
		for _, e := range client.Extensions {
			if e.Id.String() == "2.5.29.17" {
				e.Value = der
				c.Extensions = append(c.Extensions, e)
			}
		}
		for _, n := range streaminfo.AltNames(c) {
			if n.Kind == streaminfo.IPName && len(n.Value) > 45 {
				t.Errorf("an address of %d bytes", len(n.Value))
			}
		}
	})
}
