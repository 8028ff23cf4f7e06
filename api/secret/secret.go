// Package secret is the contract of secrets: certificates, validation contexts,
// session ticket keys and generic secrets, that change while the server runs.
package secret

import (
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A Provider finds secrets by their configuration. Main goroutine.
type Provider interface {
	// Find returns the source of the secret that config names: a static one of the
	// bootstrap if it has no sds_config, else one that is followed from now on. What is
	// wrong goes to errs; the result is nil then. Equal configurations share a source.
	Find(config *tlsv3.SdsSecretConfig, path conf.Path, errs *conf.Errors) Source
	// Follow calls changed after one of the files, or directories, was replaced, until
	// stop is called. What they are now counts as known.
	Follow(paths []string, changed func()) (stop func())
}

// A Source is one secret.
type Source interface {
	Name() string
	// Current returns the secret, nil while there is none. It is immutable. Files that a
	// followed secret names are read into it, a static one still names them. Any
	// goroutine.
	Current() *tlsv3.Secret
	// Watch tells w of every change, on the main goroutine, until stop is called. An error
	// keeps the secret from being taken (it is logged and counted, and the one before
	// stays); all watchers are asked before one is told. A followed secret is read when
	// the first begins to watch: then w is asked, and told, before Watch returns.
	Watch(w Watcher) (stop func())
}

// A Watcher uses a secret. Main goroutine.
type Watcher interface {
	// Check reports what is wrong with a new version, which is not current yet.
	Check(s *tlsv3.Secret) error
	// Changed says that Current returns the version that was checked.
	Changed()
}
