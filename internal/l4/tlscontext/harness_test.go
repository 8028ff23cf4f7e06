package tlscontext

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// An identity is a certificate with its key, made in the test.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
	by   *identity // nil: itself
}

// wish is what a certificate is to be like.
type wish struct {
	name    string
	dns     []string
	uri     string
	rsa     bool
	curve   elliptic.Curve
	ca      bool
	expired bool
	usage   x509.KeyUsage
	extUse  []x509.ExtKeyUsage
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func issue(t testing.TB, by *identity, w wish) *identity {
	t.Helper()
	id := &identity{by: by}
	var err error
	switch {
	case w.rsa:
		id.key = rsaKey()
	default:
		if w.curve == nil {
			w.curve = elliptic.P256()
		}
		if id.key, err = ecdsa.GenerateKey(w.curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: w.name}, DNSNames: w.dns,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48*time.Hour + time.Minute),
		KeyUsage: w.usage, ExtKeyUsage: w.extUse, BasicConstraintsValid: true, IsCA: w.ca,
	}
	if w.expired {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	if w.ca {
		template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if w.uri != "" {
		u, err := url.Parse(w.uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	parent, signer := template, id.key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, id.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if id.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return id
}

func (id *identity) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw}))
}

func (id *identity) keyPEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// chain is what crypto/tls shows, with the issuers named.
func (id *identity) chain(others ...*identity) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{id.cert.Raw}, PrivateKey: id.key}
	for _, o := range others {
		c.Certificate = append(c.Certificate, o.cert.Raw)
	}
	return c
}

func (id *identity) crl(t testing.TB, revoked ...*identity) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.cert.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, id.cert, id.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// inline writes a DataSource.
func inline(text string) string { return fmt.Sprintf(`{"inline_string":%q}`, text) }

func (id *identity) config() string {
	return fmt.Sprintf(`{"certificate_chain":%s,"private_key":%s}`, inline(id.pem()), inline(id.keyPEM()))
}

// A rig builds contexts.
type rig struct {
	testing.TB
	contexts *Contexts
	metrics  *metrics.Scope
	ctx      extension.TransportSocketContext
	closed   []func()
	log      []string
}

func newRig(t testing.TB) *rig {
	r := &rig{TB: t, contexts: New(nil, time.Now), metrics: metrics.New(1)}
	r.ctx = extension.TransportSocketContext{
		Context: extension.Context{Log: r, Files: files{}}, Scope: r.metrics, Closed: func(f func()) { r.closed = append(r.closed, f) },
	}
	return r
}

func (r *rig) Debugf(string, ...any)        {}
func (r *rig) Infof(string, ...any)         {}
func (r *rig) Warnf(f string, args ...any)  { r.log = append(r.log, fmt.Sprintf(f, args...)) }
func (r *rig) Errorf(f string, args ...any) { r.TB.Errorf(f, args...) }
func (r *rig) count(name string, want uint64) {
	r.Helper()
	if got := r.metrics.Value(name); got != want {
		r.Errorf("%s is %d, not %d", name, got, want)
	}
}

func (r *rig) server(config string) (*server, conf.Errors) {
	r.Helper()
	var errs conf.Errors
	msg := new(tlsv3.DownstreamTlsContext)
	r.unmarshal(config, msg)
	f := downstreamFactory{r.contexts}.BuildDownstreamTransportSocket(msg, r.ctx, conf.Path{}, &errs)
	s, _ := f.(*server)
	return s, errs
}

func (r *rig) client(config string) (*client, conf.Errors) {
	r.Helper()
	var errs conf.Errors
	msg := new(tlsv3.UpstreamTlsContext)
	r.unmarshal(config, msg)
	f := upstreamFactory{r.contexts}.BuildUpstreamTransportSocket(msg, r.ctx, conf.Path{}, &errs)
	c, _ := f.(*client)
	return c, errs
}

