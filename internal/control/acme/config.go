package acme

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

// Fields lists what is implemented of the configuration.
func Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "nuncio.extensions.acme.v1.Acme",
		Names: []string{
			"directory_url", "contact_email", "terms_of_service_agreed", "storage_path", "trusted_ca_file", "external_account",
			"challenges", "renewal_ratio", "retry_base_interval", "retry_max_interval", "certificates", "on_demand",
		},
	}}
}

// A Config is the configuration of a Manager, which was checked. It is immutable.
type Config struct {
	directory    string
	contact      string
	storage      string
	roots        *x509.CertPool // nil for those of the system
	accountID    string         // at the authority's customers, "" without
	accountKey   []byte
	challenges   []string // names of types, at least one
	renewalRatio float64
	retryBase    time.Duration
	retryMax     time.Duration
	certificates []certificateConfig
	onDemand     *onDemandConfig // nil: off
}

type certificateConfig struct {
	secret  string
	subject subject
}

type onDemandConfig struct {
	secret        string
	names         map[string]bool // www.example.com, or .example.com for all names with one more label
	key           acmev1.KeyType
	maxInMemory   int
	maxOrders     int // in an hour
	maxHandshakes int
	timeout       time.Duration
}

// A subject is what a certificate is for.
type subject struct {
	domains []string // lower case
	key     acmev1.KeyType
}

// id names the subject in the storage.
func (s subject) id() string {
	sorted := slices.Sorted(slices.Values(s.domains))
	sum := sha256.Sum256([]byte(s.key.String() + " " + strings.Join(sorted, " ")))
	return sorted[0] + "-" + hex.EncodeToString(sum[:6])
}

// Parse reads the configuration. Errors go to errs; the result must not be used then.
func Parse(msg *acmev1.Acme, path conf.Path, errs *conf.Errors) *Config {
	p := parser{errs: errs, secrets: map[string]bool{}}
	c := &Config{
		directory: msg.GetDirectoryUrl(), contact: msg.GetContactEmail(), storage: msg.GetStoragePath(),
		retryBase: p.duration(msg.GetRetryBaseInterval(), time.Minute, path.Field("retry_base_interval")),
	}
	c.retryMax = p.duration(msg.GetRetryMaxInterval(), max(time.Hour, c.retryBase), path.Field("retry_max_interval"))
	if c.retryMax < c.retryBase {
		errs.Add(path.Field("retry_max_interval"), "must not be less than retry_base_interval")
	}
	if u, err := url.Parse(c.directory); err != nil || u.Scheme != "https" || u.Host == "" {
		errs.Add(path.Field("directory_url"), "must be an https URL, as https://acme-v02.api.letsencrypt.org/directory")
	}
	if strings.ContainsAny(c.contact, " ,?:<>") || c.contact != "" && !strings.Contains(c.contact, "@") {
		errs.Add(path.Field("contact_email"), "must be an address such as admin@example.com")
	}
	if !msg.GetTermsOfServiceAgreed() {
		errs.Add(path.Field("terms_of_service_agreed"), "must be true: read the terms of the authority first")
	}
	if c.storage == "" {
		errs.Add(path.Field("storage_path"), "must be set")
	}
	c.readFiles(msg, path, errs)
	for i, challenge := range msg.GetChallenges() {
		c.challenges = append(c.challenges, p.challenge(challenge, path.Field("challenges").Index(i)))
	}
	if len(c.challenges) == 0 {
		c.challenges = []string{tlsALPN01, http01}
	}
	c.renewalRatio = 1. / 3
	if r := msg.GetRenewalRatio(); r != nil {
		if c.renewalRatio = r.GetValue(); !(c.renewalRatio > 0 && c.renewalRatio < 1) {
			errs.Add(path.Field("renewal_ratio"), "must be greater than 0 and less than 1")
		}
	}
	for i, m := range msg.GetCertificates() {
		c.certificates = append(c.certificates, p.certificate(m, path.Field("certificates").Index(i)))
	}
	if msg.GetOnDemand() != nil {
		c.onDemand = p.onDemand(msg.GetOnDemand(), path.Field("on_demand"))
	}
	if len(c.certificates) == 0 && c.onDemand == nil {
		errs.Add(path.Field("certificates"), "there is nothing to obtain: set certificates or on_demand")
	}
	return c
}

// readFiles reads what the configuration names.
func (c *Config) readFiles(msg *acmev1.Acme, path conf.Path, errs *conf.Errors) {
	if name := msg.GetTrustedCaFile(); name != "" {
		c.roots = x509.NewCertPool()
		text, err := readFile(name)
		if err == nil && !c.roots.AppendCertsFromPEM(text) {
			err = errors.New("there is no certificate in " + name)
		}
		if err != nil {
			errs.Add(path.Field("trusted_ca_file"), "%v", err)
		}
	}
	account := msg.GetExternalAccount()
	if account == nil {
		return
	}
	at := path.Field("external_account")
	if c.accountID = account.GetKeyId(); c.accountID == "" {
		errs.Add(at.Field("key_id"), "must be set")
	}
	text, err := readFile(account.GetHmacKeyFile())
	if err == nil {
		c.accountKey, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(text)), "="))
		if err != nil || len(c.accountKey) == 0 {
			err = errors.New("the key must be in base64url") // and nothing of it in a log
		}
	}
	if err != nil {
		errs.Add(at.Field("hmac_key_file"), "%v", err)
	}
}

