package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/http2config"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
)

const (
	httpOptionsKey      = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	defaultIdleTimeout  = time.Hour
	maxResponseHeaderKB = 8192
)

// Protocol is how HTTP is spoken to the hosts.
type Protocol struct {
	Speaks connpool.Protocol
	Codec  h1.Settings // of HTTP/1
	HTTP2  h2.Settings
	// AutoName is what TLS does with the hosts of requests.
	AutoName AutoName
	// KeepAlive says when connections of HTTP/2 are pinged, nil for never.
	KeepAlive *keepalive.Settings
	// IdleTimeout and MaxConnectionDuration are 0 for never.
	IdleTimeout, MaxConnectionDuration time.Duration
	MaxStreamDuration                  time.Duration // 0 for no bound
	MaxRequestsPerConnection           uint32        // 0: no limit
	// Filters stand between a router and the hosts, nil for none.
	Filters httpfilter.UpstreamFilters
	// Policies take the place of those of routes.
	Policies route.Policies
}

func protocolFields() []conf.Fields {
	return []conf.Fields{httpOptionsFields(), commonFields(), autoNameFields(), http1Fields(), http2config.Fields()}
}

func httpOptionsFields() conf.Fields {
	return conf.Fields{Message: httpOptionsKey, Names: []string{"common_http_protocol_options", "http_filters",
		"request_mirror_policies", "hash_policy", "retry_policy",
		"explicit_http_config.http_protocol_options", "explicit_http_config.http2_protocol_options",
		"use_downstream_protocol_config.http_protocol_options", "use_downstream_protocol_config.http2_protocol_options",
		"upstream_http_protocol_options", "auto_config.http_protocol_options", "auto_config.http2_protocol_options"}}
}

func commonFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.HttpProtocolOptions", Where: "clusters", Names: []string{
		"idle_timeout", "max_connection_duration", "max_stream_duration", "max_headers_count", "max_response_headers_kb",
		"max_requests_per_connection",
		// Envoy does nothing with these in a cluster.
		"max_connection_duration_jitter", "headers_with_underscores_action"}}
}

func http1Fields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.Http1ProtocolOptions", Where: "clusters", Names: []string{
		"header_key_format", "enable_trailers", "allow_chunked_length", "send_fully_qualified_url",
		// Envoy does nothing with these in a cluster.
		"allow_absolute_url", "accept_http_10", "default_host_for_http_10", "allow_custom_methods",
		"override_stream_error_on_invalid_http_message", "use_balsa_parser"}}
}

// parseProtocol reads the options of HTTP from where they stand today, or else from
// the fields where they stood before.
func parseProtocol(msg *clusterv3.Cluster, ctx extension.Context, path conf.Path, errs *conf.Errors) Protocol {
	p := Protocol{Codec: h1.ClientDefaults(), HTTP2: h2.ClientDefaults(), IdleTimeout: defaultIdleTimeout}
	at, found := path.Field("typed_extension_protocol_options"), false
	for key, config := range msg.GetTypedExtensionProtocolOptions() {
		at := at.Key(key)
		m := extension.Unpack(config, at, errs)
		options, ok := m.(*httpv3.HttpProtocolOptions)
		switch {
		case m == nil:
		case !ok || key != httpOptionsKey:
			errs.Add(at, "protocol options %s are not implemented", key)
		default:
			found = true
			p.options(options, ctx, at, errs)
		}
	}
	if found {
		return p
	}
	p.MaxRequestsPerConnection = msg.GetMaxRequestsPerConnection().GetValue()
	p.AutoName = parseAutoName(msg.GetUpstreamHttpProtocolOptions(), path.Field("upstream_http_protocol_options"), errs)
	if c := msg.GetCommonHttpProtocolOptions(); c != nil {
		p.common(c, path.Field("common_http_protocol_options"), errs)
	}
	if c := msg.GetHttpProtocolOptions(); c != nil {
		p.http1(c, ctx.Registry, path.Field("http_protocol_options"), errs)
	}
	if c := msg.GetHttp2ProtocolOptions(); c != nil {
		p.Speaks = connpool.HTTP2
		http2config.Parse(c, &p.HTTP2, path.Field("http2_protocol_options"), errs)
		p.KeepAlive = http2config.KeepAlive(c)
	}
	if msg.GetProtocolSelection() == clusterv3.Cluster_USE_DOWNSTREAM_PROTOCOL {
		p.Speaks = connpool.AsDownstream
	}
	return p
}

