package tlscontext

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
)

// defaultMaxDepth bounds chains without max_verify_depth.
const defaultMaxDepth = 100

// A validator checks the certificates of peers. It is immutable.
type validator struct {
	now             func() time.Time
	roots           *trust // nil without trusted certificates
	spiffe          *spiffe
	leafOnlyCRL     bool
	allowExpired    bool
	acceptUntrusted bool
	maxDepth        int
	names           []nameMatcher
	hashes, spkis   [][sha256.Size]byte
	autoSNI         bool // the name asked for is in the certificate
	hideCAs         bool
	name, path      string   // of the secret, and of the trusted certificates
	followed        []string // files that count for themselves
	// digest identifies everything above: a session that was agreed on under another one
	// does not go on.
	digest [sha256.Size]byte
}

// trust is a set of certificates that are trusted, with lists of what they revoked.
type trust struct {
	pool  *x509.CertPool
	certs []*x509.Certificate
	crls  []*revocations
}

// wanted reports whether a server asks for a certificate, and required whether it must
// get one.
func (v *validator) wanted() bool {
	return v != nil && (v.roots != nil || v.spiffe != nil || v.acceptUntrusted || v.checksLeaf())
}

func (v *validator) required() bool {
	return v != nil && (v.spiffe != nil || v.checksLeaf() && !v.acceptUntrusted)
}

func (v *validator) checksLeaf() bool { return len(v.names)+len(v.hashes)+len(v.spkis) > 0 }

// loadValidator reads a validation context. Errors go to errs; the result is nil then.
func loadValidator(msg *tlsv3.CertificateValidationContext, ctx extension.Context, path conf.Path, errs *conf.Errors) *validator {
	before := len(*errs)
	conf.Check(msg, validationFields, path, errs)
	r := reader{ctx, errs}
	v := &validator{
		leafOnlyCRL: msg.GetOnlyVerifyLeafCertCrl(), allowExpired: msg.GetAllowExpiredCertificate(), maxDepth: defaultMaxDepth,
		acceptUntrusted: msg.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED,
		hideCAs:         msg.GetSuppressClientCaList(), path: place(msg.GetTrustedCa()), names: parseNames(msg, path, errs),
	}
	if d := msg.GetMaxVerifyDepth(); d != nil {
		v.maxDepth = max(int(min(d.GetValue(), 1<<20)), 1)
	}
	ca, crl := r.read(msg.GetTrustedCa(), path.Field("trusted_ca")), r.read(msg.GetCrl(), path.Field("crl"))
	if len(*errs) == before {
		v.loadTrust(msg, ca, crl, path, errs)
	}
	v.loadHashes(msg, path, errs)
	if custom := msg.GetCustomValidatorConfig(); custom != nil {
		v.loadSPIFFE(custom, r, path.Field("custom_validator_config"), errs)
	} else if v.roots == nil && len(*errs) == before {
		v.checkWithoutCA(msg, path, errs)
	}
	if len(*errs) > before {
		return nil
	}
	v.digest = v.sum(msg, ca, crl)
	return v
}

func (v *validator) loadTrust(msg *tlsv3.CertificateValidationContext, ca, crl []byte, path conf.Path, errs *conf.Errors) {
	var err error
	switch {
	case msg.GetTrustedCa() != nil:
		if v.roots, err = parseTrust(ca, v.allowExpired); err != nil {
			errs.Add(path.Field("trusted_ca"), "Failed to load trusted CA certificates from %s", v.path)
			return
		}
	case msg.GetSystemRootCerts() != nil && v.allowExpired:
		errs.Add(path.Field("allow_expired_certificate"), "cannot be used together with system_root_certs")
		return
	case msg.GetSystemRootCerts() != nil:
		pool, err := x509.SystemCertPool()
		if err != nil {
			errs.Add(path.Field("system_root_certs"), "%v", err)
			return
		}
		v.roots = &trust{pool: pool}
	}
	if len(crl) == 0 {
		return
	}
	lists, err := parseCRLs(crl)
	if err != nil {
		errs.Add(path.Field("crl"), "Failed to load CRL from %s", place(msg.GetCrl()))
	}
	if v.roots != nil {
		v.roots.crls = append(v.roots.crls, lists...)
	}
}

