package route

import (
	"math"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
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
	}
	if cfg.GetPriority() == corev3.RoutingPriority_HIGH {
		f.Priority = upstream.High
	}
	if p := cfg.GetRetryPolicy(); p != nil {
		f.Retry = s.retryPolicy(p, path.Field("retry_policy"))
	}
	s.optional(&f.Timeout, cfg.GetTimeout(), path.Field("timeout"))
	f.HasIdleTimeout = cfg.GetIdleTimeout() != nil
	s.optional(&f.IdleTimeout, cfg.GetIdleTimeout(), path.Field("idle_timeout"))
	longest := cfg.GetMaxStreamDuration().GetMaxStreamDuration()
	f.HasMaxStreamDuration = longest != nil
	s.optional(&f.MaxStreamDuration, longest, path.Field("max_stream_duration").Field("max_stream_duration"))
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
	case *routev3.RouteAction_ClusterSpecifierPlugin, *routev3.RouteAction_InlineClusterSpecifierPlugin: // refused by their fields
	default:
		s.errs.Add(path, "one of cluster, cluster_header, weighted_clusters is required")
	}
}

// known checks the name of a cluster.
func (s *hostScope) known(name string, path conf.Path) string {
	switch {
	case name == "":
		s.errs.Add(path, "must not be empty")
	case s.ValidateClusters && !s.Clusters.Known(name):
		s.errs.Add(path, "unknown cluster %q", name)
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

func (s *hostScope) rewrite(cfg *routev3.RouteAction, matched *pathMatch, levels [3]level, path conf.Path) *rewrite {
	r := &rewrite{
		headers:   newMutations(levels[0].request, levels[1].request, levels[2].request),
		path:      pathRewrite{prefix: cfg.GetPrefixRewrite(), matched: matched.length()},
		forwarded: cfg.GetAppendXForwardedHost(),
	}
	if re := cfg.GetRegexRewrite(); re != nil {
		r.path.regex = match.NewSubstitution(re, path.Field("regex_rewrite"), s.errs)
		if cfg.GetPrefixRewrite() != "" {
			s.errs.Add(path, "prefix_rewrite and regex_rewrite must not both be set")
		}
	}
	switch h := cfg.GetHostRewriteSpecifier().(type) {
	case *routev3.RouteAction_HostRewriteLiteral:
		r.host.literal = h.HostRewriteLiteral
	case *routev3.RouteAction_HostRewriteHeader:
		r.host.header = headerName(h.HostRewriteHeader)
	case *routev3.RouteAction_HostRewritePathRegex:
		r.host.regex = match.NewSubstitution(h.HostRewritePathRegex, path.Field("host_rewrite_path_regex"), s.errs)
	}
	return r
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
		}
		out = append(out, u)
	}
	return out
}

// weighted is a set of variants of a route, one for each cluster.
type weighted struct {
	header string // its value is used in place of the random one
	routes []*route.Route
	ends   []uint64 // sums of the weights up to and with each route
}

func (s *hostScope) weighted(cfg *routev3.WeightedCluster, base *route.Route, path conf.Path) *weighted {
	if cfg == nil {
		return nil
	}
	conf.Check(cfg, WeightedClusterFields(), path, s.errs)
	w := &weighted{header: headerName(cfg.GetHeaderName())}
	total := uint64(0)
	for i, c := range cfg.GetClusters() {
		at := path.Field("clusters").Index(i)
		if c.GetWeight() == nil {
			s.errs.Add(at.Field("weight"), "is required")
		}
		total += uint64(c.GetWeight().GetValue())
		w.routes = append(w.routes, s.variant(c, base, at))
		w.ends = append(w.ends, total)
	}
	if total == 0 || total > math.MaxUint32 {
		s.errs.Add(path.Field("clusters"), "the sum of the weights must be from 1 to %d, and is %d", uint32(math.MaxUint32), total)
	}
	return w
}

// variant is the route for one of its weighted clusters.
func (s *hostScope) variant(cfg *routev3.WeightedCluster_ClusterWeight, base *route.Route, path conf.Path) *route.Route {
	conf.Check(cfg, ClusterWeightFields(), path, s.errs)
	r, f := *base, *base.Forward
	r.Forward = &f
	switch {
	case cfg.GetName() != "" && cfg.GetClusterHeader() != "":
		s.errs.Add(path, "only one of name and cluster_header may be set")
	case cfg.GetClusterHeader() != "":
		f.ClusterHeader = headerName(cfg.GetClusterHeader())
	default:
		f.Cluster = s.known(cfg.GetName(), path.Field("name"))
	}
	own := s.level(cfg, path)
	r.FilterConfigs = append(own.filters[:len(own.filters):len(own.filters)], base.FilterConfigs...)
	inherited, _ := base.Response.(mutations)
	r.Response = responseMutation(append(newMutations(own.response), inherited...))
	if outer, ok := base.Forward.Request.(*rewrite); ok {
		variant := *outer
		variant.inner = &rewrite{
			headers:   newMutations(own.request),
			host:      hostRewrite{literal: cfg.GetHostRewriteLiteral()},
			forwarded: outer.forwarded,
		}
		f.Request = &variant
	}
	return &r
}

// pick returns the route of a cluster. random is spread over the weights.
func (w *weighted) pick(h *httpmsg.Headers, random uint64) *route.Route {
	if w.header != "" {
		if n, ok := headerNumber(h, w.header); ok {
			random = n
		}
	}
	random %= w.ends[len(w.ends)-1]
	i := 0
	for w.ends[i] <= random {
		i++
	}
	return w.routes[i]
}

// headerNumber returns the value of a header that occurs once and is a number.
func headerNumber(h *httpmsg.Headers, name string) (n uint64, ok bool) {
	var room [2]string
	values := h.Values(room[:0], name)
	if len(values) != 1 || values[0] == "" {
		return 0, false
	}
	for _, c := range []byte(values[0]) {
		digit := uint64(c - '0')
		if digit > 9 || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
