package tlscontext

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// defaultMaxSessionKeys is how many sessions a cluster keeps.
const defaultMaxSessionKeys = 1

// maxSessionKeys bounds what max_session_keys can ask for.
const maxSessionKeys = 1 << 16

var errKeyUsage = errors.New("KEY_USAGE_BIT_INCORRECT")

// client makes the TLS sockets of a cluster.
type client struct {
	contexts *Contexts
	common
	upstream *tlsv3.UpstreamTlsContext
	current  atomic.Pointer[clientContext] // nil as long as a secret is missing
}

var (
	_ transport.ClientFactory = (*client)(nil)
	_ tlssocket.Client        = (*client)(nil)
)

// newClient reads a configuration. Errors go to errs.
func newClient(c *Contexts, s *client, errs *conf.Errors) {
	u := s.upstream
	conf.Check(u, upstreamFields, s.path, errs)
	s.parse(true, errs)
	at := s.path.Field("common_tls_context")
	if len(s.certificates) > 1 {
		errs.Add(at.Field("tls_certificates"), "Multiple TLS certificates are not supported for client contexts")
	}
	if strings.Contains(u.GetSni(), "\x00") {
		errs.Add(s.path.Field("sni"), "SNI names containing NULL-byte are not allowed")
	}
	if u.GetAutoSniSanValidation() && u.GetCommonTlsContext().GetValidationContextType() == nil {
		errs.Add(s.path.Field("auto_sni_san_validation"), "'auto_sni_san_validation' was configured without a validation context")
	}
	s.contexts = c
	s.assemble = func(b *build) (*material, func()) {
		made := s.build(b)
		if made == nil {
			return nil, nil
		}
		return &made.material, func() { s.current.Store(made) }
	}
}

// build makes a context, nil if something is missing or wrong.
func (s *client) build(b *build) *clientContext {
	m := &clientContext{material: material{certificates: b.loadCertificates(), validator: b.loadValidator()}}
	m.bind(s.contexts.now)
	if v := m.validator; v != nil && s.upstream.GetAutoSniSanValidation() {
		if v.autoSNI = true; v.roots == nil {
			b.list(s.validation).Add(s.path.Field("auto_sni_san_validation"), "'auto_sni_san_validation' was configured without configuring a trusted CA")
		}
	}
	if b.missing || b.err() != nil {
		return nil
	}
	keys := uint32(defaultMaxSessionKeys)
	if n := s.upstream.GetMaxSessionKeys(); n != nil {
		keys = n.GetValue()
	}
	if keys > 0 {
		m.sessions = &sessions{max: int(min(keys, maxSessionKeys))}
	}
	return m
}

// New implements transport.ClientFactory.
func (s *client) New(o *transport.Options, host transport.Host) transport.Socket {
	return tlssocket.NewClient(s, s.contexts.handshakes, o, host)
}

// Secure implements transport.ClientFactory.
func (*client) Secure() bool { return true }

// SupportsALPN implements transport.ClientFactory.
func (*client) SupportsALPN() bool { return true }

// Key implements transport.ClientFactory.
func (*client) Key(o *transport.Options) string {
	if o == nil || o.ServerName == "" && len(o.VerifyNames)+len(o.VerifyMatch)+len(o.ALPN)+len(o.ALPNFallback) == 0 {
		return ""
	}
	var b strings.Builder
	add := func(kind byte, text string) {
		b.WriteByte(kind)
		b.WriteString(strconv.Itoa(len(text)))
		b.WriteByte(':')
		b.WriteString(text)
	}
	add('s', o.ServerName)
	for _, name := range o.VerifyNames {
		add('n', name)
	}
	for i := range o.VerifyMatch {
		add('m', o.VerifyMatch[i].String())
	}
	for _, name := range o.ALPN {
		add('a', name)
	}
	for _, name := range o.ALPNFallback {
		add('f', name)
	}
	return b.String()
}

// Config implements tlssocket.Client.
func (s *client) Config(info *streaminfo.Connection, session *streaminfo.TLS, o *transport.Options, host transport.Host) *tls.Config {
	m := s.current.Load()
	if m == nil {
		s.stats.notReady.Inc(anyShard)
		return nil
	}
	name := s.upstream.GetSni()
	switch {
	case o != nil && o.ServerName != "":
		name = o.ServerName
	case s.upstream.GetAutoHostSni() && host != nil && host.Hostname() != "":
		name = host.Hostname()
	}
	config := &tls.Config{
		DynamicRecordSizingDisabled: true,
		InsecureSkipVerify:          true, // VerifyConnection does it, as configured
		ServerName:                  name,
		NextProtos:                  s.protocols(o),
		KeyLogWriter:                s.keyLog.writer(info),
	}
	s.params.apply(config)
	if len(m.certificates) > 0 {
		config.Certificates = []tls.Certificate{m.certificates[0].tls}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &config.Certificates[0], nil }
		session.LocalCertificate = m.certificates[0].leaf
	}
	var use *sessionUse
	if m.sessions != nil {
		use = &sessionUse{sessions: m.sessions, server: name}
		config.ClientSessionCache = use
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkKeyUsage(&state); err != nil {
			return err
		}
		err := m.validator.verify(&peer{certs: state.PeerCertificates, usage: x509.ExtKeyUsageServerAuth, server: name, o: o}, session, s.stats)
		if err == nil && use != nil {
			use.resumed(&state)
		}
		return err
	}
	return config
}

// protocols returns what is offered by ALPN.
func (s *client) protocols(o *transport.Options) []string {
	switch {
	case o != nil && len(o.ALPN) > 0:
		return o.ALPN
	case o != nil && len(s.alpn) == 0:
		return o.ALPNFallback
	default:
		return s.alpn
	}
}

// checkKeyUsage reports an error if a server's key is not for what it does, as
// BoringSSL does.
func checkKeyUsage(state *tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 || state.PeerCertificates[0].KeyUsage == 0 {
		return nil
	}
	c, wanted := state.PeerCertificates[0], x509.KeyUsageDigitalSignature
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(tls.CipherSuiteName(state.CipherSuite), "TLS_RSA_") {
			wanted = x509.KeyUsageKeyEncipherment
		}
	case *ecdsa.PublicKey:
	default:
		return nil
	}
	if c.KeyUsage&wanted == 0 {
		return errKeyUsage
	}
	return nil
}

// Describe implements tlssocket.Context.
func (*client) Describe(session *streaminfo.TLS, state *tls.ConnectionState) error {
	describe(session, state)
	return nil
}

// Done implements tlssocket.Context.
func (s *client) Done(state *tls.ConnectionState, err error, shard int) {
	s.stats.done(state, err, shard)
}

// Failed implements tlssocket.Context.
func (s *client) Failed(err error, shard int) { s.stats.failed(err, shard) }

// clientContext is the state of a client between two changes of its secrets. It is
// immutable but for the sessions.
type clientContext struct {
	material
	sessions *sessions // nil: none are kept
}

// describe completes what access logs show of a session.
func describe(session *streaminfo.TLS, state *tls.ConnectionState) {
	session.Version, session.CipherSuite, session.Group = versionName(state.Version), cipherName(state), groupName(state.CurveID)
	session.CipherSuiteID = state.CipherSuite
	session.ServerName, session.ALPN, session.Resumed = state.ServerName, state.NegotiatedProtocol, state.DidResume
	session.PeerCertificates = state.PeerCertificates
}
