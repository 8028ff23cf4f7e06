// Package healthcheck is the filter envoy.filters.http.health_check: it answers
// the health checks of load balancers in front of the proxy.
package healthcheck

import (
	"maps"
	"slices"
	"time"

	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.HTTPFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.health_check" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &healthv3.HealthCheck{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.health_check.v3.HealthCheck",
		Names:   []string{"pass_through_mode", "cache_time", "cluster_min_healthy_percentages", "headers"},
	}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newConfig(msg.(*healthv3.HealthCheck), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(cfg, cb) }
}

// config is shared by the filters of a chain, on all workers. It is immutable, but
// for what is in cache.
type config struct {
	server      extension.Server
	clusters    upstream.Clusters
	passThrough bool
	headers     []*match.Header
	minimums    []minimum
	cache       *cache // nil if nothing is cached
	stats       filterStats
}

// A minimum is the share of a cluster's hosts that must be healthy or degraded.
type minimum struct {
	cluster string
	percent int
}

// filterStats are the statistics health_check.*.
type filterStats struct {
	requestTotal, failed, ok, cachedResponse, degraded *stats.Counter
	clusterNotFound, clusterEmpty, clusterUnhealthy    *stats.Counter
}

func newStats(s stats.Scope) filterStats {
	s = s.Scope("health_check.")
	return filterStats{
		requestTotal:     s.Counter("request_total"),
		failed:           s.Counter("failed"),
		ok:               s.Counter("ok"),
		cachedResponse:   s.Counter("cached_response"),
		degraded:         s.Counter("degraded"),
		clusterNotFound:  s.Counter("failed_cluster_not_found"),
		clusterEmpty:     s.Counter("failed_cluster_empty"),
		clusterUnhealthy: s.Counter("failed_cluster_unhealthy"),
	}
}

// newConfig checks the message. Errors go to errs, and it returns nil then.
func newConfig(m *healthv3.HealthCheck, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	cfg := &config{
		server:      ctx.Server,
		clusters:    ctx.Clusters,
		passThrough: m.GetPassThroughMode().GetValue(),
		headers:     match.NewHeaders(m.GetHeaders(), path.Field("headers"), errs),
	}
	if m.GetPassThroughMode() == nil {
		errs.Add(path.Field("pass_through_mode"), "must be set")
	}
	// Milliseconds, as Envoy counts: a shorter time is none.
	if d := m.GetCacheTime().AsDuration().Truncate(time.Millisecond); d > 0 {
		if !cfg.passThrough {
			errs.Add(path.Field("cache_time"), "must not be set when pass_through_mode is disabled")
		}
		cfg.cache = &cache{keep: d}
	}
	percentages := m.GetClusterMinHealthyPercentages()
	if cfg.passThrough && len(percentages) > 0 {
		errs.Add(path.Field("cluster_min_healthy_percentages"), "must not be set when pass_through_mode is enabled")
	}
	for _, name := range slices.Sorted(maps.Keys(percentages)) {
		percent := percentages[name].GetValue()
		if !(percent >= 0 && percent <= 100) {
			errs.Add(path.Field("cluster_min_healthy_percentages").Key(name), "must be from 0 to 100")
			continue
		}
		cfg.minimums = append(cfg.minimums, minimum{name, int(percent)})
	}
	if len(*errs) > before {
		return nil
	}
	cfg.stats = newStats(ctx.Stats)
	return cfg
}
