package hcm

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
)

// Fields is what is implemented of the connection manager's configuration.
var Fields = conf.Fields{
	Message: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	Names: []string{
		"codec_type", "stat_prefix", "route_config", "http_filters", "common_http_protocol_options.idle_timeout",
		"common_http_protocol_options.max_connection_duration", "common_http_protocol_options.max_headers_count",
		"common_http_protocol_options.max_stream_duration",
		"common_http_protocol_options.headers_with_underscores_action",
		"common_http_protocol_options.max_requests_per_connection", "http_protocol_options", "server_name",
		"server_header_transformation", "scheme_header_transformation.scheme_to_overwrite", "max_request_headers_kb",
		"stream_idle_timeout", "request_timeout", "request_headers_timeout", "drain_timeout", "delayed_close_timeout",
		"access_log", "use_remote_address", "xff_num_trusted_hops", "internal_address_config", "skip_xff_append", "via",
		"generate_request_id", "preserve_external_request_id", "always_set_request_id_in_response",
		"forward_client_cert_details", "proxy_100_continue", "upgrade_configs.upgrade_type", "upgrade_configs.enabled",
		"normalize_path", "merge_slashes", "path_with_escaped_slashes_action", "strip_matching_host_port",
		"strip_any_host_port", "strip_trailing_host_dot", "append_x_forwarded_port",
	},
}

type serverTransformation uint8

const (
	serverOverwrite serverTransformation = iota
	serverAppendIfAbsent
	serverPassThrough
)

type stripPort uint8

const (
	keepPort stripPort = iota
	stripMatchingPort
	stripAnyPort
)

// config is a connection manager's configuration. It is immutable, but for the
// workers, each of which belongs to its worker.
type config struct {
	stats      *connStats
	codecStats *h1.Stats
	connStats  network.ConnectionStats
	http1      h1.Settings
	log        extension.Logger
	drain      network.DrainDecision
	workers    []*worker

	routes     route.Table
	filters    []filterConfig
	accessLogs []accesslog.Logger
	upgrades   []upgradeConfig

	idleTimeout, maxConnectionDuration, maxStreamDuration, streamIdleTimeout, requestTimeout, requestHeadersTimeout,
	drainTimeout, delayedCloseTimeout time.Duration
	maxRequestsPerConnection int

	serverName           string
	serverTransformation serverTransformation
	schemeToOverwrite    string
	via                  string

	useRemoteAddress, skipXFFAppend, appendForwardedPort, generateRequestID, preserveRequestID, alwaysSetRequestID,
	proxy100Continue bool
	xffTrustedHops int
	internal       []prefix
	internalUnix   bool
	localAddress   address.Address

	normalizePath, mergeSlashes bool
	slashes                     escapedSlashes
	stripPort                   stripPort
	stripTrailingDot            bool
}

type filterConfig struct {
	name     string
	build    httpfilter.Builder
	disabled bool
}

type upgradeConfig struct {
	kind    string
	enabled bool
}

// Factory makes connection managers. It is the network filter
// envoy.filters.network.http_connection_manager.
type Factory struct {
	// LocalAddress is the address of this machine that stands in x-forwarded-for for
	// clients on it.
	LocalAddress address.Address
	// OnRoutes is told of each inline route configuration, for admin; it may be nil.
	OnRoutes func(*routev3.RouteConfiguration)
}

var _ extension.NetworkFilterFactory = (*Factory)(nil)

// Name implements extension.Factory.
func (*Factory) Name() string { return "envoy.filters.network.http_connection_manager" }