// A parser collects errors, and what must not be there twice.
type parser struct {
	errs    *conf.Errors
	secrets map[string]bool
}

func (p *parser) duration(d *durationpb.Duration, otherwise time.Duration, path conf.Path) time.Duration {
	if d == nil {
		return otherwise
	}
	if d.CheckValid() != nil || d.AsDuration() <= 0 {
		p.errs.Add(path, "must be greater than 0")
	}
	return d.AsDuration()
}

// bound reads a number that must not be 0.
func (p *parser) bound(v *wrapperspb.UInt32Value, otherwise int, path conf.Path) int {
	if v == nil {
		return otherwise
	}
	if v.GetValue() == 0 {
		p.errs.Add(path, "must be greater than 0")
	}
	return int(min(v.GetValue(), math.MaxInt32))
}

func (p *parser) challenge(c acmev1.Challenge, path conf.Path) string {
	switch c {
	case acmev1.Challenge_TLS_ALPN_01:
		return tlsALPN01
	case acmev1.Challenge_HTTP_01:
		return http01
	}
	p.errs.Add(path, "must be TLS_ALPN_01 or HTTP_01")
	return ""
}

func (p *parser) key(k acmev1.KeyType, path conf.Path) acmev1.KeyType {
	if acmev1.KeyType_name[int32(k)] == "" {
		p.errs.Add(path, "there is no key type %d", k)
	}
	return k
}

func (p *parser) secret(name string, path conf.Path) string {
	switch {
	case name == "":
		p.errs.Add(path, "must be set")
	case p.secrets[name]:
		p.errs.Add(path, "there are two secrets named %s", name)
	}
	p.secrets[name] = true
	return name
}

func (p *parser) certificate(msg *acmev1.Certificate, path conf.Path) certificateConfig {
	c := certificateConfig{secret: p.secret(msg.GetSecretName(), path.Field("secret_name")), subject: subject{key: p.key(msg.GetKeyType(), path.Field("key_type"))}}
	if len(msg.GetDomains()) == 0 {
		p.errs.Add(path.Field("domains"), "must name at least one domain")
	}
	for i, name := range msg.GetDomains() {
		at := path.Field("domains").Index(i)
		domain := strings.ToLower(name)
		switch {
		case strings.HasPrefix(domain, "*."):
			p.errs.Add(at, "%s: a wildcard can be had by the challenge dns-01 only, which is not implemented", name)
		case !validName(domain):
			p.errs.Add(at, "%q is no domain name", name)
		case slices.Contains(c.subject.domains, domain):
			p.errs.Add(at, "%s is there twice", name)
		}
		c.subject.domains = append(c.subject.domains, domain)
	}
	return c
}

func (p *parser) onDemand(msg *acmev1.OnDemand, path conf.Path) *onDemandConfig {
	c := &onDemandConfig{
		secret: p.secret(msg.GetSecretName(), path.Field("secret_name")), key: p.key(msg.GetKeyType(), path.Field("key_type")), names: map[string]bool{},
		maxInMemory:   p.bound(msg.GetMaxCertificates(), 1000, path.Field("max_certificates")),
		maxOrders:     p.bound(msg.GetMaxOrdersPerHour(), 60, path.Field("max_orders_per_hour")),
		maxHandshakes: p.bound(msg.GetMaxWaitingHandshakes(), 256, path.Field("max_waiting_handshakes")),
		timeout:       p.duration(msg.GetTimeout(), 30*time.Second, path.Field("timeout")),
	}
	if len(msg.GetAllowedDomains()) == 0 {
		p.errs.Add(path.Field("allowed_domains"), "must name at least one domain: without them anybody could have certificates ordered for any name")
	}
	for i, name := range msg.GetAllowedDomains() {
		domain, wild := strings.CutPrefix(strings.ToLower(name), "*")
		if wild && !strings.HasPrefix(domain, ".") || !validName(strings.TrimPrefix(domain, ".")) || !wild && strings.HasPrefix(domain, ".") {
			p.errs.Add(path.Field("allowed_domains").Index(i), "%q is neither a domain name nor *. and one", name)
		}
		c.names[domain] = true
	}
	return c
}

// allows reports whether a name, which is valid and in lower case, may be asked for.
func (c *onDemandConfig) allows(name string) bool {
	_, parent, _ := strings.Cut(name, ".")
	return c.names[name] || c.names["."+parent]
}

// validName reports whether a name is a lower-case DNS name of at least two labels. Such a
// name is also safe as the name of a file.
func validName(name string) bool {
	if len(name) > 253 || !strings.Contains(name, ".") {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// backoff returns how long to wait after a number of failures, at least 1, in a row.
func (c *Config) backoff(failures int) time.Duration {
	d := c.retryBase
	for range failures - 1 {
		if d *= 2; d >= c.retryMax {
			return c.retryMax
		}
	}
	return cmp.Or(d, c.retryBase)
}

// maxFile bounds every file that is read.
const maxFile = 1 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name)
}
