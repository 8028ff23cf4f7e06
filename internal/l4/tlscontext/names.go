package tlscontext

import (
	"crypto/x509"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A nameMatcher is a condition on the alternative names of one kind.
type nameMatcher struct {
	kind  streaminfo.AltNameKind
	oid   string
	exact string // of a DNS name, with the rules of wildcards; "" for match
	match *match.String
}

func (m *nameMatcher) matches(n *streaminfo.AltName) bool {
	switch {
	case n.Kind != m.kind, m.kind == streaminfo.OtherName && n.OID != m.oid, strings.Contains(n.Value, "\x00"):
		return false
	case m.exact != "":
		return matchDNS(m.exact, n.Value)
	default:
		return m.match.Match(n.Value)
	}
}

// parseNames reads the matchers of alternative names, of either field.
func parseNames(msg *tlsv3.CertificateValidationContext, path conf.Path, errs *conf.Errors) []nameMatcher {
	var all []nameMatcher
	for i, m := range msg.GetMatchTypedSubjectAltNames() {
		at := path.Field("match_typed_subject_alt_names").Index(i)
		kinds := map[tlsv3.SubjectAltNameMatcher_SanType]streaminfo.AltNameKind{
			tlsv3.SubjectAltNameMatcher_EMAIL: streaminfo.EmailName, tlsv3.SubjectAltNameMatcher_DNS: streaminfo.DNSName,
			tlsv3.SubjectAltNameMatcher_URI: streaminfo.URIName, tlsv3.SubjectAltNameMatcher_IP_ADDRESS: streaminfo.IPName,
			tlsv3.SubjectAltNameMatcher_OTHER_NAME: streaminfo.OtherName,
		}
		kind, ok := kinds[m.GetSanType()]
		if !ok {
			errs.Add(at.Field("san_type"), "must be one of EMAIL, DNS, URI, IP_ADDRESS, OTHER_NAME")
			continue
		}
		if kind == streaminfo.OtherName && m.GetOid() == "" {
			errs.Add(at.Field("oid"), "must be set for names of type OTHER_NAME")
		}
		all = append(all, newNameMatcher(kind, m.GetOid(), m.GetMatcher(), at.Field("matcher"), errs))
	}
	if all != nil {
		return all
	}
	for i, m := range msg.GetMatchSubjectAltNames() {
		at := path.Field("match_subject_alt_names").Index(i)
		for _, kind := range []streaminfo.AltNameKind{streaminfo.DNSName, streaminfo.URIName, streaminfo.EmailName, streaminfo.IPName} {
			var sink conf.Errors
			all = append(all, newNameMatcher(kind, "", m, at, &sink))
			if kind == streaminfo.IPName {
				*errs = append(*errs, sink...) // once
			}
		}
	}
	return all
}

func newNameMatcher(kind streaminfo.AltNameKind, oid string, msg *matcherv3.StringMatcher, path conf.Path, errs *conf.Errors) nameMatcher {
	m := nameMatcher{kind: kind, oid: oid, match: match.NewString(msg, path, errs)}
	if kind == streaminfo.DNSName {
		m.exact = msg.GetExact()
	}
	return m
}

// matchDNS reports whether a name is one that pattern, of a certificate, stands for: a
// single * in its first label stands for any characters of the label.
func matchDNS(name, pattern string) bool {
	name, pattern = match.Lower(name), match.Lower(pattern)
	if name == pattern {
		return true
	}
	label, parent, ok := strings.Cut(pattern, ".")
	first, rest, more := strings.Cut(name, ".")
	before, after, wild := strings.Cut(label, "*")
	switch {
	case !ok || !more || !wild, rest != parent, strings.Contains(after, "*"), strings.Contains(parent, "*"), strings.HasPrefix(label, "xn--"):
		return false
	}
	return len(before)+len(after) <= len(first) && strings.HasPrefix(first, before) && strings.HasSuffix(first, after)
}

// listNames lists the alternative names of a certificate for a message.
func listNames(c *x509.Certificate) string {
	var values []string
	for _, n := range streaminfo.AltNames(c) {
		values = append(values, n.Value)
	}
	return strings.Join(values, ", ")
}
