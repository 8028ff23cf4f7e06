package tlscontext

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// server makes the TLS sockets of a filter chain.
type server struct {
	contexts *Contexts
	common
	downstream *tlsv3.DownstreamTlsContext
	current    atomic.Pointer[serverContext] // nil as long as a secret is missing
	acme       ACME                          // nil: none of the certificates comes from it
	onDemand   bool                          // some are obtained when a client asks for them
}

var (
	_ transport.ServerFactory = (*server)(nil)
	_ tlssocket.Server        = (*server)(nil)
)

// newServer reads a configuration. Errors go to errs.
func newServer(c *Contexts, s *server, errs *conf.Errors) {
	d := s.downstream
	conf.Check(d, downstreamFields, s.path, errs)
	s.parse(false, errs)
	inline, followed := len(d.GetCommonTlsContext().GetTlsCertificates()), len(d.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs())
	at := s.path.Field("common_tls_context")
	switch {
	case inline+followed == 0:
		errs.Add(at, "No TLS certificates found for server context")
	case inline > 0 && followed > 0:
		errs.Add(at, "SDS and non-SDS TLS certificates may not be mixed in server contexts")
	}
	if config := d.GetSessionTicketKeysSdsSecretConfig(); config != nil {
		s.tickets = s.find(config, s.path.Field("session_ticket_keys_sds_secret_config"), errs)
	}
	s.contexts = c
	s.findACME()
	s.assemble = func(b *build) (*material, func()) {
		made := s.build(b)
		if made == nil {
			return nil, nil
		}
		return &made.material, func() { s.current.Store(made) }
	}
}

// build makes a context, nil if something is missing or wrong.
func (s *server) build(b *build) *serverContext {
	m := &serverContext{
		material: material{certificates: b.loadCertificates(), validator: b.loadValidator()}, stats: s.stats, now: s.contexts.now, params: s.params, alpn: s.alpn,
		staple: s.downstream.GetOcspStaplePolicy(), fullScan: s.downstream.GetFullScanCertsOnSniMismatch().GetValue(),
		clientsOrder: s.downstream.GetPreferClientCiphers(),
	}
	m.bind(s.contexts.now)
	keys := s.loadTicketKeys(b)
	for _, c := range m.certificates {
		switch {
		case c.ocsp == nil && c.mustStaple:
			b.errs.Add(s.path, "OCSP response is required for must-staple certificate")
		case c.ocsp == nil && m.staple == tlsv3.DownstreamTlsContext_MUST_STAPLE:
			b.errs.Add(s.path, "Required OCSP response is missing from TLS context")
		}
	}
	if b.missing || b.err() != nil || len(m.certificates) == 0 && !s.onDemand {
		return nil
	}
	if !s.downstream.GetDisableStatelessSessionResumption() {
		var err error
		if m.tickets, err = newTickets(keys, m.identity(s.ctx.ServerNames), s.downstream.GetSessionTimeout().AsDuration(), s.contexts.now); err != nil {
			b.errs.Add(s.path.Field("session_ticket_keys"), "%v", err)
			return nil
		}
	}
	m.prepare(s.downstream.GetRequireClientCertificate().GetValue())
	return m
}

func (s *server) loadTicketKeys(b *build) [][]byte {
	msg, path := s.downstream.GetSessionTicketKeys(), s.path.Field("session_ticket_keys")
	if s.tickets != nil {
		path = s.path.Field("session_ticket_keys_sds_secret_config")
		found := b.see(s.tickets)
		if found == nil {
			b.missing = true
			return nil
		}
		if msg = found.GetSessionTicketKeys(); msg == nil {
			b.list(s.tickets).Add(path.Field("name"), "Unknown tls session ticket keys: %s", s.tickets.Name())
			return nil
		}
	}
	return parseTicketKeys(msg, reader{s.ctx.Context, b.list(s.tickets)}, path)
}

// New implements transport.ServerFactory.
func (s *server) New() transport.Socket { return tlssocket.NewServer(s, s.contexts.handshakes) }

// Secure implements transport.ServerFactory. Without its secrets a socket is not, unless
// they may come before the handshake.
func (s *server) Secure() bool { return s.current.Load() != nil || s.acme != nil }

// Config implements tlssocket.Server.
func (s *server) Config(info *streaminfo.Connection, session *streaminfo.TLS) *tls.Config {
	m := s.current.Load()
	if m == nil && s.acme == nil {
		s.stats.notReady.Inc(anyShard)
		return nil
	}
	keys := s.keyLog.writer(info)
	return &tls.Config{
		DynamicRecordSizingDisabled: true,
		KeyLogWriter:                keys,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if c := s.answer(hello); c != nil {
				return c, nil
			}
			if m == nil {
				s.stats.notReady.Inc(anyShard)
				return nil, tlssocket.ErrNotReady
			}
			c, err := s.configFor(m, hello, session)
			if c != nil {
				c.KeyLogWriter = keys
			}
			return c, err
		},
	}
}

// Done implements tlssocket.Context.
func (s *server) Done(state *tls.ConnectionState, err error, shard int) {
	s.stats.done(state, err, shard)
}

