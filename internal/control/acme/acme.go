// Package acme obtains certificates from an authority (RFC 8555) and renews them. What is
// configured becomes secrets of the server; the other certificates are obtained when a
// client asks for them.
//
// Servers may share a storage, a directory: what one of them obtains all have, and each
// answers the challenges of the others. Everything that waits runs on goroutines of this
// package, which Close ends; what they find is taken on the main goroutine.
package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

const (
	// jobTime bounds one attempt to have a certificate: waiting for another server that is
	// at it, and the order.
	jobTime = 5 * time.Minute
	// maxAtWork is how many orders are on their way at once.
	maxAtWork = 8
	// lookEvery is how often the storage is looked at for what another server renewed.
	lookEvery = time.Hour
	// forgotten is the age at which an answer to a challenge is of no use any more.
	forgotten = 24 * time.Hour
	// maxLookUps is how many answers to HTTP-01 challenges are looked for at once.
	maxLookUps = 64
)

// Secrets takes what is obtained: it is a secret.Provider that can be written to. Main
// goroutine.
type Secrets interface {
	Publish(s *tlsv3.Secret) error
}

// Options are what a Manager needs.
type Options struct {
	Config *Config
	// Dispatcher is the main loop.
	Dispatcher event.Dispatcher
	// Now reads the time. Any goroutine.
	Now     func() time.Time
	Secrets Secrets
	// Stats is the root scope.
	Stats stats.Scope
	Log   extension.Logger
}

// A Manager keeps the certificates of a server.
type Manager struct {
	// set in New, read-only after
	options   Options
	config    *Config
	store     store
	authority *authority
	stats     managerStats
	kept      []*kept   // what is in them belongs to the main goroutine
	onDemand  *onDemand // nil: off
	atWork    chan struct{}
	lookUps   chan struct{}
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc

	mu         sync.Mutex // guards what follows
	closed     bool
	goroutines sync.WaitGroup // added to with mu held
}

type managerStats struct {
	obtained, renewed, failed, refused *stats.Counter
	certificates                       *stats.Gauge
}

// New returns a Manager that does nothing before Start.
func New(o Options) *Manager {
	m := &Manager{
		options: o, config: o.Config, store: store{o.Config.storage},
		atWork: make(chan struct{}, maxAtWork), lookUps: make(chan struct{}, maxLookUps),
	}
	m.authority = newAuthority(m.config, m.store, o.Log)
	scope := o.Stats.Scope("acme.")
	m.stats = managerStats{
		obtained: scope.Counter("obtained"), renewed: scope.Counter("renewed"), failed: scope.Counter("failed"),
		refused: scope.Counter("on_demand_refused"), certificates: scope.Gauge("certificates"),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, c := range m.config.certificates {
		m.kept = append(m.kept, &kept{manager: m, certificateConfig: c})
	}
	if m.config.onDemand != nil {
		m.onDemand = newOnDemand(m, m.config.onDemand)
	}
	return m
}

// Names returns the names of the secrets that will be published.
func (c *Config) Names() []string {
	var names []string
	for _, one := range c.certificates {
		names = append(names, one.secret)
	}
	if c.onDemand != nil {
		names = append(names, c.onDemand.secret)
	}
	return names
}

// Start publishes what the storage has, and begins to obtain what it has not. Main
// goroutine.
func (m *Manager) Start() {
	for _, k := range m.kept {
		k.start()
	}
	m.run(func() {
		for _, kind := range []string{tlsALPN01, http01} {
			m.store.sweep("challenges/"+kind, m.options.Now().Add(-forgotten))
		}
	})
}

// Close ends all that is on its way, and returns when it has ended. Any goroutine.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.goroutines.Wait()
	m.authority.close()
}

// run starts a goroutine, unless the Manager is closed.
func (m *Manager) run(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.goroutines.Go(f)
	return true
}

// An origin says where a certificate came from.
type origin uint8

