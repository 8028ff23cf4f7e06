package networkinputs

import (
	"crypto/x509"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// certificate is a text of the client's certificate. As in Envoy a connection without
// TLS leaves a tree unsure, while one without a certificate has no value. It allocates.
func certificate(of func(*x509.Certificate) string) matcher.TextInput {
	return func(d matcher.Data) matcher.Value {
		c := d.Connection()
		if c == nil || c.TLS == nil {
			return matcher.Value{State: matcher.NotYet}
		}
		cert := c.TLS.PeerCertificate()
		if cert == nil {
			return matcher.Value{}
		}
		text := of(cert)
		return matcher.TextValue(text, text != "")
	}
}

func uriSANs(c *x509.Certificate) string {
	uris := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		uris[i] = u.String()
	}
	return strings.Join(uris, ",")
}

func dnsSANs(c *x509.Certificate) string { return strings.Join(c.DNSNames, ",") }

func subject(c *x509.Certificate) string { return streaminfo.Subject(c) }
