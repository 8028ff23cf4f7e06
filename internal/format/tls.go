package format

import (
	"crypto/x509"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A session is the TLS session of one side, nil without TLS.
type session func(*streaminfo.Stream) *streaminfo.TLS

func downstreamTLS(s *streaminfo.Stream) *streaminfo.TLS { return connection(s).TLS }
func upstreamTLS(s *streaminfo.Stream) *streaminfo.TLS   { return s.Upstream.TLS }

// A handshake is that of one side.
type handshake session

func (of handshake) start(e *format.Entry) time.Time {
	if s := of(e.Stream); s != nil {
		return s.HandshakeStart
	}
	return time.Time{}
}

func (of handshake) end(e *format.Entry) time.Time {
	if s := of(e.Stream); s != nil {
		return s.HandshakeEnd
	}
	return time.Time{}
}

// connected is when the connection to the upstream was there, before its handshake.
func connected(u *streaminfo.Upstream) time.Time {
	if u.TLS != nil {
		return u.TLS.HandshakeStart
	}
	return u.ConnectEnd
}

// tls adds the operators on TLS sessions and certificates.
func (t table) tls() {
	down, up := session(downstreamTLS), session(upstreamTLS)
	for prefix, of := range map[string]session{"DOWNSTREAM_TLS_": down, "UPSTREAM_TLS_": up} {
		t.session(prefix+"VERSION", of, func(s *streaminfo.TLS) string { return s.Version })
		t.session(prefix+"CIPHER", of, func(s *streaminfo.TLS) string { return s.CipherSuite })
		t.session(prefix+"GROUP", of, func(s *streaminfo.TLS) string { return s.Group })
		t.session(prefix+"SESSION_ID", of, func(s *streaminfo.TLS) string { return s.SessionID })
	}
	t.add("DOWNSTREAM_HANDSHAKE_DURATION", func(dst []byte, e *format.Entry) ([]byte, kind) {
		if down(e.Stream) == nil {
			return dst, missing
		}
		took := handshake(down).end(e).Sub(e.Stream.Start) // of a request it was over before
		return strconv.AppendInt(dst, max(took.Milliseconds(), 0), 10), literal
	})
	t.session("UPSTREAM_SERVER_NAME", up, func(s *streaminfo.TLS) string { return s.ServerName })
	kinds := map[string]streaminfo.AltNameKind{"URI": streaminfo.URIName, "DNS": streaminfo.DNSName, "IP": streaminfo.IPName}
	for name, kind := range kinds {
		t.names("UPSTREAM_PEER_"+name+"_SAN", up, (*streaminfo.TLS).PeerCertificate, kind)
		t.names("UPSTREAM_LOCAL_"+name+"_SAN", up, (*streaminfo.TLS).Local, kind)
	}
	kinds["EMAIL"], kinds["OTHERNAME"] = streaminfo.EmailName, streaminfo.OtherName
	for name, kind := range kinds {
		t.names("DOWNSTREAM_PEER_"+name+"_SAN", down, (*streaminfo.TLS).PeerCertificate, kind)
		t.names("DOWNSTREAM_LOCAL_"+name+"_SAN", down, (*streaminfo.TLS).Local, kind)
	}
	for prefix, of := range map[string]session{"DOWNSTREAM_PEER_": down, "UPSTREAM_PEER_": up} {
		t.certificate(prefix+"SUBJECT", of, (*streaminfo.TLS).PeerCertificate, streaminfo.Subject)
		t.certificate(prefix+"ISSUER", of, (*streaminfo.TLS).PeerCertificate, streaminfo.Issuer)
		t.certificate(prefix+"CERT", of, (*streaminfo.TLS).PeerCertificate, streaminfo.URLEncodedPEM)
		t.validity(prefix+"CERT_V_START", of, func(c *x509.Certificate) time.Time { return c.NotBefore })
		t.validity(prefix+"CERT_V_END", of, func(c *x509.Certificate) time.Time { return c.NotAfter })
	}
	t.certificate("DOWNSTREAM_LOCAL_SUBJECT", down, (*streaminfo.TLS).Local, streaminfo.Subject)
	t.certificate("DOWNSTREAM_PEER_FINGERPRINT_256", down, (*streaminfo.TLS).PeerCertificate, streaminfo.Fingerprint256)
	t.certificate("DOWNSTREAM_PEER_FINGERPRINT_1", down, (*streaminfo.TLS).PeerCertificate, streaminfo.Fingerprint1)
	t.certificate("DOWNSTREAM_PEER_SERIAL", down, (*streaminfo.TLS).PeerCertificate, streaminfo.Serial)
	t.certificate("DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", down, (*streaminfo.TLS).PeerIssuer, streaminfo.Fingerprint256)
	t.certificate("DOWNSTREAM_PEER_ISSUER_SERIAL", down, (*streaminfo.TLS).PeerIssuer, streaminfo.Serial)
	t.chain("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", streaminfo.Fingerprint256)
	t.chain("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", streaminfo.Fingerprint1)
	t.chain("DOWNSTREAM_PEER_CHAIN_SERIALS", streaminfo.Serial)
}

// session adds an operator that prints a string of a session.
func (t table) session(name string, of session, get func(*streaminfo.TLS) string) {
	t.text(name, func(s *streaminfo.Stream) string {
		if tls := of(s); tls != nil {
			return get(tls)
		}
		return ""
	})
}

// certificate adds an operator that prints something of a certificate.
func (t table) certificate(name string, of session, pick func(*streaminfo.TLS) *x509.Certificate, get func(*x509.Certificate) string) {
	t.text(name, func(s *streaminfo.Stream) string {
		if c := pick(of(s)); c != nil {
			return get(c)
		}
		return ""
	})
}

// names adds an operator that lists the alternative names of one kind.
func (t table) names(name string, of session, pick func(*streaminfo.TLS) *x509.Certificate, kind streaminfo.AltNameKind) {
	t.text(name, func(s *streaminfo.Stream) string {
		return strings.Join(streaminfo.AltNamesOf(pick(of(s)), kind), ",")
	})
}

// chain adds an operator that lists something of all the certificates that the client
// showed.
func (t table) chain(name string, get func(*x509.Certificate) string) {
	t.text(name, func(s *streaminfo.Stream) string {
		tls := downstreamTLS(s)
		if tls == nil {
			return ""
		}
		values := make([]string, len(tls.PeerCertificates))
		for i, c := range tls.PeerCertificates {
			values[i] = get(c)
		}
		return strings.Join(values, ",")
	})
}

// validity adds an operator that prints when the peer's certificate begins, or ceases, to
// be valid, with an optional strftime pattern.
func (t table) validity(name string, of session, at func(*x509.Certificate) time.Time) {
	t[name] = spec{args: optionalArgs, build: func(_ *Compiler, pattern string) (operator, error) {
		if pattern == "" {
			pattern = utcPattern
		}
		parts, err := compileTime(pattern)
		if err != nil {
			return nil, err
		}
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			c := of(e.Stream).PeerCertificate()
			if c == nil {
				return dst, missing
			}
			return appendTime(dst, at(c).In(time.UTC), parts), text
		}, nil
	}}
}
