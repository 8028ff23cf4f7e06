// Package router is the filter envoy.filters.http.router: it ends the filter
// chain, sends the request to a host of the route's cluster and the response back.
//
// It is one filter object per stream, recycled with it. It has one attempt at a time
// (upstreamRequest), or several side by side with hedging. A mirrored request is one
// of a second router, that has no client (shadow). Nothing is allocated for a request in the steady state;
// what timeouts, retries and local replies need is made when it is first needed.
package router

import (
	"slices"
	"time"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.HTTPFilterFactory of the router.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// fields are the implemented fields of the configuration.
func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.router.v3.Router",
		Names: []string{
			"dynamic_stats",
			"upstream_http_filters",
			"upstream_log",
			"upstream_log_options.flush_upstream_log_on_upstream_stream",
			"upstream_log_options.upstream_log_flush_interval",
			"suppress_envoy_headers",
			"strict_check_headers",
			"respect_expected_rq_timeout",
			"suppress_grpc_request_failure_code_stats",
			"reject_connect_request_early_data",
		},
	}
}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.router" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &routerv3.Router{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return true }

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newConfig(msg.(*routerv3.Router), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(cfg, cb) }
}

// config is the configuration of a router, shared by its filters. It is immutable.
type config struct {
	clusters upstream.Clusters
	runtime  runtimeconf.Loader
	log      extension.Logger
	stats    *routerStats

	dynamicStats           bool
	suppressEnvoyHeaders   bool
	respectExpectedTimeout bool
	suppressGRPCCodes      bool
	rejectEarlyConnectData bool
	// strictHeaders are the request headers whose values are checked.
	strictHeaders []httpmsg.ID
	// upstreamLogs get an entry for each attempt; logPoolReady asks for one more when
	// an attempt has its stream.
	upstreamLogs []accesslog.Logger
	logPoolReady bool
	// logFlushInterval asks for entries while an attempt goes on, 0 for none.
	logFlushInterval time.Duration
	// upstreamFilters stand between this router and the hosts of clusters that have none of
	// their own; nil for none.
	upstreamFilters httpfilter.UpstreamFilters
	// zone is this server's, forwardedFor its address in x-forwarded-for of shadows; ""
	// if they are not known.
	zone, forwardedFor string
	// shadow is the configuration for shadows, and for theirs.
	shadow *config
}

// newConfig checks the message. Errors go to errs, and it returns nil then.
func newConfig(m *routerv3.Router, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	cfg := &config{
		clusters:               ctx.Clusters,
		runtime:                ctx.Runtime,
		log:                    ctx.Log,
		dynamicStats:           m.GetDynamicStats() == nil || m.GetDynamicStats().GetValue(),
		suppressEnvoyHeaders:   m.GetSuppressEnvoyHeaders(),
		respectExpectedTimeout: m.GetRespectExpectedRqTimeout(),
		suppressGRPCCodes:      m.GetSuppressGrpcRequestFailureCodeStats(),
		rejectEarlyConnectData: m.GetRejectConnectRequestEarlyData().GetValue(),
		logPoolReady:           m.GetUpstreamLogOptions().GetFlushUpstreamLogOnUpstreamStream(),
		zone:                   ctx.Server.ServiceZone(),
	}
	if ctx.LocalAddress.IsValid() {
		cfg.forwardedFor = ctx.LocalAddress.WithoutPort()
	}
	if d := m.GetUpstreamLogOptions().GetUpstreamLogFlushInterval(); d != nil {
		if cfg.logFlushInterval = d.AsDuration(); cfg.logFlushInterval < time.Millisecond {
			errs.Add(path.Field("upstream_log_options").Field("upstream_log_flush_interval"), "must be at least 1ms")
		}
	}
	for i, name := range m.GetStrictCheckHeaders() {
		id := httpmsg.Lookup(name)
		if !slices.Contains(checkedHeaders, id) {
			errs.Add(path.Field("strict_check_headers").Index(i), "%q cannot be checked", name)
			continue
		}
		cfg.strictHeaders = append(cfg.strictHeaders, id)
	}
	if len(m.GetUpstreamLog()) > 0 {
		cfg.upstreamLogs = ctx.AccessLogs.Build(m.GetUpstreamLog(), path.Field("upstream_log"), errs)
	}
	if len(m.GetUpstreamHttpFilters()) > 0 {
		cfg.upstreamFilters = ctx.UpstreamFilters.Build(m.GetUpstreamHttpFilters(), ctx.Context, path.Field("upstream_http_filters"), errs)
	}
	if len(*errs) > before {
		return nil
	}
	cfg.stats = newStats(ctx.Stats)
	shadow := *cfg
	shadow.stats, shadow.strictHeaders = newStats(ctx.Root.Scope("http.async-client.")), nil
	shadow.upstreamFilters = nil
	cfg.shadow, shadow.shadow = &shadow, &shadow
	return cfg
}
