package secret

import (
	"slices"
	"sync/atomic"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/secret"
)

// A version is what a source says from some moment on. It is immutable.
type version struct {
	secret  *tlsv3.Secret
	info    string // the version that the resource has of itself
	updated time.Time
}

// watchers are those who use a secret. Main goroutine.
type watchers []*watcher

type watcher struct{ secret.Watcher }

func (ws *watchers) add(w secret.Watcher) (remove func()) {
	added := &watcher{w}
	*ws = append(*ws, added)
	return func() {
		*ws = slices.DeleteFunc(slices.Clone(*ws), func(other *watcher) bool { return other == added })
	}
}

func (ws watchers) check(s *tlsv3.Secret) error {
	for _, w := range ws {
		if err := w.Check(s); err != nil {
			return err
		}
	}
	return nil
}

func (ws watchers) changed() {
	for _, w := range ws {
		w.Changed()
	}
}

// static is a secret that the server has, or will have, itself.
type static struct {
	name     string
	watchers watchers
	current  atomic.Pointer[version] // nil before Publish
}

// Name implements secret.Source.
func (s *static) Name() string { return s.name }

// Current implements secret.Source.
func (s *static) Current() *tlsv3.Secret { return s.current.Load().get() }

func (v *version) get() *tlsv3.Secret {
	if v == nil {
		return nil
	}
	return v.secret
}

// Watch implements secret.Source.
func (s *static) Watch(w secret.Watcher) (stop func()) { return s.watchers.add(w) }

func (s *static) publish(secret *tlsv3.Secret, now time.Time) error {
	if err := s.watchers.check(secret); err != nil {
		return err
	}
	s.current.Store(&version{secret: secret, updated: now})
	s.watchers.changed()
	return nil
}
