package tlscontext

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ocsp"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A certificate is one that this side shows, with its key. It is immutable.
type certificate struct {
	tls        tls.Certificate
	leaf       *x509.Certificate
	name, path string // of the secret, and where it was read from
	params     params // of its own
	curve      tls.CurveID
	mustStaple bool
	ocsp       *ocsp.Response // nil without one
}

// rsa reports whether the key is no elliptic curve, as far as ciphers are concerned.
func (c *certificate) rsa() bool {
	_, ok := c.leaf.PublicKey.(*rsa.PublicKey)
	return ok
}

// names returns the names that the certificate is chosen by: its DNS names, or its
// common name if it has no alternative names at all.
func (c *certificate) names() []string {
	if len(streaminfo.AltNames(c.leaf)) > 0 {
		return streaminfo.AltNamesOf(c.leaf, streaminfo.DNSName)
	}
	if name := c.leaf.Subject.CommonName; name != "" {
		return []string{name}
	}
	return nil
}

// A reader reads DataSources.
type reader struct {
	ctx  extension.Context
	errs *conf.Errors
}

func (r reader) read(source *corev3.DataSource, path conf.Path) []byte {
	if source == nil {
		return nil
	}
	return []byte(extension.ReadDataSource(source, r.ctx, path, r.errs))
}

// place says where a DataSource is, in Envoy's words.
func place(source *corev3.DataSource) string {
	if name := source.GetFilename(); name != "" {
		return name
	}
	if source == nil {
		return ""
	}
	return "<inline>"
}

// loadCertificate reads a certificate with its key. Errors go to errs; the result is nil
// then.
func loadCertificate(msg *tlsv3.TlsCertificate, name string, ctx extension.Context, path conf.Path, errs *conf.Errors) *certificate {
	before := len(*errs)
	conf.Check(msg, certificateFields, path, errs)
	r := reader{ctx, errs}
	c := &certificate{name: name, path: place(msg.GetCertificateChain()), params: parseParams(msg.GetTlsParams(), path.Field("tls_params"), errs)}
	password := string(r.read(msg.GetPassword(), path.Field("password")))
	var err error
	if msg.GetPkcs12() != nil {
		c.path = place(msg.GetPkcs12())
		if msg.GetPrivateKey() != nil {
			errs.Add(path.Field("private_key"), "Certificate configuration can't have both pkcs12 and private_key")
		}
		if msg.GetCertificateChain() != nil {
			errs.Add(path.Field("certificate_chain"), "Certificate configuration can't have both pkcs12 and certificate_chain")
		}
		err = c.loadPKCS12(r.read(msg.GetPkcs12(), path.Field("pkcs12")), password)
	} else {
		chain := r.read(msg.GetCertificateChain(), path.Field("certificate_chain"))
		key := r.read(msg.GetPrivateKey(), path.Field("private_key"))
		switch {
		case len(*errs) > before:
		case len(chain) == 0:
			err = fmt.Errorf("Failed to load incomplete certificate from %s: certificate chain not set", c.path)
		case len(key) == 0:
			err = fmt.Errorf("Failed to load incomplete private key from path: %s", place(msg.GetPrivateKey()))
		default:
			err = c.load(chain, key, place(msg.GetPrivateKey()), password)
		}
	}
	if err == nil && len(*errs) == before {
		err = c.inspect()
	}
	if err != nil {
		errs.Add(path, "%v", err)
	}
	if len(*errs) > before {
		return nil
	}
	c.loadOCSP(msg.GetOcspStaple(), r, path.Field("ocsp_staple"))
	if len(*errs) > before {
		return nil
	}
	return c
}

