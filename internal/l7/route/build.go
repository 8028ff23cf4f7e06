package route

import (
	"math"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// defaultMaxBody bounds the body of a direct response, in bytes.
const defaultMaxBody = 4096

// BuildContext is what building a table needs. The Registry finds the factories
// of configuration per route, Formats compiles header values, Runtime decides
// runtime fractions.
type BuildContext struct {
	extension.HTTPContext
	// ValidateClusters says whether names that are not in Clusters are errors when the
	// configuration does not set validate_clusters.
	ValidateClusters bool
}

// Build makes the table of a route configuration. Everything wrong with it goes to
// errs, with the path of the field; the result is nil then. It reads the files that
// direct responses name. Main goroutine.
func Build(cfg *routev3.RouteConfiguration, ctx BuildContext, path conf.Path, errs *conf.Errors) *Table {
	before := len(*errs)
	conf.Check(cfg, TableFields(), path, errs)
	b := &builder{
		BuildContext: ctx,
		errs:         errs,
		routeFilters: routeFilters(ctx.Registry),
		maxBody:      defaultMaxBody,
		cutParams:    cfg.GetIgnorePathParametersInPathMatching(),
		specificLast: cfg.GetMostSpecificHeaderMutationsWins(),
	}
	if v := cfg.GetValidateClusters(); v != nil {
		b.ValidateClusters = v.GetValue()
	}
	if v := cfg.GetMaxDirectResponseBodySizeBytes(); v != nil {
		b.maxBody = int64(v.GetValue())
	}
	b.table = b.level(cfg, path)
	b.tableMirrors = b.mirrors(cfg.GetRequestMirrorPolicies(), nil, path.Field("request_mirror_policies"))
	b.plugins = b.specifiers(cfg.GetClusterSpecifierPlugins(), path.Field("cluster_specifier_plugins"))
	t := &Table{name: cfg.GetName(), hosts: hostIndex{ignorePort: cfg.GetIgnorePortInHostMatching()}}
	if name := cfg.GetVhostHeader(); name != "" {
		t.hosts.header = headerName(name)
	}
	for _, name := range cfg.GetInternalOnlyHeaders() {
		t.internalOnly = append(t.internalOnly, match.Lower(name))
	}
	for i, vh := range cfg.GetVirtualHosts() {
		at := path.Field("virtual_hosts").Index(i)
		v := b.virtualHost(vh, at)
		for j, domain := range vh.GetDomains() {
			if !t.hosts.add(domain, v) {
				errs.Add(at.Field("domains").Index(j), "domain %q is used twice: domains must be unique, without regard to case", domain)
			}
		}
	}
	if len(*errs) > before {
		return nil
	}
	t.hosts.sort()
	for _, l := range b.lists {
		l.index = newIndex(l.entries)
	}
	return t
}

// A builder builds one table.
type builder struct {
	BuildContext
	errs         *conf.Errors
	routeFilters map[string]extension.HTTPRouteFilterFactory // by the type of the per-route message
	maxBody      int64
	cutParams    bool
	specificLast bool // most_specific_header_mutations_wins
	table        level
	tableMirrors []route.Mirror
	plugins      map[string]route.ClusterSpecifier // nil for an optional one that is not known
	lists        []*routeList                      // that wait for their index
}

// A level is what table, virtual host, route and weighted cluster have in common.
type level struct {
	request, response *headeroption.List
	filters           []route.FilterConfig
}

// levelConfig is the part of their messages that a level is made from.
type levelConfig interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
	GetTypedPerFilterConfig() map[string]*anypb.Any
}

func (b *builder) level(cfg levelConfig, path conf.Path) level {
	return level{
		request: headeroption.NewList(cfg.GetRequestHeadersToAdd(), cfg.GetRequestHeadersToRemove(), b.Formats,
			path.Field("request_headers_to_add"), path.Field("request_headers_to_remove"), b.errs),
		response: headeroption.NewList(cfg.GetResponseHeadersToAdd(), cfg.GetResponseHeadersToRemove(), b.Formats,
			path.Field("response_headers_to_add"), path.Field("response_headers_to_remove"), b.errs),
		filters: b.filterConfigs(cfg.GetTypedPerFilterConfig(), path.Field("typed_per_filter_config")),
	}
}

// virtualHost builds a virtual host with its routes, but without their index.
func (b *builder) virtualHost(cfg *routev3.VirtualHost, path conf.Path) *virtualHost {
	conf.Check(cfg, VirtualHostFields(), path, b.errs)
	if cfg.GetName() == "" {
		b.errs.Add(path.Field("name"), "must not be empty")
	}
	if len(cfg.GetDomains()) == 0 {
		b.errs.Add(path.Field("domains"), "must not be empty")
	}
	scope := &hostScope{
		builder:       b,
		host:          b.level(cfg, path),
		cors:          b.corsPolicy(cfg.GetCors(), path.Field("cors")),
		buffer:        newBufferLimit(cfg, bufferLimit{}),
		hedges:        cfg.GetHedgePolicy() != nil && b.hedgePolicy(cfg.GetHedgePolicy(), path.Field("hedge_policy")),
		mirrorsAround: b.mirrors(cfg.GetRequestMirrorPolicies(), b.tableMirrors, path.Field("request_mirror_policies")),
		public: &route.VirtualHost{
			Name:                          cfg.GetName(),
			IncludeAttemptCount:           cfg.GetIncludeRequestAttemptCount(),
			IncludeAttemptCountInResponse: cfg.GetIncludeAttemptCountInResponse(),
			IncludeIsTimeoutRetry:         cfg.GetIncludeIsTimeoutRetryHeader(),
			VirtualCluster:                b.virtualClusters(cfg, path),
			Metadata:                      metadata(cfg.GetMetadata()),
			RateLimits:                    b.RateLimits(cfg.GetRateLimits(), ratelimit.RouteFields(), path.Field("rate_limits"), b.errs),
		},
	}
	b.typedRetryPolicy(cfg.GetRetryPolicyTypedConfig(), path.Field("retry_policy_typed_config"))
	if p := cfg.GetRetryPolicy(); p != nil {
		scope.retry = b.retryPolicy(p, path.Field("retry_policy"))
	}
	v := &virtualHost{public: scope.public, cutParams: b.cutParams, tls: cfg.GetRequireTls(), redirect: tlsRedirect(scope.public)}
	scope.routeList(&v.routes, cfg.GetRoutes(), path.Field("routes"))
	v.tree = scope.tree(cfg, path)
	return v
}