func (r *rig) unmarshal(config string, msg proto.Message) {
	r.Helper()
	if err := protojson.Unmarshal([]byte(config), msg); err != nil {
		r.Fatalf("%v in %s", err, config)
	}
}

func (r *rig) mustServer(config string) *server {
	r.Helper()
	s, errs := r.server(config)
	if errs.Err() != nil {
		r.Fatal(errs)
	}
	return s
}

func (r *rig) mustClient(config string) *client {
	r.Helper()
	c, errs := r.client(config)
	if errs.Err() != nil {
		r.Fatal(errs)
	}
	return c
}

// A side is one end of a handshake and what it led to.
type side struct {
	session streaminfo.TLS
	state   *tls.ConnectionState
	err     error
}

// meet lets a server and a client shake hands, and exchange a byte.
func meet(s *server, c *tls.Config) (server, client side) {
	config := s.Config(new(streaminfo.Connection), &server.session)
	near, far := pair()
	run(near, far, tls.Server(near, config), tls.Client(far, c), &server, &client)
	s.Done(server.state, server.err, 0)
	if server.err == nil {
		server.err = s.Describe(&server.session, server.state)
	}
	return server, client
}

// call is meet with a client of ours.
func call(c *client, o *transport.Options, host transport.Host, s *tls.Config) (client, server side) {
	config := c.Config(new(streaminfo.Connection), &client.session, o, host)
	near, far := pair()
	run(near, far, tls.Server(near, s), tls.Client(far, config), &server, &client)
	c.Done(client.state, client.err, 0)
	if client.err == nil {
		client.err = c.Describe(&client.session, client.state)
	}
	return client, server
}

// pair returns the ends of a connection that takes bytes which nobody reads yet.
func pair() (near, far net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		panic(err)
	}
	if near, err = l.Accept(); err != nil {
		panic(err)
	}
	return near, far
}

func run(near, far net.Conn, s, c *tls.Conn, server, client *side) {
	var both sync.WaitGroup
	both.Go(func() {
		defer near.Close()
		if server.err = s.Handshake(); server.err == nil {
			state := s.ConnectionState()
			server.state = &state
			if _, err := s.Write([]byte{1}); err == nil {
				_, _ = s.Read(make([]byte, 1))
			}
		}
	})
	both.Go(func() {
		defer far.Close()
		if client.err = c.Handshake(); client.err == nil {
			state := c.ConnectionState()
			client.state = &state
			if _, err := c.Read(make([]byte, 1)); err != nil {
				client.err = err
			} else {
				_, _ = c.Write([]byte{1})
			}
		}
	})
	both.Wait()
}

// files is an accesslog.Files that keeps what is written.
type files map[string]*file

func (f files) Open(name string) (accesslog.File, error) {
	if f[name] == nil {
		f[name] = new(file)
	}
	return f[name], nil
}

type file struct {
	mu   sync.Mutex
	text []byte
}

func (f *file) Write(_ int, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, p...)
}

// secrets is a secret.Provider of what the test says.
type secrets map[string]*source

type source struct {
	name     string
	secret   *tlsv3.Secret
	watchers []secret.Watcher
}

func (s secrets) Find(config *tlsv3.SdsSecretConfig, path conf.Path, errs *conf.Errors) secret.Source {
	if found := s[config.GetName()]; found != nil {
		return found
	}
	errs.Add(path, "Unknown static secret: %s", config.GetName())
	return nil
}
func (s secrets) Follow([]string, func()) func() { return func() {} }

func (s *source) Name() string           { return s.name }
func (s *source) Current() *tlsv3.Secret { return s.secret }
func (s *source) Watch(w secret.Watcher) func() {
	s.watchers = append(s.watchers, w)
	return func() { s.watchers = nil }
}

// change offers a new version.
func (s *source) change(next *tlsv3.Secret) error {
	for _, w := range s.watchers {
		if err := w.Check(next); err != nil {
			return err
		}
	}
	s.secret = next
	for _, w := range s.watchers {
		w.Changed()
	}
	return nil
}
