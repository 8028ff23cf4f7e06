package tlscontext

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/match"
)

// statusRequest is the number of the extension by which a client asks for an OCSP
// response.
const statusRequest = 5

var errNoStaple = errors.New("no certificate has the OCSP response that the policy wants")

// A stapling says what becomes of a certificate's OCSP response.
type stapling uint8

const (
	notAsked stapling = iota
	stapled
	omitted
	refused
)

// choose returns the certificate for a client, by its name and the keys that it
// understands, and whether its OCSP response goes with it.
func (m *serverContext) choose(hello *tls.ClientHelloInfo) (c *certificate, staple bool, err error) {
	asks := slices.Contains(hello.Extensions, statusRequest)
	c, result := m.find(match.Lower(hello.ServerName), m.curves(hello), asks)
	if asks {
		m.stats.stapleRequests.Inc(anyShard)
	}
	switch result {
	case stapled:
		m.stats.stapleResponses.Inc(anyShard)
	case omitted:
		m.stats.stapleOmitted.Inc(anyShard)
	case refused:
		m.stats.stapleFailed.Inc(anyShard)
		return nil, false, errNoStaple
	}
	return c, result == stapled, nil
}

// find looks for a certificate of that name, then for one of its parent's wildcard. If
// there is none, it is the first certificate of all, or with fullScan, and without a
// name, the first of all that fits.
func (m *serverContext) find(name string, curves []tls.CurveID, asks bool) (*certificate, stapling) {
	for _, some := range m.named(name) {
		if c, s := m.fitting(some, curves, asks); c != nil {
			return c, s
		}
	}
	if name == "" || m.fullScan {
		if c, s := m.fitting(m.certificates, curves, asks); c != nil {
			return c, s
		}
	}
	c := m.certificates[0]
	return c, m.stapling(c, asks)
}

// named returns the certificates of that name, and those of its parent's wildcard.
func (m *serverContext) named(name string) [][]*certificate {
	if name == "" {
		return nil
	}
	candidates := [][]*certificate{m.byName[name]}
	if dot := strings.IndexByte(name[1:], '.') + 1; dot > 0 && dot < len(name)-1 {
		candidates = append(candidates, m.byName[name[dot:]])
	}
	return candidates
}

// has reports whether there is a certificate for a name.
func (m *serverContext) has(name string) bool {
	return slices.ContainsFunc(m.named(match.Lower(name)), func(some []*certificate) bool { return len(some) > 0 })
}

// fitting returns the first certificate with an elliptic curve that the client
// understands, or else the first with another key.
func (m *serverContext) fitting(some []*certificate, curves []tls.CurveID, asks bool) (found *certificate, result stapling) {
	for _, c := range some {
		s := m.stapling(c, asks)
		switch {
		case s == refused:
		case c.curve != 0 && slices.Contains(curves, c.curve):
			return c, s
		case c.curve == 0 && found == nil:
			found, result = c, s
		}
	}
	return found, result
}

func (m *serverContext) stapling(c *certificate, asks bool) stapling {
	policy := m.staple
	if c.mustStaple {
		policy = tlsv3.DownstreamTlsContext_MUST_STAPLE
	}
	switch {
	case !asks:
		return notAsked
	case c.fresh(m.now()):
		return stapled
	case policy == tlsv3.DownstreamTlsContext_MUST_STAPLE, policy == tlsv3.DownstreamTlsContext_STRICT_STAPLING && c.ocsp != nil:
		return refused
	default:
		return omitted
	}
}

// curves returns the curves of ECDSA that a client understands: by its signatures if it
// speaks TLS 1.3, else by its groups, if it has a cipher for them.
func (m *serverContext) curves(hello *tls.ClientHelloInfo) []tls.CurveID {
	var curves []tls.CurveID
	if m.params.maxVersion == tls.VersionTLS13 && slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		for _, s := range hello.SignatureSchemes {
			switch s {
			case tls.ECDSAWithP256AndSHA256:
				curves = append(curves, tls.CurveP256)
			case tls.ECDSAWithP384AndSHA384:
				curves = append(curves, tls.CurveP384)
			case tls.ECDSAWithP521AndSHA512:
				curves = append(curves, tls.CurveP521)
			}
		}
		return curves
	}
	if choose(m.params.ciphers, hello.CipherSuites, false, false) == 0 {
		return nil
	}
	for _, id := range hello.SupportedCurves {
		if id == tls.CurveP256 || id == tls.CurveP384 || id == tls.CurveP521 {
			curves = append(curves, id)
		}
	}
	return curves
}