// Category implements extension.Factory.
func (*Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (*Factory) Config() proto.Message { return new(hcmv3.HttpConnectionManager) }

// Fields implements extension.Factory.
func (*Factory) Fields() []conf.Fields { return []conf.Fields{Fields} }

// Terminal implements extension.NetworkFilterFactory.
func (*Factory) Terminal() bool { return true }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (f *Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path,
	errs *conf.Errors) network.FilterBuilder {
	m := msg.(*hcmv3.HttpConnectionManager)
	before := len(*errs)
	conf.Check(m, Fields, path, errs)
	cfg := &config{log: ctx.Log, drain: ctx.Listener.Drain, localAddress: f.LocalAddress}
	cfg.readTimeouts(m)
	cfg.readAddresses(m, path, errs)
	cfg.readMessageRules(m, path, errs)
	cfg.readHTTP1(m, path, errs)

	prefix := "http." + m.GetStatPrefix() + "."
	scope := ctx.Stats.Scope(prefix)
	cfg.stats = newConnStats(scope, ctx.Listener.Scope.Scope(prefix))
	cfg.codecStats = h1.NewStats(ctx.Stats)
	cfg.connStats = network.ConnectionStats{
		ReadTotal: cfg.stats.cxRxBytesTotal, WriteTotal: cfg.stats.cxTxBytesTotal,
		ReadBuffered: cfg.stats.cxRxBytesBuffered, WriteBuffered: cfg.stats.cxTxBytesBuffered,
		DelayedCloseTimeouts: cfg.stats.cxDelayedCloseTimeout,
	}
	httpCtx := extension.HTTPContext{Context: ctx.Context, Root: ctx.Stats, StatPrefix: prefix, Listener: ctx.Listener}
	httpCtx.Stats = scope
	cfg.accessLogs = ctx.AccessLogs.Build(m.GetAccessLog(), path.Field("access_log"), errs)
	cfg.readRoutes(m, httpCtx, path, errs)
	cfg.readFilters(m, httpCtx, path.Field("http_filters"), errs)
	if len(*errs) > before {
		return nil
	}
	if f.OnRoutes != nil {
		f.OnRoutes(m.GetRouteConfig())
	}
	for range ctx.Server.Shards() {
		w := new(worker)
		w.recycle = w.recycleEnded
		cfg.workers = append(cfg.workers, w)
	}
	return func(c network.Connection, fm network.FilterManager) { fm.AddReadFilter(newManager(cfg, c)) }
}

// readTimeouts takes the timeouts, with Envoy's defaults.
func (c *config) readTimeouts(m *hcmv3.HttpConnectionManager) {
	common := m.GetCommonHttpProtocolOptions()
	c.idleTimeout = duration(common.GetIdleTimeout(), time.Hour)
	c.maxConnectionDuration = duration(common.GetMaxConnectionDuration(), 0)
	c.maxStreamDuration = duration(common.GetMaxStreamDuration(), 0)
	c.streamIdleTimeout = duration(m.GetStreamIdleTimeout(), 5*time.Minute)
	c.requestTimeout = duration(m.GetRequestTimeout(), 0)
	c.requestHeadersTimeout = duration(m.GetRequestHeadersTimeout(), 0)
	c.drainTimeout = duration(m.GetDrainTimeout(), 5*time.Second)
	c.delayedCloseTimeout = duration(m.GetDelayedCloseTimeout(), time.Second)
	c.maxRequestsPerConnection = int(common.GetMaxRequestsPerConnection().GetValue())
}

func duration(d *durationpb.Duration, byDefault time.Duration) time.Duration {
	if d == nil {
		return byDefault
	}
	return d.AsDuration()
}

func boolean(b *wrapperspb.BoolValue, byDefault bool) bool {
	if b == nil {
		return byDefault
	}
	return b.GetValue()
}

// readAddresses takes what decides on the address of the client.
func (c *config) readAddresses(m *hcmv3.HttpConnectionManager, path conf.Path, errs *conf.Errors) {
	c.useRemoteAddress = m.GetUseRemoteAddress().GetValue()
	c.xffTrustedHops = int(m.GetXffNumTrustedHops())
	c.skipXFFAppend = m.GetSkipXffAppend()
	c.appendForwardedPort = m.GetAppendXForwardedPort()
	c.internalUnix = m.GetInternalAddressConfig().GetUnixSockets()
	at := path.Field("internal_address_config").Field("cidr_ranges")
	for i, r := range m.GetInternalAddressConfig().GetCidrRanges() {
		c.internal = append(c.internal, newPrefix(r, at.Index(i), errs))
	}
	if d := m.GetForwardClientCertDetails(); d != hcmv3.HttpConnectionManager_SANITIZE {
		errs.Add(path.Field("forward_client_cert_details"), "%v is not implemented", d)
	}
}

// readMessageRules takes what changes in requests and responses.
func (c *config) readMessageRules(m *hcmv3.HttpConnectionManager, path conf.Path, errs *conf.Errors) {
	c.serverName = m.GetServerName()
	if c.serverName == "" {
		c.serverName = "envoy"
	}
	c.serverTransformation = serverTransformation(m.GetServerHeaderTransformation())
	c.schemeToOverwrite = m.GetSchemeHeaderTransformation().GetSchemeToOverwrite()
	c.via = m.GetVia()
	c.generateRequestID = boolean(m.GetGenerateRequestId(), true)
	c.preserveRequestID = m.GetPreserveExternalRequestId()
	c.alwaysSetRequestID = m.GetAlwaysSetRequestIdInResponse()
	c.proxy100Continue = m.GetProxy_100Continue()
	c.normalizePath = m.GetNormalizePath().GetValue()
	c.mergeSlashes = m.GetMergeSlashes()
	switch m.GetPathWithEscapedSlashesAction() {
	case hcmv3.HttpConnectionManager_REJECT_REQUEST:
		c.slashes = rejectSlashes
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		c.slashes = unescapeAndRedirect
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		c.slashes = unescapeAndForward
	}
	switch {
	case m.GetStripMatchingHostPort() && m.GetStripAnyHostPort():
		errs.Add(path.Field("strip_any_host_port"), "only one of strip_matching_host_port and strip_any_host_port may be set")
	case m.GetStripMatchingHostPort():
		c.stripPort = stripMatchingPort
	case m.GetStripAnyHostPort():
		c.stripPort = stripAnyPort
	}
	c.stripTrailingDot = m.GetStripTrailingHostDot()
	for i, u := range m.GetUpgradeConfigs() {
		for _, other := range c.upgrades {
			if other.kind == u.GetUpgradeType() {
				errs.Add(path.Field("upgrade_configs").Index(i), "upgrade_type %s is there twice", other.kind)
			}
		}
		c.upgrades = append(c.upgrades, upgradeConfig{u.GetUpgradeType(), boolean(u.GetEnabled(), true)})
	}
}

var http1Fields = conf.Fields{
	Message: "envoy.config.core.v3.Http1ProtocolOptions",
	Where:   "listeners",
	Names: []string{"allow_absolute_url", "accept_http_10", "default_host_for_http_10", "header_key_format.proper_case_words",
		"enable_trailers", "allow_chunked_length", "allow_custom_methods", "use_balsa_parser"},
}

// readHTTP1 takes the settings of the codec.
func (c *config) readHTTP1(m *hcmv3.HttpConnectionManager, path conf.Path, errs *conf.Errors) {
	switch m.GetCodecType() {
	case hcmv3.HttpConnectionManager_AUTO, hcmv3.HttpConnectionManager_HTTP1:
	default:
		errs.Add(path.Field("codec_type"), "%v is not implemented", m.GetCodecType())
	}
	o := m.GetHttpProtocolOptions()
	if o != nil {
		conf.Check(o, http1Fields, path.Field("http_protocol_options"), errs)
	}
	common := m.GetCommonHttpProtocolOptions()
	c.http1 = h1.Settings{
		DisallowAbsoluteURL: !boolean(o.GetAllowAbsoluteUrl(), true),
		AcceptHTTP10:        o.GetAcceptHttp_10(),
		DefaultHost:         o.GetDefaultHostForHttp_10(),
		EnableTrailers:      o.GetEnableTrailers(),
		AllowChunkedLength:  o.GetAllowChunkedLength(),
		AllowCustomMethods:  o.GetAllowCustomMethods(),
		ProperCaseWords:     o.GetHeaderKeyFormat().GetProperCaseWords() != nil,
		MaxHeadersKB:        h1.DefaultMaxRequestHeadersKB,
		MaxHeaders:          h1.DefaultMaxHeaders,
		Underscores:         h1.UnderscoreAction(common.GetHeadersWithUnderscoresAction()),
	}
	if kb := m.GetMaxRequestHeadersKb(); kb != nil {
		c.http1.MaxHeadersKB = int(kb.GetValue())
	}
	if n := common.GetMaxHeadersCount(); n != nil {
		c.http1.MaxHeaders = int(n.GetValue())
	}
	if common.GetHeadersWithUnderscoresAction() > corev3.HttpProtocolOptions_DROP_HEADER {
		errs.Add(path.Field("common_http_protocol_options").Field("headers_with_underscores_action"), "unknown action")
	}
}

// AllFields lists what is implemented of the messages that the connection manager
// reads besides its own.
func AllFields() []conf.Fields { return []conf.Fields{httpFilterFields, http1Fields} }
