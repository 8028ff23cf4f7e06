package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// requestStats makes the statistics of a route or a virtual cluster: kind is "route"
// or "vcluster".
func (b *builder) requestStats(host, kind, name string) *route.RequestStats {
	scope := b.Root.Scope("vhost." + host + "." + kind + "." + name + ".")
	s := &route.RequestStats{
		Name:               name,
		Total:              scope.Counter("upstream_rq_total"),
		Timeout:            scope.Counter("upstream_rq_timeout"),
		Retry:              scope.Counter("upstream_rq_retry"),
		RetryLimitExceeded: scope.Counter("upstream_rq_retry_limit_exceeded"),
		RetryOverflow:      scope.Counter("upstream_rq_retry_overflow"),
		RetrySuccess:       scope.Counter("upstream_rq_retry_success"),
	}
	s.Responses.Init(scope)
	return s
}

// A virtualCluster is a kind of requests that has statistics of its own.
type virtualCluster struct {
	headers []*match.Header
	stats   *route.RequestStats
}

// virtualClusters builds the function of route.VirtualHost; it is nil if there are no
// virtual clusters.
func (b *builder) virtualClusters(cfg *routev3.VirtualHost, path conf.Path) func(*httpmsg.Headers) *route.RequestStats {
	var list []virtualCluster
	for i, c := range cfg.GetVirtualClusters() {
		at := path.Field("virtual_clusters").Index(i)
		conf.Check(c, VirtualClusterFields(), at, b.errs)
		if c.GetName() == "" {
			b.errs.Add(at.Field("name"), "must not be empty")
		}
		if len(c.GetHeaders()) == 0 {
			b.errs.Add(at.Field("headers"), "must not be empty")
		}
		list = append(list, virtualCluster{
			headers: match.NewHeaders(c.GetHeaders(), at.Field("headers"), b.errs),
			stats:   b.requestStats(cfg.GetName(), "vcluster", c.GetName()),
		})
	}
	if list == nil {
		return nil
	}
	other := b.requestStats(cfg.GetName(), "vcluster", "other")
	other.Name = "" // access logs show none
	return func(h *httpmsg.Headers) *route.RequestStats {
		for i := range list {
			if list[i].matches(h) {
				return list[i].stats
			}
		}
		return other
	}
}

func (c *virtualCluster) matches(h *httpmsg.Headers) bool {
	for _, m := range c.headers {
		if !m.MatchHeaders(h) {
			return false
		}
	}
	return true
}
