package tlscontext

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// A chainError is what is wrong with one certificate of a chain, in BoringSSL's words.
type chainError struct {
	depth  int
	reason string
}

func (e *chainError) Error() string {
	return fmt.Sprintf("X509_verify_cert: certificate verification error at depth %d: %s", e.depth, e.reason)
}

// A peer is what is checked.
type peer struct {
	certs  []*x509.Certificate
	usage  x509.ExtKeyUsage
	server string // the name that was asked for
	o      *transport.Options
}

// verify checks the certificate of a peer, writes to session what it found and counts
// what is wrong. v may be nil: then nothing is asked of it, unless the options do.
// The goroutine of the handshake.
func (v *validator) verify(p *peer, session *streaminfo.TLS, stats *sslStats) error {
	override := p.o != nil && len(p.o.VerifyNames)+len(p.o.VerifyMatch) > 0
	switch {
	case v == nil && !override, v != nil && !v.wanted() && !override:
		return nil
	case len(p.certs) == 0:
		return nil // the server requires one, or it does not
	case v == nil:
		v = &validator{roots: new(trust)} // nobody is trusted
	}
	chain, err := v.verifyChain(p)
	if err != nil {
		stats.failVerifyError.Inc(anyShard)
		if v.acceptUntrusted {
			return nil
		}
		return failed(err.Error())
	}
	checked, err := v.verifyLeaf(p, stats)
	if err != nil && !v.acceptUntrusted {
		return err
	}
	session.PeerValidated = err == nil && (chain != nil || checked)
	session.ValidatedChain = chain
	return nil
}

func failed(detail string) error {
	return &tlssocket.VerifyError{Detail: "verify cert failed: " + detail}
}

// verifyChain returns a chain from the peer's certificate to a trusted one; nil without
// trusted ones.
func (v *validator) verifyChain(p *peer) ([]*x509.Certificate, error) {
	if v.spiffe != nil {
		trusted, err := v.spiffe.trusted(p.certs[0])
		if err != nil {
			return nil, err
		}
		return v.chainTo(trusted, p)
	}
	if v.roots == nil {
		return nil, nil
	}
	return v.chainTo(v.roots, p)
}

func (v *validator) chainTo(t *trust, p *peer) ([]*x509.Certificate, error) {
	if t.pool == nil {
		return nil, explainUnknown(t, p.certs)
	}
	certs, now := p.certs, v.now()
	if v.allowExpired {
		certs = nil
		for _, c := range p.certs {
			certs = append(certs, forever(c))
		}
	}
	others := x509.NewCertPool()
	for _, c := range certs[1:] {
		others.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: others, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{p.usage},
	})
	if err != nil {
		return nil, v.explain(err, t, certs)
	}
	err = nil
	for _, chain := range chains {
		if len(chain)-1 > v.maxDepth {
			err = &chainError{v.maxDepth, "certificate chain too long"}
			continue
		}
		if err = t.checkRevoked(chain, v.leafOnlyCRL, now, v.allowExpired); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// explain translates an error of package x509.
func (v *validator) explain(err error, t *trust, certs []*x509.Certificate) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return explainUnknown(t, certs)
	case errors.As(err, &invalid):
		depth := len(certs)
		for i, c := range certs {
			if c.Equal(invalid.Cert) {
				depth = i
			}
		}
		return &chainError{depth, v.invalidReason(&invalid)}
	}
	return err
}

func (v *validator) invalidReason(err *x509.CertificateInvalidError) string {
	switch err.Reason {
	case x509.Expired:
		if v.now().Before(err.Cert.NotBefore) {
			return "certificate is not yet valid"
		}
		return "certificate has expired"
	case x509.NotAuthorizedToSign:
		return "invalid CA certificate"
	case x509.TooManyIntermediates:
		return "path length constraint exceeded"
	case x509.IncompatibleUsage:
		return "unsupported certificate purpose"
	case x509.CANotAuthorizedForThisName:
		return "permitted subtree violation"
	default:
		return err.Error()
	}
}

// explainUnknown finds where the chain of certificates that a peer showed breaks off.
func explainUnknown(t *trust, certs []*x509.Certificate) error {
	depth, c, rest := 0, certs[0], slices.Clone(certs[1:])
	for {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			if depth == 0 {
				return &chainError{0, "self signed certificate"}
			}
			return &chainError{depth, "self signed certificate in certificate chain"}
		}
		i := slices.IndexFunc(rest, func(other *x509.Certificate) bool { return bytes.Equal(other.RawSubject, c.RawIssuer) })
		switch {
		case t.claims(c):
			return &chainError{depth, "certificate signature failure"}
		case i < 0:
			return &chainError{depth, "unable to get local issuer certificate"}
		}
		depth, c = depth+1, rest[i]
		rest = slices.Delete(rest, i, i+1)
	}
}

// verifyLeaf checks names and hashes. checked says that there was something to check.
func (v *validator) verifyLeaf(p *peer, stats *sslStats) (checked bool, err error) {
	leaf := p.certs[0]
	names := v.names
	if v.spiffe != nil { // which speaks of URIs only
		names = slices.DeleteFunc(slices.Clone(names), func(m nameMatcher) bool { return m.kind != streaminfo.URIName })
	}
	switch {
	case p.o != nil && len(p.o.VerifyNames) > 0:
		if !hasName(leaf, p.o.VerifyNames) {
			stats.failVerifySAN.Inc(anyShard)
			return true, failed(fmt.Sprintf("verify SAN list, expected SANs: [%s], certificate SANs: [%s]", strings.Join(p.o.VerifyNames, ", "), listNames(leaf)))
		}
		checked = true
	case p.o != nil && len(p.o.VerifyMatch) > 0:
		if !meets(leaf, p.o.VerifyMatch) {
			stats.failVerifySAN.Inc(anyShard)
			return true, failed(fmt.Sprintf("SAN matcher, certificate SANs are [%s]", listNames(leaf)))
		}
		checked, names = true, nil
	case v.autoSNI && p.server != "":
		names = []nameMatcher{{kind: streaminfo.DNSName, exact: p.server}}
	}
	if len(names) > 0 {
		if !hasOneOf(leaf, names) {
			stats.failVerifySAN.Inc(anyShard)
			return true, failed(fmt.Sprintf("SAN matcher, certificate SANs are [%s]", listNames(leaf)))
		}
		checked = true
	}
	if len(v.hashes)+len(v.spkis) > 0 && v.spiffe == nil {
		if !slices.Contains(v.hashes, sha256.Sum256(leaf.Raw)) && !slices.Contains(v.spkis, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)) {
			stats.failVerifyCertHash.Inc(anyShard)
			return true, failed("cert hash and spki")
		}
		checked = true
	}
	return checked, nil
}

func hasOneOf(c *x509.Certificate, matchers []nameMatcher) bool {
	names := streaminfo.AltNames(c)
	for i := range matchers {
		for j := range names {
			if matchers[i].matches(&names[j]) {
				return true
			}
		}
	}
	return false
}

// hasName reports whether a certificate has one of the names.
func hasName(c *x509.Certificate, names []string) bool {
	for _, n := range streaminfo.AltNames(c) {
		if slices.ContainsFunc(names, func(name string) bool {
			return n.Kind == streaminfo.DNSName && matchDNS(name, n.Value) || name == n.Value
		}) {
			return true
		}
	}
	return false
}

func meets(c *x509.Certificate, conditions []match.String) bool {
	for _, n := range streaminfo.AltNames(c) {
		for i := range conditions {
			if !strings.Contains(n.Value, "\x00") && conditions[i].Match(n.Value) {
				return true
			}
		}
	}
	return false
}