func (p *Protocol) options(msg *httpv3.HttpProtocolOptions, ctx extension.Context, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, httpOptionsFields(), path, errs)
	p.AutoName = parseAutoName(msg.GetUpstreamHttpProtocolOptions(), path.Field("upstream_http_protocol_options"), errs)
	if c := msg.GetCommonHttpProtocolOptions(); c != nil {
		p.common(c, path.Field("common_http_protocol_options"), errs)
	}
	if filters := msg.GetHttpFilters(); len(filters) > 0 {
		p.Filters = ctx.UpstreamFilters.Build(filters, ctx, path.Field("http_filters"), errs)
	}
	p.Policies = ctx.RoutePolicies.Build(msg, ctx, path, errs)
	var both interface {
		GetHttpProtocolOptions() *corev3.Http1ProtocolOptions
		GetHttp2ProtocolOptions() *corev3.Http2ProtocolOptions
	}
	at := path
	switch o := msg.GetUpstreamProtocolOptions().(type) {
	case *httpv3.HttpProtocolOptions_ExplicitHttpConfig_:
		both, at = o.ExplicitHttpConfig, path.Field("explicit_http_config")
		if o.ExplicitHttpConfig.GetHttp2ProtocolOptions() != nil {
			p.Speaks = connpool.HTTP2
		}
	case *httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig:
		both, at, p.Speaks = o.UseDownstreamProtocolConfig, path.Field("use_downstream_protocol_config"), connpool.AsDownstream
	case *httpv3.HttpProtocolOptions_AutoConfig:
		both, at, p.Speaks = o.AutoConfig, path.Field("auto_config"), connpool.ByALPN
	default:
		errs.Add(path, "one of explicit_http_config, use_downstream_protocol_config and auto_config must be set")
		return
	}
	if c := both.GetHttpProtocolOptions(); c != nil {
		p.http1(c, ctx.Registry, at.Field("http_protocol_options"), errs)
	}
	http2config.Parse(both.GetHttp2ProtocolOptions(), &p.HTTP2, at.Field("http2_protocol_options"), errs)
	p.KeepAlive = http2config.KeepAlive(both.GetHttp2ProtocolOptions())
}

func (p *Protocol) common(msg *corev3.HttpProtocolOptions, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, commonFields(), path, errs)
	p.IdleTimeout = durationOr(msg.GetIdleTimeout(), defaultIdleTimeout)
	p.MaxConnectionDuration = msg.GetMaxConnectionDuration().AsDuration()
	p.MaxStreamDuration = msg.GetMaxStreamDuration().AsDuration()
	p.Codec.MaxHeaders = int(uint32Or(msg.GetMaxHeadersCount(), h1.DefaultMaxHeaders))
	p.Codec.MaxHeadersKB = int(uint32Or(msg.GetMaxResponseHeadersKb(), h1.DefaultMaxResponseHeadersKB))
	p.HTTP2.MaxHeaders = p.Codec.MaxHeaders
	if msg.GetMaxResponseHeadersKb() != nil {
		p.HTTP2.MaxHeadersKB = p.Codec.MaxHeadersKB
	}
	if kb := p.Codec.MaxHeadersKB; kb == 0 || kb > maxResponseHeaderKB {
		errs.Add(path.Field("max_response_headers_kb"), "must be from 1 to %d, is %d", maxResponseHeaderKB, kb)
	}
	if msg.GetMaxRequestsPerConnection() != nil {
		p.MaxRequestsPerConnection = msg.GetMaxRequestsPerConnection().GetValue()
	}
}

func (p *Protocol) http1(msg *corev3.Http1ProtocolOptions, registry *extension.Registry, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, http1Fields(), path, errs)
	p.Codec.EnableTrailers = msg.GetEnableTrailers()
	p.Codec.AllowChunkedLength = msg.GetAllowChunkedLength()
	p.Codec.SendFullyQualifiedURL = msg.GetSendFullyQualifiedUrl()
	p.Codec.ProperCaseWords = msg.GetHeaderKeyFormat().GetProperCaseWords() != nil
	p.Codec.NewFormatter = registry.HeaderFormatter(msg.GetHeaderKeyFormat().GetStatefulFormatter(),
		path.Field("header_key_format").Field("stateful_formatter"), errs)
}
