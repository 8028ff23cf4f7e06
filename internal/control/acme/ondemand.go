package acme

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

var (
	errNotAllowed   = errors.New("the name is not allowed")
	errTooMany      = errors.New("too many handshakes wait for certificates")
	errNoRoom       = errors.New("there is no room for another certificate")
	errTooManyOrder = errors.New("max_orders_per_hour is reached")
	errAborted      = errors.New("the client has gone")
	errNone         = errors.New("there is no certificate")
)

// onDemand has the certificates that clients ask for. Any goroutine.
type onDemand struct {
	// set in newOnDemand, read-only after
	manager *Manager
	config  *onDemandConfig

	mu      sync.Mutex // guards what follows
	entries map[string]*entry
	used    *list.List // of *entry, the last used one in front
	waiting int        // handshakes
	orders  int        // since hour
	hour    time.Time
}

// An entry is what is known of a name.
type entry struct {
	name     string
	element  *list.Element
	current  *bundle       // nil without one
	busy     chan struct{} // closed when the job that is on its way ends, nil without one
	err      error         // of the last job
	failures int           // in a row
	retry    time.Time     // no job before it
}

func newOnDemand(m *Manager, c *onDemandConfig) *onDemand {
	return &onDemand{manager: m, config: c, entries: map[string]*entry{}, used: list.New()}
}

// Ready returns the certificate of a name if there is one in memory, nil otherwise. It
// does not wait.
func (m *Manager) Ready(name string) *tls.Certificate {
	o := m.onDemand
	if name = strings.ToLower(name); o == nil || !validName(name) || !o.config.allows(name) {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.entries[name]
	if e == nil || !e.current.valid(m.options.Now()) {
		return nil
	}
	o.used.MoveToFront(e.element)
	if m.due(e.current) {
		o.work(e) // meanwhile the one there is serves
	}
	return &e.current.tls
}

// Obtain returns the certificate of a name, which it may have to wait for; not after
// aborted is closed, nor longer than the configuration says. The certificate is obtained
// all the same.
func (m *Manager) Obtain(name string, aborted <-chan struct{}) (*tls.Certificate, error) {
	o := m.onDemand
	if o == nil {
		return nil, errNotAllowed
	}
	e, busy, err := o.ask(strings.ToLower(name))
	if err != nil {
		m.stats.refused.Inc(stats.Any)
		return nil, err
	}
	if busy != nil {
		ctx, done := context.WithTimeout(m.ctx, o.config.timeout)
		defer done()
		select {
		case <-busy:
		case <-ctx.Done():
			err = ctx.Err()
		case <-aborted:
			err = errAborted
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if busy != nil {
		o.waiting--
	}
	switch {
	case e.current.valid(m.options.Now()):
		return &e.current.tls, nil
	case err == nil && e.err != nil:
		err = e.err
	case err == nil:
		err = errNone
	}
	return nil, err
}

// ask returns the entry of a name, and what to wait for if its certificate is on its way.
func (o *onDemand) ask(name string) (e *entry, busy chan struct{}, err error) {
	if !validName(name) || !o.config.allows(name) {
		return nil, nil, errNotAllowed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if e = o.entries[name]; e == nil {
		if !o.makeRoom() {
			return nil, nil, errNoRoom
		}
		e = &entry{name: name}
		e.element = o.used.PushFront(e)
		o.entries[name] = e
	}
	if e.current.valid(o.manager.options.Now()) {
		return e, nil, nil
	}
	if o.waiting >= o.config.maxHandshakes {
		return nil, nil, errTooMany
	}
	o.work(e)
	if e.busy != nil {
		o.waiting++
	}
	return e, e.busy, nil
}

// makeRoom forgets the entry that was not used for the longest time, if there are too
// many. mu is held.
func (o *onDemand) makeRoom() bool {
	if len(o.entries) < o.config.maxInMemory {
		return true
	}
	for element := o.used.Back(); element != nil; element = element.Prev() {
		if e, ok := element.Value.(*entry); ok && e.busy == nil {
			o.used.Remove(element)
			delete(o.entries, e.name)
			o.hold(e, nil)
			return true
		}
	}
	return false
}

// work begins a job for an entry, unless there is one or it is too early for another. mu
// is held.
func (o *onDemand) work(e *entry) {
	if e.busy != nil || o.manager.options.Now().Before(e.retry) {
		return
	}
	busy, attempt := make(chan struct{}), e.failures
	started := o.manager.run(func() {
		defer close(busy)
		s := subject{domains: []string{e.name}, key: o.config.key}
		b, from, err := o.manager.ensure(s, attempt, o.permit)
		if o.manager.ctx.Err() == nil {
			o.ended(e, b, from, err)
		}
	})
	if started {
		e.busy = busy
	}
}

// permit counts an order, if it is not one too many.
func (o *onDemand) permit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.manager.options.Now()
	if now.Sub(o.hour) >= time.Hour {
		o.hour, o.orders = now, 0
	}
	if o.orders >= o.config.maxOrders {
		o.manager.stats.refused.Inc(stats.Any)
		return errTooManyOrder
	}
	o.orders++
	return nil
}

// ended takes what ensure has returned.
func (o *onDemand) ended(e *entry, b *bundle, from origin, err error) {
	m := o.manager
	o.mu.Lock()
	defer o.mu.Unlock()
	e.busy, e.err = nil, err
	if err == nil {
		e.failures, e.retry = 0, m.options.Now().Add(m.config.retryBase)
		o.hold(e, b)
		m.count(from, nil)
		m.options.Log.Infof("ACME: the certificate for %s is valid until %s", e.name, b.leaf().NotAfter.UTC().Format(time.RFC3339))
		return
	}
	e.failures++
	wait := m.wait(e.failures, err)
	e.retry = m.options.Now().Add(wait)
	if !errors.Is(err, errTooManyOrder) {
		m.count(0, err)
	}
	m.options.Log.Errorf("ACME: the certificate for %s is not obtained, the next attempt is in %v at the earliest: %s", e.name, wait, explain(err))
}

// hold makes b, which may be nil, the certificate of an entry. mu is held.
func (o *onDemand) hold(e *entry, b *bundle) {
	if gauge := o.manager.stats.certificates; e.current == nil && b != nil {
		gauge.Inc(stats.Any)
	} else if e.current != nil && b == nil {
		gauge.Dec(stats.Any)
	}
	e.current = b
}
