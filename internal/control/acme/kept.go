package acme

import (
	"fmt"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A kept is a certificate that the server always has. Main goroutine.
type kept struct {
	manager *Manager
	certificateConfig
	timer    event.Timer
	current  *bundle // nil before there is one
	failures int     // in a row
}

// String names the certificate in the log.
func (k *kept) String() string {
	return fmt.Sprintf("certificate %s (%s)", k.secret, strings.Join(k.subject.domains, ", "))
}

func (k *kept) start() {
	k.timer = k.manager.options.Dispatcher.NewTimer(k.look)
	// What is wrong with the storage is found, and told, again by look.
	if b, err := k.manager.load(k.subject); err == nil && b.valid(k.manager.options.Now()) {
		k.take(b)
	}
	k.look()
}

// look makes sure that there is a certificate and that it is not due.
func (k *kept) look() {
	if k.current != nil && !k.manager.due(k.current) && k.failures == 0 && k.unchanged() {
		k.later(0)
		return
	}
	attempt := k.failures
	k.manager.run(func() {
		b, from, err := k.manager.ensure(k.subject, attempt, nil)
		k.manager.options.Dispatcher.Post(func() { k.ended(b, from, err) })
	})
}

// unchanged reports whether the storage has the certificate that is in use.
func (k *kept) unchanged() bool {
	b, err := k.manager.load(k.subject)
	return err == nil && b.equal(k.current)
}

// ended takes what ensure has returned.
func (k *kept) ended(b *bundle, from origin, err error) {
	m := k.manager
	if m.ctx.Err() != nil {
		return
	}
	m.count(from, err)
	if err != nil {
		k.failures++
		wait := m.wait(k.failures, err)
		m.options.Log.Errorf("ACME: %s is not obtained, the next attempt is in %v: %s", k, wait, explain(err))
		k.timer.Enable(wait)
		return
	}
	k.failures = 0
	if !b.equal(k.current) {
		k.take(b)
	}
	k.later(m.config.retryBase)
}

// take makes a certificate the secret.
func (k *kept) take(b *bundle) {
	m := k.manager
	if err := m.options.Secrets.Publish(b.secret(k.secret)); err != nil {
		m.options.Log.Errorf("ACME: %s is not taken: %v", k, err)
		return
	}
	if k.current == nil {
		m.stats.certificates.Inc(stats.Any)
	}
	k.current = b
	m.options.Log.Infof("ACME: %s is valid until %s", k, b.leaf().NotAfter.UTC().Format(time.RFC3339))
}

// later looks again when the certificate is due, or another server may have renewed it,
// but not before a time has passed.
func (k *kept) later(least time.Duration) {
	wait := lookEvery
	if k.current != nil {
		wait = min(wait, k.current.renewAt(k.manager.config.renewalRatio).Sub(k.manager.options.Now()))
	}
	k.timer.Enable(max(wait, least, time.Millisecond))
}
