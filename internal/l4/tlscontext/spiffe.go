package tlscontext

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// spiffe holds the trusted certificates of trust domains. It is immutable.
type spiffe struct{ domains map[string]*trust }

// certs returns the trusted certificates of all domains, in the order of their names.
func (s *spiffe) certs() []*x509.Certificate {
	var all []*x509.Certificate
	for _, name := range slices.Sorted(maps.Keys(s.domains)) {
		all = append(all, s.domains[name].certs...)
	}
	return all
}

// trusted returns what the trust domain of an SVID trusts.
func (s *spiffe) trusted(leaf *x509.Certificate) (*trust, error) {
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCRLSign|x509.KeyUsageCertSign) != 0 {
		return nil, errors.New("cert precheck")
	}
	if uris := streaminfo.AltNamesOf(leaf, streaminfo.URIName); len(uris) > 0 {
		if rest, ok := strings.CutPrefix(uris[0], "spiffe://"); ok {
			domain, _, ok := strings.Cut(rest, "/")
			if t := s.domains[domain]; ok && t != nil {
				return t, nil
			}
		}
	}
	return nil, errors.New("no trust bundle store")
}

// loadSPIFFE reads the configuration of a custom validator, which can be this one only.
func (v *validator) loadSPIFFE(custom *corev3.TypedExtensionConfig, r reader, path conf.Path, errs *conf.Errors) {
	path = path.Field("typed_config")
	unpacked := extension.Unpack(custom.GetTypedConfig(), path, errs)
	msg, ok := unpacked.(*tlsv3.SPIFFECertValidatorConfig)
	if !ok {
		if unpacked != nil {
			errs.Add(path, "validator %s is not implemented", unpacked.ProtoReflect().Descriptor().FullName())
		}
		return
	}
	conf.Check(msg, spiffeFields, path, errs)
	v.spiffe = &spiffe{domains: map[string]*trust{}}
	if bundles := msg.GetTrustBundles(); bundles != nil {
		if name := bundles.GetFilename(); name != "" {
			v.followed = append(v.followed, name)
		}
		if err := v.spiffe.parseBundles(r.read(bundles, path.Field("trust_bundles")), v.allowExpired); err != nil {
			errs.Add(path.Field("trust_bundles"), "Failed to load SPIFFE Bundle map: %v", err)
		}
		return
	}
	if len(msg.GetTrustDomains()) == 0 {
		errs.Add(path, "trust_domains or trust_bundles must be set")
	}
	for i, d := range msg.GetTrustDomains() {
		at := path.Field("trust_domains").Index(i)
		if v.spiffe.domains[d.GetName()] != nil {
			errs.Add(at.Field("name"), "Multiple trust bundles are given for one trust domain for %s", d.GetName())
		}
		t, err := parseTrust(r.read(d.GetTrustBundle(), at.Field("trust_bundle")), v.allowExpired)
		if err != nil {
			errs.Add(at.Field("trust_bundle"), "Failed to load trusted CA certificate for %s", d.GetName())
			continue
		}
		v.spiffe.domains[d.GetName()] = t
	}
}

// parseBundles reads a map of SPIFFE bundles in JSON.
func (s *spiffe) parseBundles(text []byte, timeless bool) error {
	var bundles struct {
		Domains map[string]struct {
			Keys []struct {
				Use string   `json:"use"`
				X5C []string `json:"x5c"`
			} `json:"keys"`
		} `json:"trust_domains"`
	}
	if err := json.Unmarshal(text, &bundles); err != nil {
		return err
	}
	if len(bundles.Domains) == 0 {
		return errors.New("no trust domains")
	}
	for name, bundle := range bundles.Domains {
		t := &trust{pool: x509.NewCertPool()}
		for _, key := range bundle.Keys {
			if key.Use != "x509-svid" {
				continue
			}
			for _, encoded := range key.X5C {
				der, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					return fmt.Errorf("trust domain %s: %w", name, err)
				}
				certs, err := x509.ParseCertificates(der)
				if err != nil {
					return fmt.Errorf("trust domain %s: %w", name, err)
				}
				for _, c := range certs {
					t.add(c, timeless)
				}
			}
		}
		if len(t.certs) == 0 {
			return fmt.Errorf("trust domain %s has no certificate of use x509-svid", name)
		}
		s.domains[name] = t
	}
	return nil
}