func (c *certificate) load(chain, key []byte, keyPlace, password string) error {
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" || block.Type == "X509 CERTIFICATE" {
			c.tls.Certificate = append(c.tls.Certificate, block.Bytes)
		}
	}
	if len(c.tls.Certificate) == 0 {
		return fmt.Errorf("Failed to load certificate chain from %s", c.path)
	}
	var err error
	if c.leaf, err = x509.ParseCertificate(c.tls.Certificate[0]); err != nil {
		return fmt.Errorf("Failed to load certificate chain from %s: %w", c.path, err)
	}
	private, err := parseKey(key, password)
	if err != nil {
		return fmt.Errorf("Failed to load private key from %s, Cause: %w", keyPlace, err)
	}
	c.tls.PrivateKey = private
	public, ok := c.leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	own := private.Public()
	switch {
	case ok && fmt.Sprintf("%T", own) != fmt.Sprintf("%T", public):
		return fmt.Errorf("Failed to load private key from %s, Cause: error:0b000073:X.509 certificate routines:OPENSSL_internal:KEY_TYPE_MISMATCH", keyPlace)
	case !ok || !public.Equal(own):
		return fmt.Errorf("Failed to load private key from %s, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH", keyPlace)
	}
	return nil
}

// parseKey reads a private key in PEM, encrypted or not.
func parseKey(text []byte, password string) (crypto.Signer, error) {
	var block *pem.Block
	for block, text = pem.Decode(text); block != nil; block, text = pem.Decode(text) {
		var key any
		var err error
		der := block.Bytes
		if block.Headers["DEK-Info"] != "" {
			//nolint:staticcheck // Weak it is, but Envoy reads it, and the file is the user's.
			if der, err = x509.DecryptPEMBlock(block, []byte(password)); err != nil {
				return nil, err
			}
		}
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(der)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(der)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(der)
		case "ENCRYPTED PRIVATE KEY":
			key, _, err = pkcs8.ParsePrivateKey(der, []byte(password))
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err == nil && !ok {
			err = fmt.Errorf("a key of type %T cannot sign", key)
		}
		return signer, err
	}
	return nil, errors.New("error:0900006e:PEM routines:OPENSSL_internal:NO_START_LINE")
}

func (c *certificate) loadPKCS12(data []byte, password string) error {
	key, leaf, others, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return fmt.Errorf("Failed to load pkcs12 from %s", c.path)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("Failed to load private key from %s", c.path)
	}
	c.leaf, c.tls.PrivateKey, c.tls.Certificate = leaf, signer, [][]byte{leaf.Raw}
	for _, other := range others {
		c.tls.Certificate = append(c.tls.Certificate, other.Raw)
	}
	return nil
}

// inspect checks what Envoy asks of a certificate, and notes what it is chosen by.
func (c *certificate) inspect() error {
	c.tls.Leaf = c.leaf
	switch key := c.leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Errorf("Failed to load certificate chain from %s, only RSA certificates with 2048-bit or larger keys are supported", c.path)
		}
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			c.curve = tls.CurveP256
		case 384:
			c.curve = tls.CurveP384
		case 521:
			c.curve = tls.CurveP521
		default:
			return fmt.Errorf("Failed to load certificate chain from %s, only P-256, P-384 or P-521 ECDSA certificates are supported", c.path)
		}
	}
	for _, e := range c.leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) && string(e.Value) == "\x30\x03\x02\x01\x05" {
			c.mustStaple = true
		}
	}
	return nil
}

func (c *certificate) loadOCSP(source *corev3.DataSource, r reader, path conf.Path) {
	if _, ok := source.GetSpecifier().(*corev3.DataSource_InlineString); ok {
		r.errs.Add(path, "OCSP staple cannot be provided via inline_string")
		return
	}
	raw := r.read(source, path)
	if len(raw) == 0 {
		return
	}
	response, err := ocsp.ParseResponse(raw, nil)
	if err != nil {
		r.errs.Add(path, "OCSP response cannot be read: %v", err)
		return
	}
	if response.SerialNumber.Cmp(c.leaf.SerialNumber) != 0 {
		r.errs.Add(path, "OCSP response does not match its TLS certificate")
		return
	}
	c.ocsp, c.tls.OCSPStaple = response, raw
}

// fresh reports whether the certificate has an OCSP response that holds now.
func (c *certificate) fresh(now time.Time) bool {
	return c.ocsp != nil && now.Before(c.ocsp.NextUpdate)
}