const (
	fromStorage origin = iota
	obtained
	renewed
)

// ensure returns a certificate for a subject that is not due for renewal: from the
// storage or, if there is none, from the authority. attempt counts the failures before;
// permit, which may be nil, is asked before an order. It blocks.
func (m *Manager) ensure(s subject, attempt int, permit func() error) (b *bundle, from origin, err error) {
	ctx, done := context.WithTimeout(m.ctx, jobTime)
	defer done()
	if b, err := m.load(s); err == nil && !m.due(b) {
		return b, fromStorage, nil
	}
	unlock, err := m.store.lock(ctx, s.id())
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	found, err := m.load(s) // another server may have been faster
	switch {
	case err == nil && !m.due(found):
		return found, fromStorage, nil
	case err == nil:
		from = renewed
	default:
		from = obtained
		if !errors.Is(err, fs.ErrNotExist) {
			m.options.Log.Errorf("ACME: %s cannot be used, the certificate is obtained anew: %v", m.store.path(m.file(s)), err)
		}
	}
	select {
	case m.atWork <- struct{}{}:
		defer func() { <-m.atWork }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if permit != nil {
		if err := permit(); err != nil {
			return nil, 0, err
		}
	}
	if b, err = m.authority.obtain(ctx, s, attempt); err != nil {
		return nil, 0, err
	}
	if err := m.store.write(m.file(s), b.text()); err != nil {
		m.options.Log.Errorf("ACME: the certificate for %s cannot be stored: %v", strings.Join(s.domains, ", "), err)
	}
	return b, from, nil
}

func (m *Manager) file(s subject) string {
	return "certificates/" + m.authority.name() + "/" + s.id() + ".pem"
}

// load returns the certificate that is in the storage, fs.ErrNotExist without one.
func (m *Manager) load(s subject) (*bundle, error) {
	text, err := m.store.read(m.file(s))
	if err != nil {
		return nil, err
	}
	return parseBundle(text, s)
}

// due reports whether a certificate is to be renewed.
func (m *Manager) due(b *bundle) bool {
	return !m.options.Now().Before(b.renewAt(m.config.renewalRatio))
}

// count counts what ensure did.
func (m *Manager) count(from origin, err error) {
	switch {
	case err != nil:
		m.stats.failed.Inc(stats.Any)
	case from == obtained:
		m.stats.obtained.Inc(stats.Any)
	case from == renewed:
		m.stats.renewed.Inc(stats.Any)
	}
}

// wait returns how long to wait after a failure, the last of several in a row.
func (m *Manager) wait(failures int, err error) time.Duration {
	return max(m.config.backoff(failures), retryAfter(err))
}

// Manages reports whether a secret is one of this Manager's, and whether it stands for
// those that are obtained on demand. Any goroutine.
func (m *Manager) Manages(secret string) (managed, onDemand bool) {
	if m.onDemand != nil && m.onDemand.config.secret == secret {
		return true, true
	}
	for _, c := range m.config.certificates {
		if c.secret == secret {
			return true, false
		}
	}
	return false, false
}

// Challenge returns the certificate for the handshake of an authority that asks whether a
// domain is ours, nil if none does. It reads a file: not on a worker.
func (m *Manager) Challenge(domain string) *tls.Certificate {
	return m.authority.challenges.certificate(strings.ToLower(domain))
}

// KeyAuthorization implements extension.ACME.
func (m *Manager) KeyAuthorization(token string, d event.Dispatcher, done func(answer string)) {
	if !validToken(token) {
		d.Post(func() { done("") })
		return
	}
	look := func() {
		defer func() { <-m.lookUps }()
		answer := m.authority.challenges.keyAuthorization(token)
		d.Post(func() { done(answer) })
	}
	select {
	case m.lookUps <- struct{}{}:
		if m.run(look) {
			return
		}
		<-m.lookUps
	default: // too many: whoever asks asks again
	}
	d.Post(func() { done("") })
}