// checkWithoutCA refuses what would check nothing for lack of a CA.
func (v *validator) checkWithoutCA(msg *tlsv3.CertificateValidationContext, path conf.Path, errs *conf.Errors) {
	if msg.GetCrl() != nil {
		errs.Add(path.Field("crl"), "Failed to load CRL from %s without trusted CA", place(msg.GetCrl()))
	}
	if len(v.names) > 0 {
		errs.Add(path, "SAN-based verification of peer certificates without trusted CA is insecure and not allowed")
	}
	if v.allowExpired {
		errs.Add(path.Field("allow_expired_certificate"), "Certificate validity period is always ignored without trusted CA")
	}
}

func (v *validator) loadHashes(msg *tlsv3.CertificateValidationContext, path conf.Path, errs *conf.Errors) {
	for i, text := range msg.GetVerifyCertificateHash() {
		if len(text) == 95 {
			text = strings.ReplaceAll(text, ":", "")
		}
		sum, err := hex.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			errs.Add(path.Field("verify_certificate_hash").Index(i), "Invalid hex-encoded SHA-256 %s", text)
			continue
		}
		v.hashes = append(v.hashes, [sha256.Size]byte(sum))
	}
	for i, text := range msg.GetVerifyCertificateSpki() {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			errs.Add(path.Field("verify_certificate_spki").Index(i), "Invalid base64-encoded SHA-256 %s", text)
			continue
		}
		v.spkis = append(v.spkis, [sha256.Size]byte(sum))
	}
}

// sum hashes the configuration with the contents of its files.
func (v *validator) sum(msg *tlsv3.CertificateValidationContext, contents ...[]byte) [sha256.Size]byte {
	h := sha256.New()
	add := func(b []byte) {
		var length [8]byte
		for i := range length {
			length[i] = byte(len(b) >> (8 * i))
		}
		h.Write(length[:])
		h.Write(b)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		text = []byte(err.Error()) // cannot be: it was read from a configuration
	}
	add(text)
	for _, c := range contents {
		add(c)
	}
	if v.spiffe != nil {
		for _, c := range v.spiffe.certs() {
			add(c.Raw)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// parseTrust reads certificates, and lists of revoked ones, in PEM. timeless makes them
// valid for ever.
func parseTrust(text []byte, timeless bool) (*trust, error) {
	t := &trust{pool: x509.NewCertPool()}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			t.add(c, timeless)
		case "X509 CRL":
			list, err := newRevocations(block.Bytes)
			if err != nil {
				return nil, err
			}
			t.crls = append(t.crls, list)
		}
	}
	if len(t.certs) == 0 {
		return nil, errors.New("no certificate")
	}
	return t, nil
}

func (t *trust) add(c *x509.Certificate, timeless bool) {
	t.certs = append(t.certs, c)
	if timeless {
		c = forever(c)
	}
	t.pool.AddCert(c)
}

// forever returns a copy of a certificate that never expires. What is signed stays.
func forever(c *x509.Certificate) *x509.Certificate {
	timeless := *c
	timeless.NotBefore, timeless.NotAfter = time.Unix(0, 0), time.Unix(1<<40, 0)
	return &timeless
}

// claims reports whether c says that a trusted certificate has signed it.
func (t *trust) claims(c *x509.Certificate) bool {
	return slices.ContainsFunc(t.certs, func(ca *x509.Certificate) bool {
		return bytes.Equal(ca.RawSubject, c.RawIssuer) &&
			(len(c.AuthorityKeyId) == 0 || len(ca.SubjectKeyId) == 0 || bytes.Equal(ca.SubjectKeyId, c.AuthorityKeyId))
	})
}

// files returns the files that have to be followed. v may be nil.
func (v *validator) files() []string {
	if v == nil {
		return nil
	}
	return v.followed
}

// trusted returns all that is trusted; nothing for nil.
func (v *validator) trusted() []*x509.Certificate {
	switch {
	case v == nil:
		return nil
	case v.spiffe != nil:
		return v.spiffe.certs()
	case v.roots != nil:
		return v.roots.certs
	}
	return nil
}

// subjects returns the certificates whose names a server tells its clients, nil for none.
func (v *validator) subjects() *x509.CertPool {
	certs := v.trusted()
	if len(certs) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}
