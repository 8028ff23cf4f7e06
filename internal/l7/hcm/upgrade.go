package hcm

import (
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

type upgradeConfig struct {
	kind    string
	enabled bool
	filters []filterConfig // nil for those of all requests
}

// readUpgrades takes the protocols that a request may change to.
func (c *config) readUpgrades(m *hcmv3.HttpConnectionManager, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) {
	for i, u := range m.GetUpgradeConfigs() {
		at := path.Index(i)
		if c.upgrade(u.GetUpgradeType()) != nil {
			errs.Add(at, "upgrade_type %s is there twice", u.GetUpgradeType())
		}
		upgrade := upgradeConfig{kind: u.GetUpgradeType(), enabled: boolean(u.GetEnabled(), true)}
		if len(u.GetFilters()) > 0 {
			upgrade.filters = readFilters(u.GetFilters(), ctx, at.Field("filters"), errs)
		}
		c.upgrades = append(c.upgrades, upgrade)
	}
}

// upgrade returns what is configured for a protocol, nil if it is not.
func (c *config) upgrade(kind string) *upgradeConfig {
	for i := range c.upgrades {
		if u := &c.upgrades[i]; strings.EqualFold(u.kind, kind) {
			return u
		}
	}
	return nil
}

// upgradeKind returns the protocol that a request wants to change to, "" for none.
func upgradeKind(h *httpmsg.Headers, connect bool) string {
	if connect {
		return "CONNECT"
	}
	if h.Has(httpmsg.Upgrade) && httpmsg.HasToken(h.Get(httpmsg.Connection), "upgrade") {
		return h.Get(httpmsg.Upgrade)
	}
	return ""
}

// upgradeAllowed looks at the route first, then at the connection manager. An upgrade
// that is allowed goes through the filters that are configured for it.
func (s *stream) upgradeAllowed(kind string) bool {
	u := s.cfg.upgrade(kind)
	allowed := u != nil && u.enabled
	if r := s.resolveRoute(); r != nil && r.Forward != nil {
		for i := range r.Forward.Upgrades {
			if own := &r.Forward.Upgrades[i]; strings.EqualFold(own.Type, kind) {
				allowed = own.Enabled
				break
			}
		}
	}
	if allowed && u != nil && u.filters != nil {
		s.main, s.filters = s.filters, s.buildFilters(u.filters)
		s.chain = u.filters
	}
	return allowed
}

// switchesProtocol reports whether a response turns the stream into a tunnel.
func (s *stream) switchesProtocol(status int) bool {
	if s.request.Headers == nil {
		return false
	}
	if status == 101 {
		return s.request.Headers.Has(httpmsg.Upgrade)
	}
	return status/100 == 2 && s.request.Headers.Get(httpmsg.Method) == "CONNECT"
}
