package cluster

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/addr"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// Envoy's defaults.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultBufferLimit    = 1 << 20
	defaultPanicThreshold = 50
	defaultLimit          = 1024
	defaultRetries        = 3
	defaultRetryBudget    = 20 // percent
)

// A Config is one cluster's configuration. It is immutable.
type Config struct {
	// Message is what the configuration was read from; admin shows it.
	Message *clusterv3.Cluster

	Info        upstream.Info
	Discovery   Discovery
	OriginalDst OriginalDst // of OriginalDestination
	Endpoints   []Endpoint
	DNS         DNS
	WaitForWarm bool
	Balancing   Balancing
	Limits      [2]Limits // by upstream.Priority
	Protocol    Protocol
	Socket      sock.ConnectOptions
	Transports  Transports
	Preconnect  Preconnect
}

// Limits are the circuit breakers of a priority.
type Limits struct {
	Connections, PendingRequests, Requests, Retries int64
	ConnectionsPerHost                              int64
	TrackRemaining                                  bool
	RetryBudget                                     *upstream.RetryBudget // nil for none
}

// Fields lists the fields that are implemented, of all messages that this package
// reads.
func Fields() []conf.Fields {
	return append([]conf.Fields{clusterFields(), dnsClusterFields(), loadAssignmentFields()}, append(balancingFields(), protocolFields()...)...)
}

func clusterFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.cluster.v3.Cluster", Names: []string{
		"name", "alt_stat_name", "type", "cluster_type", "connect_timeout", "per_connection_buffer_limit_bytes",
		"lb_policy", "load_balancing_policy.policies.typed_extension_config",
		"least_request_lb_config.choice_count", "least_request_lb_config.active_request_bias", "least_request_lb_config.slow_start_config", "round_robin_lb_config",
		"ring_hash_lb_config.minimum_ring_size", "ring_hash_lb_config.maximum_ring_size", "ring_hash_lb_config.hash_function",
		"maglev_lb_config.table_size", "common_lb_config.healthy_panic_threshold",
		"common_lb_config.locality_weighted_lb_config",
		"common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing",
		"common_lb_config.consistent_hashing_lb_config.hash_balance_factor", "load_assignment",
		"circuit_breakers.thresholds.priority", "circuit_breakers.thresholds.max_connections",
		"circuit_breakers.thresholds.max_pending_requests", "circuit_breakers.thresholds.max_requests",
		"circuit_breakers.thresholds.max_retries", "circuit_breakers.thresholds.track_remaining",
		"circuit_breakers.thresholds.retry_budget.budget_percent", "circuit_breakers.thresholds.retry_budget.min_retry_concurrency",
		"circuit_breakers.per_host_thresholds.priority", "circuit_breakers.per_host_thresholds.max_connections",
		"max_requests_per_connection", "common_http_protocol_options", "http_protocol_options", "http2_protocol_options", "upstream_http_protocol_options", "protocol_selection", "typed_extension_protocol_options",
		"dns_refresh_rate", "dns_jitter", "dns_failure_refresh_rate", "respect_dns_ttl", "dns_lookup_family",
		"wait_for_warm_on_init", "cleanup_interval", "original_dst_lb_config.use_http_header",
		"original_dst_lb_config.http_header_name", "original_dst_lb_config.upstream_port_override", "metadata.filter_metadata", "ignore_health_on_host_removal",
		"upstream_bind_config.source_address", "upstream_bind_config.freebind", "upstream_bind_config.socket_options",
		"upstream_connection_options.tcp_keepalive", "transport_socket",
		"transport_socket_matches.name", "transport_socket_matches.match", "transport_socket_matches.transport_socket",
		"preconnect_policy.per_upstream_preconnect_ratio", "preconnect_policy.predictive_preconnect_ratio", "preconnect_policy.preconnect_enabled_metadata",
	}}
}

// ParseAll reads the clusters of a list, whose names must differ. Main goroutine.
func ParseAll(msgs []*clusterv3.Cluster, ctx extension.Context, path conf.Path, errs *conf.Errors) []*Config {
	var configs []*Config
	seen := map[string]bool{}
	for i, msg := range msgs {
		if seen[msg.GetName()] {
			errs.Add(path.Index(i).Field("name"), "duplicate cluster %q", msg.GetName())
			continue
		}
		seen[msg.GetName()] = true
		if c := Parse(msg, ctx, path.Index(i), errs); c != nil {
			configs = append(configs, c)
		}
	}
	return configs
}