// A hostScope is a virtual host while its routes are built.
type hostScope struct {
	*builder
	host          level
	public        *route.VirtualHost
	retry         *route.RetryPolicy // nil for none
	hedges        bool
	cors          []route.FilterConfig
	buffer        bufferLimit
	mirrorsAround []route.Mirror
}

// levels returns the levels of a route, in the order in which their header
// mutations are made.
func (s *hostScope) levels(own level) [3]level {
	if s.specificLast {
		return [...]level{s.table, s.host, own}
	}
	return [...]level{own, s.host, s.table}
}

func (s *hostScope) entry(cfg *routev3.Route, path conf.Path) entry {
	conf.Check(cfg, RouteFields(), path, s.errs)
	e := s.conditions(cfg.GetMatch(), path.Field("match"))
	own := s.level(cfg, path)
	levels := s.levels(own)
	r := &route.Route{
		Name:        cfg.GetName(),
		VirtualHost: s.public,
		Metadata:    metadata(cfg.GetMetadata()),
		Response:    responseMutation(newMutations(levels[0].response, levels[1].response, levels[2].response)),
	}
	for _, l := range []level{own, s.host, s.table} {
		r.FilterConfigs = append(r.FilterConfigs, l.filters...)
	}
	if cfg.GetStatPrefix() != "" {
		r.Stats = s.requestStats(s.public.Name, "route", cfg.GetStatPrefix())
	}
	e.route = r
	if d := cfg.GetDecorator(); d != nil && d.GetOperation() == "" {
		s.errs.Add(path.Field("decorator").Field("operation"), "must not be empty")
	}
	switch action := cfg.GetAction().(type) {
	case *routev3.Route_Route:
		r.Forward = s.forward(action.Route, &e.path, levels, path.Field("route"))
		limit := newBufferLimit(cfg, s.buffer)
		r.Forward.MaxRequestBuffer, r.Forward.LowersRequestBuffer = limit.bytes, limit.lowers
		r.FilterConfigs = append(r.FilterConfigs, s.corsPolicy(action.Route.GetCors(), path.Field("route").Field("cors"))...)
		r.FilterConfigs = append(r.FilterConfigs, s.cors...)
		e.weighted = s.weighted(action.Route.GetWeightedClusters(), r, path.Field("route").Field("weighted_clusters"))
		if hasSpecifier(action.Route) && r.Forward.Specifier == nil {
			// Its optional specifier is not known: the route is never taken, and the next one
			// that matches is.
			e.fractional, e.fraction, e.runtime = true, runtimeconf.Fraction{}, nil
		}
	case *routev3.Route_Redirect:
		r.Direct = s.redirect(action.Redirect, &e.path, path.Field("redirect"))
	case *routev3.Route_DirectResponse:
		r.Direct = s.directResponse(action.DirectResponse, path.Field("direct_response"))
	case *routev3.Route_NonForwardingAction, *routev3.Route_FilterAction:
		// Filters answer, not the router. What an action says to them is theirs, and not read.
		r.Forward = &route.Forward{ClusterNotFoundStatus: 503, Request: &rewrite{}}
	default:
		s.errs.Add(path, "one of route, redirect, direct_response, filter_action, non_forwarding_action is required")
	}
	return e
}

// bufferLimits is the part of routes and virtual hosts with limits of buffered
// requests.
type bufferLimits interface {
	GetRequestBodyBufferLimit() *wrapperspb.UInt64Value
	GetPerRequestBufferLimitBytes() *wrapperspb.UInt32Value
}

// A bufferLimit is what route.Forward has of it.
type bufferLimit struct {
	bytes  int
	lowers bool
}

// newBufferLimit returns the limit of a level, or that of the level around. The
// deprecated field counts without the new one, and only lowers the connection's limit.
func newBufferLimit(cfg bufferLimits, around bufferLimit) bufferLimit {
	if l := cfg.GetRequestBodyBufferLimit(); l != nil {
		return bufferLimit{bytes: int(min(l.GetValue(), math.MaxInt))}
	}
	if l := cfg.GetPerRequestBufferLimitBytes(); l != nil {
		return bufferLimit{bytes: int(l.GetValue()), lowers: true}
	}
	return around
}

func metadata(m *corev3.Metadata) map[string]*structpb.Struct { return m.GetFilterMetadata() }

// duration reads a duration that is set.
func (b *builder) duration(d *durationpb.Duration, path conf.Path) time.Duration {
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		b.errs.Add(path, "must be a duration that is not negative")
		return 0
	}
	return d.AsDuration()
}
