package hcm

import (
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/api/why"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
	"github.com/nuncio-proxy/nuncio/internal/l7/http2config"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
)

// Fields is what is implemented of the connection manager's configuration.
var Fields = conf.Fields{
	Message: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	Names: []string{
		"codec_type", "stat_prefix", "route_config", "scoped_routes.name", "scoped_routes.scope_key_builder",
		"scoped_routes.scoped_route_configurations_list.scoped_route_configurations.name",
		"scoped_routes.scoped_route_configurations_list.scoped_route_configurations.key",
		// on_demand says something only of scopes that a control plane sends.
		"scoped_routes.scoped_route_configurations_list.scoped_route_configurations.on_demand",
		"scoped_routes.scoped_route_configurations_list.scoped_route_configurations.route_configuration",
		"http_filters", "add_user_agent", "common_http_protocol_options.idle_timeout",
		"common_http_protocol_options.max_connection_duration",
		"common_http_protocol_options.max_connection_duration_jitter", "http1_safe_max_connection_duration",
		"common_http_protocol_options.max_headers_count",
		"common_http_protocol_options.max_stream_duration",
		"common_http_protocol_options.headers_with_underscores_action",
		"common_http_protocol_options.max_requests_per_connection", "http_protocol_options", "http2_protocol_options", "server_name",
		"server_header_transformation", "scheme_header_transformation", "max_request_headers_kb",
		"stream_idle_timeout", "request_timeout", "request_headers_timeout", "drain_timeout", "drain_timeout_jitter",
		"delayed_close_timeout", "access_log", "access_log_flush_interval", "flush_access_log_on_new_request",
		"access_log_options", "use_remote_address", "xff_num_trusted_hops", "original_ip_detection_extensions",
		"early_header_mutation_extensions", "internal_address_config", "skip_xff_append", "via",
		"generate_request_id", "preserve_external_request_id", "always_set_request_id_in_response",
		"request_id_extension", "forward_client_cert_details",
		"set_current_client_cert_details", "forward_client_cert_matcher", "proxy_100_continue", "upgrade_configs", "normalize_path",
		"merge_slashes", "path_with_escaped_slashes_action", "local_reply_config", "strip_matching_host_port",
		"strip_any_host_port", "strip_trailing_host_dot", "stream_error_on_invalid_http_message", "proxy_status_config",
		"append_x_forwarded_port", "forward_proto_config", "record_route_resolution_stats",
		"stream_flush_timeout", "add_proxy_protocol_connection_state",
		// These have nothing to act on: append_local_overload adds to replies of
		// the overload manager, which is refused where it is configured; and Envoy reads the
		// other two and does nothing with them.
		"append_local_overload", "path_normalization_options",
		"represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
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
	codecType  codecType
	http2      h2.Settings
	http2Stats func() *h2.Stats    // makes them at the first connection
	keepAlive  *keepalive.Settings // of HTTP/2; nil for none
	runtime    runtimeconf.Loader
	log        extension.Logger
	why        why.Recorder // nil: answers are not recorded
	drain      network.DrainDecision
	workers    []*worker
	clusters   upstream.Clusters

	routes     route.Table // nil with scopes
	scopes     *scopes
	filters    []filterConfig
	accessLogs []accesslog.Logger
	flushLogs  logFlush
	upgrades   []upgradeConfig
	localReply *localReply      // nil: replies stay as they are made
	status     *proxyStatus     // nil: no proxy-status
	resolution *routeResolution // nil: not recorded
	// As in Factory.
	clock       func() time.Time
	timesRoutes func() bool

	idleTimeout, maxConnectionDuration, maxStreamDuration, streamIdleTimeout, streamFlushTimeout, requestTimeout, requestHeadersTimeout,
	drainTimeout, delayedCloseTimeout time.Duration
	maxConnectionJitter, drainJitter time.Duration // bounds of what is added at random
	http1SafeMaxDuration             bool
	maxRequestsPerConnection         int
	keepAfterBadRequest              bool

	serverName           string
	serverTransformation serverTransformation
	schemeToOverwrite    string
	matchUpstreamScheme  bool
	hidesAddresses       bool
	via                  string
	addUserAgent         bool
	userAgent, node      string // what it adds

	clientCert        clientCertRules
	early             []route.HeaderMutation
	requestIDs        httpfilter.RequestIDs
	generateRequestID bool

	useRemoteAddress, skipXFFAppend, appendForwardedPort, preserveRequestID, alwaysSetRequestID, proxy100Continue bool
	xffTrustedHops                                                                                                int
	detectors                                                                                                     []httpfilter.IPDetector
	internal                                                                                                      address.Ranges
	internalUnix                                                                                                  bool
	localAddress                                                                                                  address.Address
	httpsPorts, httpPorts                                                                                         []uint32

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

// Factory makes connection managers. It is the network filter
// envoy.filters.network.http_connection_manager.
type Factory struct {
	// LocalAddress is the address of this machine that stands in x-forwarded-for for
	// clients on it.
	LocalAddress address.Address
	// OnBuilt is told of each manager, whose routes admin shows; it may be nil.
	OnBuilt func(*hcmv3.HttpConnectionManager)
	// Clock reads the time. Any goroutine. It is for what is measured within a turn,
	// where the time of the worker stands still.
	Clock func() time.Time
	// TimesRoutes reports whether what it takes to find a route is to be measured. Any
	// worker.
	TimesRoutes func() bool
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
	cfg := &config{log: ctx.Log, why: ctx.Why, clusters: ctx.Clusters, runtime: ctx.Runtime, drain: ctx.Listener.Drain, localAddress: f.LocalAddress,
		clock: f.Clock, timesRoutes: f.TimesRoutes}
	httpCtx := cfg.openStats(m, ctx)
	cfg.readTimeouts(m, path, errs)
	cfg.readAddresses(m, ctx.Context, path, errs)
	cfg.readMessageRules(m, ctx.Server, path, errs)
	cfg.readClientCert(m, httpCtx, path, errs)
	cfg.readRequestIDs(m, ctx.Context, path, errs)
	cfg.readHTTP1(m, ctx.Registry, path, errs)
	cfg.readHTTP2(m, path, errs)
	cfg.readLogs(m, ctx.Context, path, errs)
	cfg.readLocalReply(m.GetLocalReplyConfig(), httpCtx, path.Field("local_reply_config"), errs)
	cfg.status = newProxyStatus(m.GetProxyStatusConfig(), cfg.serverName, ctx.Server)
	if m.GetRecordRouteResolutionStats() {
		cfg.resolution = newRouteResolution(httpCtx.Stats)
	}
	cfg.readRoutes(m, httpCtx, path, errs)
	cfg.filters = readFilters(m.GetHttpFilters(), httpCtx, path.Field("http_filters"), errs)
	cfg.readUpgrades(m, httpCtx, path.Field("upgrade_configs"), errs)
	if len(*errs) > before {
		return nil
	}
	if f.OnBuilt != nil {
		f.OnBuilt(m)
	}
	for range ctx.Server.Shards() {
		w := new(worker)
		w.recycle = w.recycleEnded
		cfg.workers = append(cfg.workers, w)
	}
	return func(c network.Connection, fm network.FilterManager) { fm.AddReadFilter(newManager(cfg, c)) }
}

// openStats looks the statistics up, and returns the context of HTTP filters.
func (c *config) openStats(m *hcmv3.HttpConnectionManager, ctx extension.NetworkContext) extension.HTTPContext {
	prefix := "http." + m.GetStatPrefix() + "."
	scope := ctx.Stats.Scope(prefix)
	c.stats = newConnStats(scope, ctx.Listener.Scope.Scope(prefix))
	c.stats.openTracing(scope)
	c.codecStats = h1.NewStats(ctx.Stats)
	c.http2Stats = sync.OnceValue(func() *h2.Stats { return h2.NewStats(ctx.Stats) })
	c.connStats = network.ConnectionStats{
		ReadTotal: c.stats.cxRxBytesTotal, WriteTotal: c.stats.cxTxBytesTotal,
		ReadBuffered: c.stats.cxRxBytesBuffered, WriteBuffered: c.stats.cxTxBytesBuffered,
		DelayedCloseTimeouts: c.stats.cxDelayedCloseTimeout,
	}
	httpCtx := extension.HTTPContext{Context: ctx.Context, Root: ctx.Stats, StatPrefix: prefix, Listener: ctx.Listener, LocalAddress: c.localAddress}
	httpCtx.Stats = scope
	return httpCtx
}

// readTimeouts takes the timeouts, with Envoy's defaults.
func (c *config) readTimeouts(m *hcmv3.HttpConnectionManager, path conf.Path, errs *conf.Errors) {
	common := m.GetCommonHttpProtocolOptions()
	c.idleTimeout = duration(common.GetIdleTimeout(), time.Hour)
	c.maxConnectionDuration = duration(common.GetMaxConnectionDuration(), 0)
	c.maxStreamDuration = duration(common.GetMaxStreamDuration(), 0)
	c.streamIdleTimeout = duration(m.GetStreamIdleTimeout(), 5*time.Minute)
	c.streamFlushTimeout = duration(m.GetStreamFlushTimeout(), c.streamIdleTimeout)
	c.requestTimeout = duration(m.GetRequestTimeout(), 0)
	c.requestHeadersTimeout = duration(m.GetRequestHeadersTimeout(), 0)
	c.drainTimeout = duration(m.GetDrainTimeout(), 5*time.Second)
	c.delayedCloseTimeout = duration(m.GetDelayedCloseTimeout(), time.Second)
	c.maxConnectionJitter = jitter(c.maxConnectionDuration, common.GetMaxConnectionDurationJitter(),
		path.Field("common_http_protocol_options").Field("max_connection_duration_jitter"), errs)
	c.drainJitter = jitter(c.drainTimeout, m.GetDrainTimeoutJitter(), path.Field("drain_timeout_jitter"), errs)
	c.http1SafeMaxDuration = m.GetHttp1SafeMaxConnectionDuration()
	c.maxRequestsPerConnection = int(common.GetMaxRequestsPerConnection().GetValue())
}

// jitter is how long a random delay is at most that adds percent to d.
func jitter(d time.Duration, percent *typev3.Percent, path conf.Path, errs *conf.Errors) time.Duration {
	if v := percent.GetValue(); !(v >= 0 && v <= 100) {
		errs.Add(path.Field("value"), "must be from 0 to 100")
		return 0
	}
	return time.Duration(float64(d) * percent.GetValue() / 100)
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

// readMessageRules takes what changes in requests and responses.
func (c *config) readMessageRules(m *hcmv3.HttpConnectionManager, server extension.Server, path conf.Path, errs *conf.Errors) {
	c.serverName = m.GetServerName()
	if c.serverName == "" {
		c.serverName = "envoy"
	}
	c.serverTransformation = serverTransformation(m.GetServerHeaderTransformation())
	c.schemeToOverwrite = m.GetSchemeHeaderTransformation().GetSchemeToOverwrite()
	c.matchUpstreamScheme = m.GetSchemeHeaderTransformation().GetMatchUpstream()
	c.hidesAddresses = !boolean(m.GetAddProxyProtocolConnectionState(), true)
	c.via = m.GetVia()
	if c.addUserAgent = m.GetAddUserAgent().GetValue(); c.addUserAgent {
		c.userAgent, c.node = server.ServiceCluster(), server.ServiceNode()
	}
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
}

var http1Fields = conf.Fields{
	Message: "envoy.config.core.v3.Http1ProtocolOptions",
	Where:   "listeners",
	Names: []string{"allow_absolute_url", "accept_http_10", "default_host_for_http_10", "header_key_format",
		"enable_trailers", "allow_chunked_length", "allow_custom_methods", "override_stream_error_on_invalid_http_message",
		"ignore_http_11_upgrade",
		// Envoy does nothing with these in a listener.
		"send_fully_qualified_url", "use_balsa_parser"},
}

// readHTTP1 takes the settings of the codec.
func (c *config) readHTTP1(m *hcmv3.HttpConnectionManager, registry *extension.Registry, path conf.Path, errs *conf.Errors) {
	o, at := m.GetHttpProtocolOptions(), path.Field("http_protocol_options")
	if o != nil {
		conf.Check(o, http1Fields, at, errs)
	}
	c.keepAfterBadRequest = m.GetStreamErrorOnInvalidHttpMessage().GetValue()
	if v := o.GetOverrideStreamErrorOnInvalidHttpMessage(); v != nil {
		c.keepAfterBadRequest = v.GetValue()
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
		NewFormatter:        registry.HeaderFormatter(o.GetHeaderKeyFormat().GetStatefulFormatter(), at.Field("header_key_format").Field("stateful_formatter"), errs),
		MaxHeadersKB:        h1.DefaultMaxRequestHeadersKB,
		MaxHeaders:          h1.DefaultMaxHeaders,
		Underscores:         h1.UnderscoreAction(common.GetHeadersWithUnderscoresAction()),
	}
	c.http1.IgnoreUpgrade = anyOf(o.GetIgnoreHttp_11Upgrade(), at.Field("ignore_http_11_upgrade"), errs)
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

// anyOf tests whether one of the conditions of a list is met; it is nil for an empty
// list.
func anyOf(list []*matcherv3.StringMatcher, path conf.Path, errs *conf.Errors) func(string) bool {
	var conditions []*match.String
	for i, m := range list {
		if condition := match.NewString(m, path.Index(i), errs); condition != nil {
			conditions = append(conditions, condition)
		}
	}
	if conditions == nil {
		return nil
	}
	return func(text string) bool {
		return slices.ContainsFunc(conditions, func(m *match.String) bool { return m.Match(text) })
	}
}

// AllFields lists what is implemented of the messages that the connection manager
// reads besides its own.
func AllFields() []conf.Fields {
	return append(clientCertFields(), filterchain.Fields(), http1Fields, http2config.Fields())
}
