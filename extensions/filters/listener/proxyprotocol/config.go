// Package proxyprotocol is the filter envoy.filters.listener.proxy_protocol: it takes
// the PROXY protocol header off a connection, and restores the addresses in it.
package proxyprotocol

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// namespace is that of dynamic metadata, if a rule has none.
const namespace = "envoy.filters.listener.proxy_protocol"

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.proxy_protocol" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &proxyprotocolv3.ProxyProtocol{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	const message = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
	return []conf.Fields{
		{Message: message, Names: []string{"rules", "allow_requests_without_proxy_protocol", "pass_through_tlvs",
			"disallowed_versions", "stat_prefix", "tlv_location"}},
		{Message: message + ".Rule", Names: []string{"tlv_type", "on_tlv_present"}},
		{Message: message + ".KeyValuePair", Names: []string{"metadata_namespace", "key", "value_string_encoding"}},
		{Message: "envoy.config.core.v3.ProxyProtocolPassThroughTLVs", Names: []string{"match_type", "tlv_type"}},
	}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (f Factory) BuildListenerFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter {
	m, before := msg.(*proxyprotocolv3.ProxyProtocol), len(*errs)
	conf.Check(m, f.Fields()[0], path, errs)
	c := &config{
		allowWithout:  m.GetAllowRequestsWithoutProxyProtocol(),
		toFilterState: m.GetTlvLocation() == proxyprotocolv3.ProxyProtocol_FILTER_STATE,
		allowed:       [3]bool{1: true, 2: true},
	}
	for i, r := range m.GetRules() {
		f.rule(c, r, path.Field("rules").Index(i), errs)
	}
	f.passThrough(c, m.GetPassThroughTlvs(), path.Field("pass_through_tlvs"), errs)
	for _, v := range m.GetDisallowedVersions() {
		c.allowed[1] = c.allowed[1] && v != corev3.ProxyProtocolConfig_V1
		c.allowed[2] = c.allowed[2] && v != corev3.ProxyProtocolConfig_V2
	}
	if !c.allowed[1] && !c.allowed[2] {
		errs.Add(path.Field("disallowed_versions"), "all versions are disallowed")
	}
	if len(*errs) > before {
		return nil
	}
	c.stats = newFilterStats(ctx.Stats, m.GetStatPrefix())
	return func() network.ListenerFilter { return &filter{config: c, limit: usualSize} }
}

// rule reads what is done with a type of extension; the last rule of a type counts.
func (f Factory) rule(c *config, msg *proxyprotocolv3.ProxyProtocol_Rule, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, f.Fields()[1], path, errs)
	present := msg.GetOnTlvPresent()
	conf.Check(present, f.Fields()[2], path.Field("on_tlv_present"), errs)
	if present != nil && present.GetKey() == "" {
		errs.Add(path.Field("on_tlv_present").Field("key"), "must not be empty")
	}
	if msg.GetTlvType() > 255 {
		errs.Add(path.Field("tlv_type"), "must be less than 256, is %d", msg.GetTlvType())
		return
	}
	r := &rule{
		namespace: present.GetMetadataNamespace(),
		key:       present.GetKey(),
		base64:    present.GetValueStringEncoding() == proxyprotocolv3.ProxyProtocol_KeyValuePair_BASE64,
	}
	if r.namespace == "" {
		r.namespace = namespace
	}
	c.rules[msg.GetTlvType()] = r
}

// passThrough reads which extensions are kept for upstream connections.
func (f Factory) passThrough(c *config, msg *corev3.ProxyProtocolPassThroughTLVs, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, f.Fields()[3], path, errs)
	for i := range c.keep {
		c.keep[i] = msg != nil && msg.GetMatchType() == corev3.ProxyProtocolPassThroughTLVs_INCLUDE_ALL
	}
	for i, kind := range msg.GetTlvType() {
		if kind > 255 {
			errs.Add(path.Field("tlv_type").Index(i), "must be less than 256, is %d", kind)
			continue
		}
		c.keep[kind] = true
	}
}

// A config is what the filters of a listener share, on all workers. It is immutable.
type config struct {
	allowWithout  bool
	allowed       [3]bool // by version
	toFilterState bool
	rules         [256]*rule // by type of extension
	keep          [256]bool
	stats         filterStats
}

// A rule says under which name an extension is stored.
type rule struct {
	namespace, key string
	base64         bool
}

// filterStats are proxy_proto.[<stat_prefix>.]*, and one counter of the whole server.
type filterStats struct {
	anyError, notFoundAllowed, notFoundDisallowed *stats.Counter

	versions [3]versionStats // by version
}

// versionStats are those of one version.
type versionStats struct{ found, disallowed, error *stats.Counter }

func newFilterStats(root stats.Scope, prefix string) (s filterStats) {
	scope := root.Scope("proxy_proto.")
	if prefix != "" {
		scope = scope.Scope(prefix + ".")
	}
	s.anyError = root.Counter("downstream_cx_proxy_proto_error")
	s.notFoundAllowed = scope.Counter("not_found_allowed")
	s.notFoundDisallowed = scope.Counter("not_found_disallowed")
	for v, name := range []string{1: "versions.v1.", 2: "versions.v2."} {
		if name != "" {
			of := scope.Scope(name)
			s.versions[v] = versionStats{of.Counter("found"), of.Counter("disallowed"), of.Counter("error")}
		}
	}
	return s
}
