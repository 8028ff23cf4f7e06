package tlscontext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/secret"
)

// common is the configuration that both sides share: what does not change, and the
// secrets that do. Main goroutine, but for inUse.
type common struct {
	ctx   extension.TransportSocketContext
	path  conf.Path // of the message that holds the common one
	msg   *tlsv3.CommonTlsContext
	stats *sslStats

	params params
	alpn   []string
	keyLog *keyLog

	certificates []certificateSource
	validation   secret.Source // nil: it is in msg, or there is none
	tickets      secret.Source // nil: as validation
	dynamic      map[secret.Source]bool
	// assemble builds a context, and returns what it is made of and what puts it in its place;
	// nil if something is missing or wrong.
	assemble func(*build) (*material, func())
	inUse    atomic.Pointer[material] // nil as long as a secret is missing
	stops    []func()
	// followed has for each file what stops following it.
	followed map[string]func()
}

type certificateSource struct {
	name   string
	path   conf.Path
	inline *tlsv3.TlsCertificate
	source secret.Source // nil for inline
	// onDemand is set for the secret that stands for certificates obtained by ACME.
	onDemand bool
}

// A view says what the secret of a source is, or would be.
type view func(secret.Source) *tlsv3.Secret

func current(s secret.Source) *tlsv3.Secret { return s.Current() }

// parse reads what does not change, and finds the secrets.
func (c *common) parse(client bool, errs *conf.Errors) {
	path := c.path.Field("common_tls_context")
	conf.Check(c.msg, commonFields, path, errs)
	c.dynamic, c.followed = map[secret.Source]bool{}, map[string]func(){}
	c.params = parseParams(c.msg.GetTlsParams(), path.Field("tls_params"), errs).over(defaults(client))
	if c.params.minVersion > c.params.maxVersion {
		errs.Add(path.Field("tls_params"), "the minimum version is above the maximum version")
	}
	// Envoy joins the list with commas, and so takes a value for several.
	c.alpn = strings.FieldsFunc(strings.Join(c.msg.GetAlpnProtocols(), ","), func(r rune) bool { return r == ',' })
	for _, name := range c.alpn {
		if len(name) > 255 {
			errs.Add(path.Field("alpn_protocols"), "Invalid ALPN protocol string")
		}
	}
	c.keyLog = parseKeyLog(c.msg.GetKeyLog(), c.ctx.Context, path.Field("key_log"), errs)
	for i, cert := range c.msg.GetTlsCertificates() {
		c.certificates = append(c.certificates, certificateSource{
			name: "unnamed_cert_" + contentHash(cert.GetCertificateChain()), path: path.Field("tls_certificates").Index(i), inline: cert,
		})
	}
	if len(c.certificates) == 0 {
		for i, config := range c.msg.GetTlsCertificateSdsSecretConfigs() {
			at := path.Field("tls_certificate_sds_secret_configs").Index(i)
			if source := c.find(config, at, errs); source != nil {
				c.certificates = append(c.certificates, certificateSource{name: config.GetName(), path: at, source: source})
			}
		}
	}
	combined := c.msg.GetCombinedValidationContext()
	if config := c.msg.GetValidationContextSdsSecretConfig(); config != nil {
		c.validation = c.find(config, path.Field("validation_context_sds_secret_config"), errs)
	} else if config := combined.GetValidationContextSdsSecretConfig(); config != nil {
		c.validation = c.find(config, path.Field("combined_validation_context").Field("validation_context_sds_secret_config"), errs)
	}
}

func (c *common) find(config *tlsv3.SdsSecretConfig, path conf.Path, errs *conf.Errors) secret.Source {
	if c.ctx.Secrets == nil {
		errs.Add(path, "there are no secrets")
		return nil
	}
	source := c.ctx.Secrets.Find(config, path, errs)
	if source != nil && config.GetSdsConfig() != nil {
		c.dynamic[source] = true
	}
	return source
}

// contentHash is what Envoy tells certificates without a name apart by: the start of a
// hash of their inline bytes.
func contentHash(source *corev3.DataSource) string {
	if source == nil {
		return ""
	}
	sum := sha256.Sum256(source.GetInlineBytes())
	return hex.EncodeToString(sum[:4])
}

// start follows the secrets and makes the first context.
func (c *common) start(errs *conf.Errors) {
	c.watch()
	b := build{common: c, see: current}
	c.use(&b)
	*errs = append(*errs, b.errs...)
	if b.secretErrs != nil {
		c.ctx.Log.Warnf("a secret is not taken: %v", b.secretErrs)
	}
}

// use makes a context and has it used from now on, if nothing is missing or wrong.
func (c *common) use(b *build) {
	made, store := c.assemble(b)
	if made == nil {
		return
	}
	store()
	c.inUse.Store(made)
	c.follow(made.validator.files())
	made.expirations(c.stats)
}