// Failed implements tlssocket.Context.
func (s *server) Failed(err error, shard int) { s.stats.failed(err, shard) }

// serverContext is the state of a server between two changes of its secrets. It is
// immutable. Any goroutine.
type serverContext struct {
	material
	stats        *sslStats
	now          func() time.Time
	params       params
	alpn         []string
	staple       tlsv3.DownstreamTlsContext_OcspStaplePolicy
	fullScan     bool
	clientsOrder bool
	tickets      *tickets // nil: sessions do not go on
	auth         tls.ClientAuthType
	cas          *x509.CertPool // that clients are told of, nil for none

	byName  map[string][]*certificate // by lower-case name, ".parent" for wildcards
	configs map[*certificate]*tls.Config
}

// identity is what a session must have in common with this context to go on in it: the
// names and issuers of the certificates, what clients are checked against, and the names
// that the filter chain is chosen by.
func (m *serverContext) identity(serverNames []string) [sha256.Size]byte {
	h := sha256.New()
	add := func(parts ...string) {
		for _, p := range parts {
			h.Write([]byte{byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p))})
			h.Write([]byte(p))
		}
		h.Write([]byte{0xff, 0xff, 0xff})
	}
	for _, c := range m.certificates {
		names := []string{c.leaf.Subject.CommonName, string(c.leaf.RawIssuer)}
		for _, n := range streaminfo.AltNames(c.leaf) {
			names = append(names, n.Value)
		}
		add(names...)
	}
	if m.validator != nil {
		add(string(m.validator.digest[:]))
	}
	add(serverNames...)
	return [sha256.Size]byte(h.Sum(nil))
}

// prepare makes the configurations of crypto/tls, one for each certificate.
func (m *serverContext) prepare(requireCertificate bool) {
	m.auth = tls.NoClientCert
	switch {
	case m.validator.wanted() && requireCertificate || m.validator.required():
		m.auth = tls.RequireAnyClientCert
	case m.validator.wanted():
		m.auth = tls.RequestClientCert
	}
	if m.auth != tls.NoClientCert && m.validator != nil && !m.validator.hideCAs {
		m.cas = m.validator.subjects()
	}
	m.byName, m.configs = map[string][]*certificate{}, map[*certificate]*tls.Config{}
	for _, c := range m.certificates {
		for _, name := range c.names() {
			key := match.Lower(strings.TrimPrefix(name, "*"))
			if !strings.HasPrefix(name, "*.") {
				key = match.Lower(name)
			}
			// Of several with one name and kind of key the first counts.
			if !slices.ContainsFunc(m.byName[key], func(other *certificate) bool { return (other.curve == 0) == (c.curve == 0) }) {
				m.byName[key] = append(m.byName[key], c)
			}
		}
		m.configs[c] = m.configure(c)
	}
}

// configure returns the configuration of crypto/tls for a certificate.
func (m *serverContext) configure(c *certificate) *tls.Config {
	config := &tls.Config{
		DynamicRecordSizingDisabled: true,
		Certificates:                []tls.Certificate{c.tls},
		ClientAuth:                  m.auth, ClientCAs: m.cas,
	}
	p := c.params.over(m.params)
	p.apply(config)
	m.tickets.apply(config)
	return config
}

// configFor returns the configuration for a client. The goroutine of the handshake.
func (s *server) configFor(m *serverContext, hello *tls.ClientHelloInfo, session *streaminfo.TLS) (*tls.Config, error) {
	if s.onDemand && !m.has(hello.ServerName) {
		c, err := s.obtain(hello)
		switch {
		case err == nil:
			return m.complete(m.configure(c), c, hello, session), nil
		case len(m.certificates) == 0:
			return nil, errNoCertificate
		}
	}
	c, staple, err := m.choose(hello)
	if err != nil {
		return nil, err
	}
	config := m.configs[c].Clone()
	if !staple && c.ocsp != nil {
		own := c.tls
		own.OCSPStaple = nil
		config.Certificates = []tls.Certificate{own}
	}
	return m.complete(config, c, hello, session), nil
}

// complete adds to the configuration for a certificate what depends on the client.
func (m *serverContext) complete(config *tls.Config, c *certificate, hello *tls.ClientHelloInfo, session *streaminfo.TLS) *tls.Config {
	session.LocalCertificate = c.leaf
	// Without a protocol in common it goes on without one.
	if slices.ContainsFunc(m.alpn, func(name string) bool { return slices.Contains(hello.SupportedProtos, name) }) {
		config.NextProtos = m.alpn
	}
	p := c.params.over(m.params)
	if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) || p.maxVersion < tls.VersionTLS13 {
		if id := choose(p.ciphers, hello.CipherSuites, c.rsa(), m.clientsOrder); id != 0 {
			config.CipherSuites = []uint16{id}
		}
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return m.validator.verify(&peer{certs: state.PeerCertificates, usage: x509.ExtKeyUsageClientAuth, server: state.ServerName}, session, m.stats)
	}
	return config
}
