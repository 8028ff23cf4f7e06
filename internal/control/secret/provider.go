// Package secret holds the secrets of a server: those of the bootstrap, those that are
// read from files and followed there, and those that the server publishes itself.
//
// The main goroutine owns it; what a secret says at the moment is read anywhere.
// Files are followed by looking at them four times a second: that sees files that are
// moved into place and symbolic links that are swapped on any file system, and a file
// that is written in place once it rests.
package secret

import (
	"os"
	"slices"
	"sync"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Fields lists what is implemented of the configuration of secrets.
func Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig",
		Names: []string{
			"name", "sds_config.path", "sds_config.path_config_source", "sds_config.resource_api_version",
			// A file is there or not: nothing is waited for.
			"sds_config.initial_fetch_timeout",
		},
	}}
}

// Options are what a Provider needs.
type Options struct {
	// Dispatcher is the main loop.
	Dispatcher event.Dispatcher
	// Now reads the time, for what admin shows.
	Now func() time.Time
	// Stats is the root scope.
	Stats stats.Scope
	Log   extension.Logger
}

// A Provider is a secret.Provider.
type Provider struct {
	options Options
	files   watch

	mu       sync.Mutex // for Dump; the main goroutine alone changes what follows
	static   []*static  // in the order of the configuration
	followed []*followed
}

var _ secret.Provider = (*Provider)(nil)

// New returns a provider without secrets.
func New(o Options) *Provider {
	return &Provider{options: o, files: watch{dispatcher: o.Dispatcher}}
}

// AddStatic adds the secrets of the bootstrap. Errors go to errs.
func (p *Provider) AddStatic(secrets []*tlsv3.Secret, path conf.Path, errs *conf.Errors) {
	for i, s := range secrets {
		if p.find(s.GetName()) != nil {
			errs.Add(path.Index(i).Field("name"), "there are two secrets named %s", s.GetName())
			continue
		}
		if err := p.Publish(s); err != nil {
			errs.Add(path.Index(i), "%v", err)
		}
	}
}

// Declare makes a name known, so that Find finds it before its secret is published.
// Main goroutine.
func (p *Provider) Declare(name string) {
	if p.find(name) == nil {
		p.mu.Lock()
		p.static = append(p.static, &static{name: name})
		p.mu.Unlock()
	}
}

// Publish makes s the secret of its name, for all that ask for that name without an
// sds_config. If one of those who use it objects, the one before stays, and its error is
// returned. s is not changed any more. Main goroutine.
func (p *Provider) Publish(s *tlsv3.Secret) error {
	p.Declare(s.GetName())
	return p.find(s.GetName()).publish(s, p.options.Now())
}

func (p *Provider) find(name string) *static {
	i := slices.IndexFunc(p.static, func(s *static) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return p.static[i]
}

// Find implements secret.Provider.
func (p *Provider) Find(config *tlsv3.SdsSecretConfig, path conf.Path, errs *conf.Errors) secret.Source {
	if config.GetSdsConfig() == nil {
		if s := p.find(config.GetName()); s != nil {
			return s
		}
		errs.Add(path.Field("name"), "Unknown static secret: %s", config.GetName())
		return nil
	}
	before := len(*errs)
	conf.Check(config, Fields()[0], path, errs)
	f := &followed{provider: p, name: config.GetName()}
	at := path.Field("sds_config")
	if source := config.GetSdsConfig().GetPathConfigSource(); source != nil {
		at = at.Field("path_config_source")
		f.path, f.directory = source.GetPath(), source.GetWatchedDirectory().GetPath()
		f.interval = source.GetPollInterval().AsDuration()
		if f.directory != "" && source.GetPollInterval() != nil {
			errs.Add(at.Field("poll_interval"), "cannot be used together with watched_directory")
		}
	} else {
		f.path = config.GetSdsConfig().GetPath()
	}
	if len(*errs) > before {
		return nil
	}
	if f.path == "" {
		errs.Add(at, "must name a file")
		return nil
	}
	if _, err := os.Stat(f.path); err != nil {
		errs.Add(at.Field("path"), "paths must refer to an existing path in the system: '%s' does not exist", f.path)
		return nil
	}
	return p.share(f, config)
}

// share returns the source that f is like, or else makes f one.
func (p *Provider) share(f *followed, config *tlsv3.SdsSecretConfig) *followed {
	for _, other := range p.followed {
		if proto.Equal(other.config, config) {
			return other
		}
	}
	f.config = config
	f.openStats(p.options.Stats)
	p.mu.Lock()
	p.followed = append(p.followed, f)
	p.mu.Unlock()
	return f
}

// drop forgets a source that nobody watches.
func (p *Provider) drop(f *followed) {
	p.mu.Lock()
	p.followed = slices.DeleteFunc(p.followed, func(other *followed) bool { return other == f })
	p.mu.Unlock()
	f.scope.Close()
}

// Follow calls changed after one of the files, or the directories, was replaced, until
// stop is called. Main goroutine.
func (p *Provider) Follow(paths []string, changed func()) (stop func()) {
	return p.files.follow(paths, 0, changed)
}

// Start begins to look for changes. Main goroutine.
func (p *Provider) Start() { p.files.start() }

// Close ends that. Main goroutine.
func (p *Provider) Close() { p.files.stop() }