// rebuild makes a context of the secrets as they are.
func (c *common) rebuild() { c.use(&build{common: c, see: current}) }

// check reports whether a context can be made of the secrets of v.
func (c *common) check(v view) error {
	b := build{common: c, see: v}
	c.assemble(&b)
	return b.err()
}

// watch follows the secrets until the context's Closed. It has those that are read from
// files read, if they were not.
func (c *common) watch() {
	seen := map[secret.Source]bool{}
	sources := []secret.Source{c.validation, c.tickets}
	for _, cert := range c.certificates {
		sources = append(sources, cert.source)
	}
	for _, source := range sources {
		if source != nil && !seen[source] {
			seen[source] = true
			c.stops = append(c.stops, source.Watch(watcher{c, source}))
		}
	}
	if c.ctx.Closed != nil {
		c.ctx.Closed(c.stop)
	}
}

func (c *common) stop() {
	for _, stop := range c.stops {
		stop()
	}
	c.stops = nil
	c.follow(nil)
}

// A watcher tells of one secret.
type watcher struct {
	common *common
	source secret.Source
}

// Check implements secret.Watcher.
func (w watcher) Check(s *tlsv3.Secret) error {
	return w.common.check(func(source secret.Source) *tlsv3.Secret {
		if source == w.source {
			return s
		}
		return source.Current()
	})
}

// Changed implements secret.Watcher.
func (w watcher) Changed() {
	w.common.stats.updates.Inc(anyShard)
	w.common.rebuild()
}

// follow has the context rebuilt when one of the files changes, and no other file.
func (c *common) follow(files []string) {
	wanted := map[string]bool{}
	for _, file := range files {
		if wanted[file] = true; c.followed[file] == nil && c.ctx.Secrets != nil {
			c.followed[file] = c.ctx.Secrets.Follow([]string{file}, func() {
				if err := c.check(current); err != nil {
					c.ctx.Log.Warnf("%s is not taken: %v", file, err)
					return
				}
				c.rebuild()
			})
		}
	}
	for file, stop := range c.followed {
		if !wanted[file] {
			stop()
			delete(c.followed, file)
		}
	}
}

// A build collects what a context is made of. Errors about what stands in the
// configuration go to errs, those about secrets that change to secretErrs.
type build struct {
	*common
	see              view
	errs, secretErrs conf.Errors
	missing          bool // a secret is
}

func (b *build) err() error { return errors.Join(b.errs.Err(), b.secretErrs.Err()) }

// list returns where the errors about a source go.
func (b *build) list(source secret.Source) *conf.Errors {
	if b.dynamic[source] {
		return &b.secretErrs
	}
	return &b.errs
}

func (b *build) loadCertificates() []*certificate {
	var all []*certificate
	for _, from := range b.certificates {
		if from.onDemand {
			continue
		}
		msg := from.inline
		if from.source != nil {
			s := b.see(from.source)
			if s == nil {
				b.missing = true
				continue
			}
			if msg = s.GetTlsCertificate(); msg == nil {
				b.list(from.source).Add(from.path.Field("name"), "Unknown static secret: %s", from.name)
				continue
			}
		}
		if c := loadCertificate(msg, from.name, b.ctx.Context, from.path, b.list(from.source)); c != nil {
			all = append(all, c)
		}
	}
	return all
}

// loadValidator returns the validator, nil without one.
func (b *build) loadValidator() *validator {
	msg, name, path := b.msg.GetValidationContext(), "unnamed_ca_cert", b.path.Field("common_tls_context").Field("validation_context")
	if msg.GetTrustedCa() != nil {
		name += "_" + contentHash(msg.GetTrustedCa())
	}
	if b.validation != nil {
		path, name = b.path.Field("common_tls_context").Field("validation_context_sds_secret_config"), b.validation.Name()
		s := b.see(b.validation)
		if s == nil {
			b.missing = true
			return nil
		}
		if msg = s.GetValidationContext(); msg == nil {
			b.list(b.validation).Add(path.Field("name"), "Unknown static certificate validation context: %s", name)
			return nil
		}
		if combined := b.msg.GetCombinedValidationContext(); combined != nil {
			merged := proto.CloneOf(combined.GetDefaultValidationContext())
			if merged == nil {
				merged = new(tlsv3.CertificateValidationContext)
			}
			proto.Merge(merged, msg)
			msg = merged
		}
	} else if combined := b.msg.GetCombinedValidationContext(); combined != nil {
		msg = combined.GetDefaultValidationContext()
	}
	if msg == nil {
		return nil
	}
	v := loadValidator(msg, b.ctx.Context, path, b.list(b.validation))
	if v != nil {
		v.name = name
	}
	return v
}
