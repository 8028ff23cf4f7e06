package acme

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A clock is moved by the test only. Any goroutine.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// A rig is one server's Manager.
type rig struct {
	*testing.T
	clock   *clock
	loop    *loop.Fake
	metrics *metrics.Scope
	manager *Manager
	secrets map[string]*tlsv3.Secret

	mu    sync.Mutex // guards what follows
	lines []string   // of the log
}

// Publish implements Secrets.
func (r *rig) Publish(s *tlsv3.Secret) error {
	r.secrets[s.GetName()] = s
	return nil
}

func (r *rig) Debugf(format string, args ...any) { r.logf("debug", format, args...) }
func (r *rig) Infof(format string, args ...any)  { r.logf("info", format, args...) }
func (r *rig) Warnf(format string, args ...any)  { r.logf("warning", format, args...) }
func (r *rig) Errorf(format string, args ...any) { r.logf("error", format, args...) }

func (r *rig) logf(level, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, level+": "+fmt.Sprintf(format, args...))
}

// log returns what was logged since it was last called.
func (r *rig) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.Join(r.lines, "\n")
	r.lines = nil
	return text
}

// newRig makes a Manager of an authority over a storage; change may be nil.
func newRig(t *testing.T, c *ca, clk *clock, storage string, change func(*acmev1.Acme)) *rig {
	t.Helper()
	msg := &acmev1.Acme{
		DirectoryUrl: c.URL + "/directory", ContactEmail: "admin@a.test", TermsOfServiceAgreed: true, StoragePath: storage, TrustedCaFile: c.file,
		Certificates: []*acmev1.Certificate{{SecretName: "cert", Domains: []string{"a.test", "www.a.test"}}},
	}
	if change != nil {
		change(msg)
	}
	var errs conf.Errors
	config := Parse(msg, conf.Path{}, &errs)
	if errs != nil {
		t.Fatal(errs)
	}
	r := &rig{T: t, clock: clk, loop: loop.New(1), metrics: metrics.New(1), secrets: map[string]*tlsv3.Secret{}}
	r.manager = New(Options{Config: config, Dispatcher: r.loop, Now: clk.Now, Secrets: r, Stats: r.metrics, Log: log{r}})
	t.Cleanup(r.manager.Close)
	return r
}

// log is a rig as a Logger: Errorf of the rig itself fails the test.
type log struct{ *rig }

func newClock() *clock { return &clock{now: loop.New(1).Now()} }

// settle lets all that is on its way end.
func (r *rig) settle() {
	r.loop.Run()
	r.manager.goroutines.Wait()
	r.loop.Run()
}

// advance moves the clock.
func (r *rig) advance(d time.Duration) {
	r.clock.set(r.loop.Now().Add(d))
	r.loop.Advance(d)
	r.settle()
}

// leaf returns the certificate of a secret, nil without one.
func (r *rig) leaf(name string) *x509.Certificate {
	r.Helper()
	s := r.secrets[name]
	if s == nil {
		return nil
	}
	block, _ := pem.Decode(s.GetTlsCertificate().GetCertificateChain().GetInlineBytes())
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.Fatal(err)
	}
	return leaf
}

func (r *rig) count(name string, want uint64) {
	r.Helper()
	if got := r.metrics.Value("acme." + name); got != want {
		r.T.Errorf("%s is %d, not %d", name, got, want)
	}
}

func (r *rig) wantLog(parts ...string) {
	r.Helper()
	got := r.log()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			r.T.Errorf("%q is not in the log:\n%s", part, got)
		}
	}
	if strings.Contains(got, "PRIVATE") {
		r.T.Errorf("there is a secret in the log:\n%s", got)
	}
}
