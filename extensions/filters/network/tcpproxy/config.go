// Package tcpproxy is the filter envoy.filters.network.tcp_proxy: it joins each
// connection with one of its own to a host of a cluster.
package tcpproxy

import (
	"time"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

const (
	defaultIdleTimeout = time.Hour
	// minInterval is the shortest maximum duration and log interval.
	minInterval = time.Millisecond
)

// Factory is the extension.NetworkFilterFactory of the filter.
type Factory struct{}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.tcp_proxy" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &tcpv3.TcpProxy{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", Names: []string{
		"stat_prefix", "cluster", "weighted_clusters.clusters.name", "weighted_clusters.clusters.weight", "idle_timeout",
		"access_log", "max_connect_attempts", "max_downstream_connection_duration",
		"max_downstream_connection_duration_jitter_percentage", "access_log_flush_interval",
		"flush_access_log_on_connected", "access_log_options", "hash_policy", "tunneling_config", "upstream_connect_mode",
		"max_early_data_bytes", "backoff_options", "proxy_protocol_tlvs", "proxy_protocol_tlv_merge_policy", "check_drain_close"}}, hashFields(), tunnelingFields(), backoffFields()}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return true }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	cfg := newConfig(msg.(*tcpv3.TcpProxy), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(newFilter(cfg)) }
}

// A config is what the filters of a chain share. It is immutable.
type config struct {
	clusters    upstream.Clusters
	routes      []route // at least one
	totalWeight uint64

	idleTimeout time.Duration // 0: none
	maxDuration time.Duration // 0: none
	jitter      float64       // part of maxDuration that is added at most
	maxAttempts int
	backoff     backoff
	hash        *hashPolicy // nil for none
	tunneling   *tunneling  // nil for none
	early       earlyConfig
	tlvs        []proxyheader.TLV // for PROXY protocol headers to hosts
	merge       tcpv3.ProxyProtocolTlvMergePolicy
	drain       network.DrainDecision // nil: connections outlive a drain

	logs           []accesslog.Logger
	logOnStart     bool
	logOnConnected bool
	logInterval    time.Duration // 0: none

	stats tcpStats
}

// A route is a cluster and the share of the connections that go there.
type route struct {
	cluster string
	weight  uint64
}

// pick returns the cluster for a connection with that random number.
func (c *config) pick(random uint64) string {
	if len(c.routes) == 1 {
		return c.routes[0].cluster
	}
	n := random % c.totalWeight
	for _, r := range c.routes {
		if n < r.weight {
			return r.cluster
		}
		n -= r.weight
	}
	return "" // not reached: the weights add up
}

func newConfig(msg *tcpv3.TcpProxy, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(msg, Factory{}.Fields()[0], path, errs)
	if msg.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	c := &config{clusters: ctx.Clusters, idleTimeout: defaultIdleTimeout, maxAttempts: 1}
	c.readRoutes(msg, path, errs)
	if v := msg.GetIdleTimeout(); v != nil {
		c.idleTimeout = v.AsDuration()
	}
	c.maxDuration = interval(msg.GetMaxDownstreamConnectionDuration(), path.Field("max_downstream_connection_duration"), errs)
	c.jitter = msg.GetMaxDownstreamConnectionDurationJitterPercentage().GetValue() / 100
	if v := msg.GetMaxConnectAttempts(); v != nil {
		if c.maxAttempts = int(v.GetValue()); c.maxAttempts == 0 {
			errs.Add(path.Field("max_connect_attempts"), "must be greater than 0")
		}
	}
	c.hash = newHashPolicy(msg.GetHashPolicy(), path.Field("hash_policy"), errs)
	c.backoff = newBackoff(msg.GetBackoffOptions(), path.Field("backoff_options"), errs)
	c.tunneling = newTunneling(msg.GetTunnelingConfig(), ctx.Context, path.Field("tunneling_config"), errs)
	c.early = newEarlyConfig(msg, path, errs)
	c.tlvs = proxyheader.ReadTLVs(msg.GetProxyProtocolTlvs(), ctx.Formats, path.Field("proxy_protocol_tlvs"), errs)
	c.merge = msg.GetProxyProtocolTlvMergePolicy()
	if msg.GetCheckDrainClose().GetValue() {
		c.drain = ctx.Listener.Drain
	}
	c.readLogging(msg, path, errs)
	c.logs = ctx.AccessLogs.Build(msg.GetAccessLog(), path.Field("access_log"), errs)
	if len(*errs) > before {
		return nil
	}
	c.stats = newStats(ctx.Stats.Scope("tcp." + msg.GetStatPrefix() + "."))
	return c
}