// Parse reads the configuration of a cluster. ctx.Stats is the root scope. What is wrong
// goes to errs; the result is nil then. Who does not pass the result to Manager.Add
// calls its Discard. Main goroutine.
func Parse(msg *clusterv3.Cluster, ctx extension.Context, path conf.Path, errs *conf.Errors) *Config {
	before := len(*errs)
	conf.Check(msg, clusterFields(), path, errs)
	c := &Config{Message: msg, Info: info(msg), WaitForWarm: msg.GetWaitForWarmOnInit() == nil || msg.GetWaitForWarmOnInit().GetValue()}
	if msg.GetName() == "" {
		errs.Add(path.Field("name"), "must not be empty")
	}
	if c.Info.ConnectTimeout <= 0 {
		errs.Add(path.Field("connect_timeout"), "must be greater than 0s")
	}
	c.parseDiscovery(msg, path, errs)
	c.Endpoints = parseLoadAssignment(msg.GetLoadAssignment(), c.Discovery, path.Field("load_assignment"), errs)
	c.parseOriginalDst(msg, path, errs)
	c.Balancing = parseBalancing(msg, path, errs)
	c.Limits = parseLimits(msg.GetCircuitBreakers())
	c.Protocol = parseProtocol(msg, ctx, path, errs)
	c.Info.MaxResponseHeadersKB = c.Protocol.Codec.MaxHeadersKB
	c.Info.MaxStreamDuration = c.Protocol.MaxStreamDuration
	c.Info.PicksByHash = c.Balancing.Policy == lb.RingHash || c.Balancing.Policy == lb.Maglev
	c.Socket = parseSocket(msg, path, errs)
	c.Preconnect = parsePreconnect(msg.GetPreconnectPolicy(), path.Field("preconnect_policy"), errs)
	c.Transports = parseTransports(msg, ctx, c.Info.ObservabilityName, path, errs)
	if c.Protocol.Speaks == connpool.ByALPN && len(*errs) == before {
		c.Transports.checkALPN(c.Info.Name, path, errs)
	}
	if len(*errs) > before {
		c.Discard()
		return nil
	}
	return c
}

// Discard lets go what Parse took, of a configuration that is not used. Main goroutine.
func (c *Config) Discard() { c.Transports.release() }

func info(msg *clusterv3.Cluster) upstream.Info {
	i := upstream.Info{
		Name: msg.GetName(), ObservabilityName: msg.GetAltStatName(),
		ConnectTimeout:           durationOr(msg.GetConnectTimeout(), defaultConnectTimeout),
		PerConnectionBufferLimit: int(uint32Or(msg.GetPerConnectionBufferLimitBytes(), defaultBufferLimit)),
		Metadata:                 metadata(msg.GetMetadata()),
	}
	if i.ObservabilityName == "" {
		i.ObservabilityName = i.Name
	}
	return i
}

func metadata(msg *corev3.Metadata) map[string]*structpb.Struct { return msg.GetFilterMetadata() }

func durationOr(d *durationpb.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.AsDuration()
}

func uint32Or(v *wrapperspb.UInt32Value, otherwise uint32) uint32 {
	if v == nil {
		return otherwise
	}
	return v.GetValue()
}

// parseLimits reads the circuit breakers. Of several thresholds for a priority the
// first one counts.
func parseLimits(msg *clusterv3.CircuitBreakers) [2]Limits {
	var limits [2]Limits
	for p, priority := range []corev3.RoutingPriority{corev3.RoutingPriority_DEFAULT, corev3.RoutingPriority_HIGH} {
		t, perHost := thresholds(msg.GetThresholds(), priority), thresholds(msg.GetPerHostThresholds(), priority)
		limits[p] = Limits{
			Connections:        int64(uint32Or(t.GetMaxConnections(), defaultLimit)),
			PendingRequests:    int64(uint32Or(t.GetMaxPendingRequests(), defaultLimit)),
			Requests:           int64(uint32Or(t.GetMaxRequests(), defaultLimit)),
			Retries:            int64(uint32Or(t.GetMaxRetries(), defaultRetries)),
			TrackRemaining:     t.GetTrackRemaining(),
			ConnectionsPerHost: math.MaxInt64,
			RetryBudget:        retryBudget(t.GetRetryBudget()),
		}
		if perHost.GetMaxConnections() != nil {
			limits[p].ConnectionsPerHost = int64(perHost.GetMaxConnections().GetValue())
		}
	}
	return limits
}

// retryBudget reads a budget for retries, nil for none.
func retryBudget(msg *clusterv3.CircuitBreakers_Thresholds_RetryBudget) *upstream.RetryBudget {
	if msg == nil {
		return nil
	}
	b := &upstream.RetryBudget{Percent: defaultRetryBudget, MinConcurrency: int64(uint32Or(msg.GetMinRetryConcurrency(), defaultRetries))}
	if p := msg.GetBudgetPercent(); p != nil {
		b.Percent = p.GetValue()
	}
	return b
}

func thresholds(msgs []*clusterv3.CircuitBreakers_Thresholds, p corev3.RoutingPriority) *clusterv3.CircuitBreakers_Thresholds {
	for _, t := range msgs {
		if t.GetPriority() == p {
			return t
		}
	}
	return nil
}

func parseSocket(msg *clusterv3.Cluster, path conf.Path, errs *conf.Errors) sock.ConnectOptions {
	bind, at := msg.GetUpstreamBindConfig(), path.Field("upstream_bind_config")
	o := sock.ConnectOptions{
		Freebind: bind.GetFreebind().GetValue(),
		Options:  addr.ParseOptions(bind.GetSocketOptions(), at.Field("socket_options"), errs),
	}
	if keepAlive := msg.GetUpstreamConnectionOptions().GetTcpKeepalive(); keepAlive != nil {
		o.KeepAlive = addr.ParseKeepAlive(keepAlive, path.Field("upstream_connection_options").Field("tcp_keepalive"), errs)
	}
	if bind.GetSourceAddress() != nil {
		spec := addr.ParseSocketAddress(bind.GetSourceAddress(), at.Field("source_address"), errs)
		if spec.Host != "" {
			errs.Add(at.Field("source_address").Field("address"), "malformed IP address: %s", spec.Host)
		}
		o.Source = spec.Address
	}
	return o
}
