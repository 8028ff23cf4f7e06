package route

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

const defaultTimeout = 15 * time.Second

// forward builds a route action; its weighted clusters come afterwards.
func (s *hostScope) forward(cfg *routev3.RouteAction, matched *pathMatch, levels [3]level, path conf.Path) *route.Forward {
	conf.Check(cfg, ActionFields(), path, s.errs)
	f := &route.Forward{
		ClusterNotFoundStatus: notFoundStatus(cfg.GetClusterNotFoundResponseCode()),
		Timeout:               defaultTimeout,
		Retry:                 s.retry,
		Request:               s.rewrite(cfg, matched, levels, path),
		Upgrades:              s.upgrades(cfg.GetUpgradeConfigs(), path.Field("upgrade_configs")),
		AppendXForwardedHost:  cfg.GetAppendXForwardedHost(),
		AutoHostRewrite:       cfg.GetAutoHostRewrite().GetValue(),
		GRPC:                  s.grpcTimeout(cfg, path),
		Mirrors:               s.mirrors(cfg.GetRequestMirrorPolicies(), s.mirrorsAround, path.Field("request_mirror_policies")),
		Hash:                  s.hashPolicy(cfg.GetHashPolicy(), path.Field("hash_policy")),
		HedgeOnPerTryTimeout:  s.hedges,
		Redirect:              s.internalRedirect(cfg, path),
		RateLimits:            s.RateLimits(cfg.GetRateLimits(), ratelimit.RouteFields(), path.Field("rate_limits"), s.errs),
		IncludeHostRateLimits: cfg.GetIncludeVhRateLimits().GetValue(),
	}
	if cfg.GetPriority() == corev3.RoutingPriority_HIGH {
		f.Priority = upstream.High
	}
	s.typedRetryPolicy(cfg.GetRetryPolicyTypedConfig(), path.Field("retry_policy_typed_config"))
	if p := cfg.GetRetryPolicy(); p != nil {
		f.Retry = s.retryPolicy(p, path.Field("retry_policy"))
	}
	if p := cfg.GetHedgePolicy(); p != nil {
		f.HedgeOnPerTryTimeout = s.hedgePolicy(p, path.Field("hedge_policy"))
	}
	s.earlyData(cfg.GetEarlyDataPolicy(), path.Field("early_data_policy"))
	s.timeouts(f, cfg, path)
	s.cluster(f, cfg, path)
	return f
}

func notFoundStatus(code routev3.RouteAction_ClusterNotFoundResponseCode) int {
	switch code {
	case routev3.RouteAction_NOT_FOUND:
		return 404
	case routev3.RouteAction_INTERNAL_SERVER_ERROR:
		return 500
	default:
		return 503
	}
}

// cluster says where to forward to.
func (s *hostScope) cluster(f *route.Forward, cfg *routev3.RouteAction, path conf.Path) {
	switch c := cfg.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		f.Cluster = s.known(c.Cluster, path.Field("cluster"))
	case *routev3.RouteAction_ClusterHeader:
		f.ClusterHeader = s.clusterHeader(c.ClusterHeader, path.Field("cluster_header"))
	case *routev3.RouteAction_WeightedClusters:
	case *routev3.RouteAction_ClusterSpecifierPlugin:
		f.Specifier = s.namedSpecifier(c.ClusterSpecifierPlugin, path.Field("cluster_specifier_plugin"))
	case *routev3.RouteAction_InlineClusterSpecifierPlugin:
		f.Specifier = s.specifier(c.InlineClusterSpecifierPlugin, path.Field("inline_cluster_specifier_plugin"))
	default:
		s.errs.Add(path, "one of cluster, cluster_header, weighted_clusters, cluster_specifier_plugin, inline_cluster_specifier_plugin is required")
	}
}

func hasSpecifier(cfg *routev3.RouteAction) bool {
	return cfg.GetClusterSpecifierPlugin() != "" || cfg.GetInlineClusterSpecifierPlugin() != nil
}

// known checks the name of a cluster.
func (b *builder) known(name string, path conf.Path) string {
	switch {
	case name == "":
		b.errs.Add(path, "must not be empty")
	case b.ValidateClusters && !b.Clusters.Known(name):
		b.errs.Add(path, "unknown cluster %q", name)
	}
	return name
}

func (s *hostScope) clusterHeader(name string, path conf.Path) string {
	if name == "" {
		s.errs.Add(path, "must not be empty")
	}
	return headerName(name)
}

// headerName returns the name that a header has in a request.
func headerName(name string) string {
	if name = match.Lower(name); name == "host" {
		return httpmsg.Authority.String()
	}
	return name
}

func (s *hostScope) upgrades(cfgs []*routev3.RouteAction_UpgradeConfig, path conf.Path) (out []route.Upgrade) {
	seen := map[string]bool{}
	for i, cfg := range cfgs {
		at := path.Index(i)
		conf.Check(cfg, UpgradeFields(), at, s.errs)
		u := route.Upgrade{Type: strings.ToLower(cfg.GetUpgradeType()), Enabled: cfg.GetEnabled() == nil || cfg.GetEnabled().GetValue()}
		switch {
		case u.Type == "":
			s.errs.Add(at.Field("upgrade_type"), "must not be empty")
		case seen[u.Type]:
			s.errs.Add(at.Field("upgrade_type"), "upgrade %q is listed twice", u.Type)
		}
		seen[u.Type] = true
		if c := cfg.GetConnectConfig(); c != nil {
			if u.Type != "connect" {
				s.errs.Add(at.Field("connect_config"), "is for CONNECT only")
			}
			u.Connect = &route.Connect{AllowPost: c.GetAllowPost()}
			if p := c.GetProxyProtocolConfig(); p != nil {
				u.Connect.ProxyHeader = int(p.GetVersion()) + 1
			}
		}
		out = append(out, u)
	}
	return out
}