func (c *config) readRoutes(msg *tcpv3.TcpProxy, path conf.Path, errs *conf.Errors) {
	switch s := msg.GetClusterSpecifier().(type) {
	case *tcpv3.TcpProxy_Cluster:
		if s.Cluster == "" {
			errs.Add(path.Field("cluster"), "must not be empty")
		}
		c.routes, c.totalWeight = []route{{s.Cluster, 1}}, 1
	case *tcpv3.TcpProxy_WeightedClusters:
		path = path.Field("weighted_clusters").Field("clusters")
		for i, w := range s.WeightedClusters.GetClusters() {
			if w.GetName() == "" {
				errs.Add(path.Index(i).Field("name"), "must not be empty")
			}
			if w.GetWeight() == 0 {
				errs.Add(path.Index(i).Field("weight"), "must be greater than 0")
			}
			c.routes = append(c.routes, route{w.GetName(), uint64(w.GetWeight())})
			c.totalWeight += uint64(w.GetWeight())
		}
		if len(c.routes) == 0 {
			errs.Add(path, "must not be empty")
		}
	default:
		errs.Add(path, "one of cluster and weighted_clusters must be set")
	}
}

// readLogging reads when access logs are written; access_log_options overrides the
// deprecated fields.
func (c *config) readLogging(msg *tcpv3.TcpProxy, path conf.Path, errs *conf.Errors) {
	o := msg.GetAccessLogOptions()
	if o == nil {
		c.logOnConnected = msg.GetFlushAccessLogOnConnected()
		c.logInterval = interval(msg.GetAccessLogFlushInterval(), path.Field("access_log_flush_interval"), errs)
		return
	}
	c.logOnStart, c.logOnConnected = o.GetFlushAccessLogOnStart(), o.GetFlushAccessLogOnConnected()
	c.logInterval = interval(o.GetAccessLogFlushInterval(), path.Field("access_log_options").Field("access_log_flush_interval"), errs)
}

// interval reads a duration that must not be too short; nil is 0.
func interval(msg *durationpb.Duration, path conf.Path, errs *conf.Errors) time.Duration {
	d := msg.AsDuration()
	if msg != nil && d < minInterval {
		errs.Add(path, "must be at least %v, is %v", minInterval, d)
	}
	return d
}

// tcpStats are tcp.<stat_prefix>.*.
type tcpStats struct {
	total, noRoute, idleTimeout, maxDuration, drainClose, pausedReading, resumedReading, upstreamFlush, earlyData *stats.Counter
	flushActive                                                                                                   *stats.Gauge
	bytes                                                                                                         network.ConnectionStats
}

func newStats(scope stats.Scope) tcpStats {
	for _, name := range []string{"downstream_cx_overload_close", "route_delayed_total"} {
		scope.Counter(name) // of fields that are not implemented: there, and zero, as in Envoy
	}
	return tcpStats{
		total:          scope.Counter("downstream_cx_total"),
		noRoute:        scope.Counter("downstream_cx_no_route"),
		idleTimeout:    scope.Counter("idle_timeout"),
		drainClose:     scope.Counter("downstream_cx_drain_close"),
		maxDuration:    scope.Counter("max_downstream_connection_duration"),
		pausedReading:  scope.Counter("downstream_flow_control_paused_reading_total"),
		resumedReading: scope.Counter("downstream_flow_control_resumed_reading_total"),
		upstreamFlush:  scope.Counter("upstream_flush_total"),
		earlyData:      scope.Counter("early_data_received_count_total"),
		flushActive:    scope.Gauge("upstream_flush_active"),
		bytes: network.ConnectionStats{
			ReadTotal:     scope.Counter("downstream_cx_rx_bytes_total"),
			WriteTotal:    scope.Counter("downstream_cx_tx_bytes_total"),
			ReadBuffered:  scope.Gauge("downstream_cx_rx_bytes_buffered"),
			WriteBuffered: scope.Gauge("downstream_cx_tx_bytes_buffered"),
		},
	}
}
