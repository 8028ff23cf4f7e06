// Package localratelimit is the filter envoy.filters.http.local_ratelimit: it
// turns requests away that come faster than a token bucket fills.
package localratelimit

import (
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.local_ratelimit" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &localv3.LocalRateLimit{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &localv3.LocalRateLimit{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{fields(), descriptorFields(), ratelimit.FilterFields(), tokenbucket.Fields(), headeroption.Fields()}
}

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
		Names: []string{"stat_prefix", "status", "token_bucket", "filter_enabled", "filter_enforced",
			"request_headers_to_add_when_not_enforced", "response_headers_to_add", "local_rate_limit_per_downstream_connection",
			"enable_x_ratelimit_headers", "rate_limited_as_resource_exhausted", "enable_retry_after_header",
			"descriptors", "stage", "rate_limits", "vh_rate_limits", "always_consume_default_token_bucket", "max_dynamic_descriptors"},
	}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newConfig(msg.(*localv3.LocalRateLimit), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(cfg, cb) }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	m := msg.(*localv3.LocalRateLimit)
	if m.GetTokenBucket() == nil {
		errs.Add(path.Field("token_bucket"), "must be set in the configuration of a route")
	}
	cfg := newConfig(m, ctx, path, errs)
	if cfg == nil || m.GetTokenBucket() == nil {
		return nil
	}
	return cfg
}

// config is a limit: the filter's or a route's. It is immutable, but for what is in
// the bucket.
type config struct {
	runtime  runtimeconf.Loader
	enabled  runtimeconf.Fraction
	enforced runtimeconf.Fraction
	status   int
	// limiter is shared by all workers; with perConnection each connection has one of
	// its own, kept under key.
	limits        *limits
	limiter       *limiter
	perConnection bool
	key           string
	// The rules that make descriptors: rateLimits, or if it is nil those of the stage in
	// the route, and as hostRules says in the virtual host.
	rateLimits *ratelimit.Policy
	stage      uint32
	hostRules  ratelimitv3.VhRateLimitsOptions

	requestHeaders    *headeroption.List // when not enforced
	responseHeaders   *headeroption.List // when enforced
	rateLimitHeaders  bool               // x-ratelimit-*
	retryAfter        bool
	resourceExhausted bool
	stats             filterStats
}

// filterStats are the statistics <stat_prefix>.http_local_rate_limit.*.
type filterStats struct {
	enabled, enforced, ok, rateLimited, shadowMode *stats.Counter
}

func newStats(s stats.Scope, prefix string) filterStats {
	s = s.Scope(prefix + ".http_local_rate_limit.")
	return filterStats{s.Counter("enabled"), s.Counter("enforced"), s.Counter("ok"), s.Counter("rate_limited"), s.Counter("shadow_mode")}
}

// newConfig checks the message. Errors go to errs, and it returns nil then.
func newConfig(m *localv3.LocalRateLimit, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	cfg := &config{
		runtime:           ctx.Runtime,
		enabled:           runtimeconf.NewFraction(m.GetFilterEnabled()),
		enforced:          runtimeconf.NewFraction(m.GetFilterEnforced()),
		status:            429,
		perConnection:     m.GetLocalRateLimitPerDownstreamConnection(),
		key:               "per_connection_local_rate_limiter " + path.String(),
		rateLimitHeaders:  m.GetEnableXRatelimitHeaders() == ratelimitv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03,
		retryAfter:        m.GetEnableRetryAfterHeader(),
		resourceExhausted: m.GetRateLimitedAsResourceExhausted(),
		rateLimits:        ctx.RateLimits(m.GetRateLimits(), ratelimit.FilterFields(), path.Field("rate_limits"), errs),
		stage:             m.GetStage(),
		hostRules:         m.GetVhRateLimits(),
	}
	if cfg.stage > ratelimit.MaxStage {
		errs.Add(path.Field("stage"), "must be at most %d", ratelimit.MaxStage)
	}
	if m.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	if code := int(m.GetStatus().GetCode()); code >= 400 {
		cfg.status = code
	}
	cfg.limits = newLimits(m, path, errs)
	cfg.requestHeaders = headeroption.NewList(m.GetRequestHeadersToAddWhenNotEnforced(), nil, ctx.Formats,
		path.Field("request_headers_to_add_when_not_enforced"), conf.Path{}, errs)
	cfg.responseHeaders = headeroption.NewList(m.GetResponseHeadersToAdd(), nil, ctx.Formats,
		path.Field("response_headers_to_add"), conf.Path{}, errs)
	if len(*errs) > before {
		return nil
	}
	cfg.limiter = cfg.limits.newLimiter()
	cfg.stats = newStats(ctx.Root, m.GetStatPrefix())
	return cfg
}
