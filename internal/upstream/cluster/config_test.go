package cluster

import (
	"strings"
	"testing"
	"time"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3" // a policy that is not implemented
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"                    // a transport socket that is not implemented

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

func load(t *testing.T, yaml string) *clusterv3.Cluster {
	t.Helper()
	msg := &clusterv3.Cluster{}
	if _, err := protoconv.Load(msg, protoconv.Options{}, protoconv.Source{Name: "c.yaml", Kind: protoconv.YAML, Data: []byte(yaml)}); err != nil {
		t.Fatalf("%s\n%v", yaml, err)
	}
	return msg
}

func mustParse(t *testing.T, yaml string) *Config {
	t.Helper()
	var errs conf.Errors
	c := Parse(load(t, yaml), testContext(), conf.Path{}, &errs)
	if c == nil {
		t.Fatalf("%s\n%v", yaml, errs)
	}
	return c
}

func TestFields(t *testing.T) {
	for _, f := range Fields() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(f.Message)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Split(d.(protoreflect.MessageDescriptor)); err != nil {
			t.Error(err)
		}
	}
}

const oneHost = `load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}`

const oneName = `load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: x.example, port_value: 80}}}}]}]}`

func httpOptions(inside string) string {
	return "name: a\ntyped_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': " +
		"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, " + inside + "}}\n" + oneHost
}

func policies(types ...string) string {
	var list []string
	for _, typ := range types {
		list = append(list, "{typed_extension_config: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.load_balancing_policies."+typ+"}}}")
	}
	return "name: a\nload_balancing_policy: {policies: [" + strings.Join(list, ", ") + "]}\n" + oneHost
}

const typedPolicy = "load_balancing_policy.policies[0].typed_extension_config.typed_config"

// TestCorpus has configurations and the errors they get; "" for none.
func TestCorpus(t *testing.T) {
	const options = `typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]`
	for _, tc := range []struct{ yaml, want string }{
		{"name: a", ""},
		{"name: a\n" + oneHost, ""},
		{"name: a\ntype: STRICT_DNS\n" + oneName, ""},
		{"name: a\ntype: LOGICAL_DNS\n" + oneName, ""},
		{"name: a\ntype: LOGICAL_DNS\n" + oneHost, ""},
		{"name: a\n" + oneName, "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: malformed IP address: x.example. " +
			"Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"},
		{"name: a\ntype: EDS", "type: value EDS is not implemented"},
		{originalDst, ""},
		{"name: a\ntype: ORIGINAL_DST", "lb_policy: LB policy ROUND_ROBIN is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'"},
		{originalDst + oneHost, "load_assignment: ORIGINAL_DST clusters must have no load assignment configured"},
		{originalDst + "original_dst_lb_config: {http_header_name: x}", "original_dst_lb_config.http_header_name: needs use_http_header"},
		{originalDst + "original_dst_lb_config: {metadata_key: {key: a, path: [{key: b}]}}", "original_dst_lb_config.metadata_key: field metadata_key is not implemented"},
		{"name: a\nlb_policy: CLUSTER_PROVIDED\n" + oneHost, "lb_policy: LB policy CLUSTER_PROVIDED is not valid for Cluster type STATIC"},
		{"name: a\ntype: LOGICAL_DNS", "load_assignment.endpoints: LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"},
		{"name: a\ncluster_type: {name: envoy.cluster.dns, typed_config: {'@type': type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: V4_ONLY}}\n" + oneName, ""},
		{"name: a\ncluster_type: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}",
			"cluster_type.typed_config: cluster type x is not implemented"},
		{"name: a\ncluster_type: {name: envoy.cluster.dns, typed_config: {'@type': type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, typed_dns_resolver_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}\n" + oneName,
			"cluster_type.typed_config.typed_dns_resolver_config: field typed_dns_resolver_config is not implemented"},
		{"name: a\nlb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 20, hash_function: MURMUR_HASH_2}\n" + oneHost, ""},
		{"name: a\nlb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 9}\n" + oneHost,
			"ring_hash_lb_config: ring hash: minimum_ring_size (10) > maximum_ring_size (9)"},
		{"name: a\nlb_policy: MAGLEV\nmaglev_lb_config: {table_size: 65536}\n" + oneHost, "maglev_lb_config.table_size: the table size of maglev must be a prime number"},
		{"name: a\nlb_policy: MAGLEV\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 100}}\n" + oneHost,
			"common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing: cannot use hostname for consistent hashing: the type of the cluster is not STRICT_DNS"},
		{"name: a\ntype: STRICT_DNS\nlb_policy: MAGLEV\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}\n" + oneName, ""},
		{policies("ring_hash.v3.RingHash, consistent_hashing_lb_config: {hash_balance_factor: 150}, maximum_ring_size: 1000"),
			typedPolicy + ": ring hash: minimum_ring_size (1024) > maximum_ring_size (1000)"},
		{policies("maglev.v3.Maglev, consistent_hashing_lb_config: {hash_policy: [{terminal: true, header: {header_name: x}}]}"),
			typedPolicy + ".consistent_hashing_lb_config.hash_policy: field hash_policy is not implemented"},
		{"name: a\nlb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 3, active_request_bias: {default_value: 0.5, runtime_key: k}}", ""},
		{"name: a\nround_robin_lb_config: {}", ""},
		{"name: a\nround_robin_lb_config: {slow_start_config: {slow_start_window: 1s}}", ""},
		{"name: a\ncommon_lb_config: {healthy_panic_threshold: {value: 10}}", ""},
		{"name: a\ncommon_lb_config: {locality_weighted_lb_config: {}}", ""},
		{policies("round_robin.v3.RoundRobin"), ""},
		{policies("random.v3.Random"), ""},
		{policies("cluster_provided.v3.ClusterProvided", "least_request.v3.LeastRequest, choice_count: 5"), ""},
		{policies("cluster_provided.v3.ClusterProvided"), "load_balancing_policy.policies: none of these load balancing policies is implemented; there are round_robin, least_request, random, ring_hash and maglev"},
		{policies("maglev.v3.Maglev, table_size: 3, locality_weighted_lb_config: {}"), ""},
		{policies("least_request.v3.LeastRequest, selection_method: FULL_SCAN, locality_lb_config: {locality_weighted_lb_config: {}}"), ""},
		{policies("round_robin.v3.RoundRobin, slow_start_config: {slow_start_window: 10s, min_weight_percent: {value: 5}}"), ""},
		{policies("least_request.v3.LeastRequest, slow_start_config: {slow_start_window: -1s}"), typedPolicy + ".slow_start_config.slow_start_window: must not be negative"},
		{policies("random.v3.Random, locality_lb_config: {zone_aware_lb_config: {}}"),
			typedPolicy + ".locality_lb_config.zone_aware_lb_config: field zone_aware_lb_config is not implemented"},
		{"name: a\nlb_policy: LOAD_BALANCING_POLICY_CONFIG", "load_balancing_policy: must be set if lb_policy is LOAD_BALANCING_POLICY_CONFIG"},
		{"name: a\ncircuit_breakers: {thresholds: [{max_connections: 1, track_remaining: true}], per_host_thresholds: [{max_connections: 2}]}", ""},
		{"name: a\ncircuit_breakers: {thresholds: [{retry_budget: {budget_interval: 1s}, max_connection_pools: 1}], per_host_thresholds: [{max_requests: 2}]}",
			"circuit_breakers.thresholds[0].retry_budget.budget_interval: field budget_interval is not implemented\n" +
				"circuit_breakers.thresholds[0].max_connection_pools: field max_connection_pools is not implemented\n" +
				"circuit_breakers.per_host_thresholds[0].max_requests: field max_requests is not implemented"},
		{"name: a\nhealth_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]\noutlier_detection: {}\nlb_subset_config: {}",
			"health_checks: field health_checks is not implemented\noutlier_detection: field outlier_detection is not implemented\nlb_subset_config: field lb_subset_config is not implemented"},
		{"name: a\nload_assignment: {cluster_name: a, named_endpoints: {x: {}}, policy: {drop_overloads: [{category: x}]}}",
			"load_assignment.named_endpoints: field named_endpoints is not implemented\nload_assignment.policy.drop_overloads: field drop_overloads is not implemented"},
		{"name: a\nload_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /tmp/x}}}}]}]}", ""},
		{"name: a\ntype: STRICT_DNS\nload_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /tmp/x}}}}]}]}",
			"load_assignment.endpoints[0].lb_endpoints[0].endpoint.address: STRICT_DNS clusters have no Unix sockets"},
		{"name: a\nload_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {protocol: UDP, address: 10.0.0.1, port_value: 80}}}}]}]}",
			"load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.protocol: value UDP is not implemented"},
		{httpOptions("explicit_http_config: {http_protocol_options: {enable_trailers: true}}"), ""},
		{httpOptions("use_downstream_protocol_config: {http_protocol_options: {}}, common_http_protocol_options: {idle_timeout: 5s, max_requests_per_connection: 3}"), ""},
		{httpOptions("explicit_http_config: {http3_protocol_options: {}}"), options + ".explicit_http_config.http3_protocol_options: field http3_protocol_options is not implemented"},
		{httpOptions("use_downstream_protocol_config: {http3_protocol_options: {}}"), options + ".use_downstream_protocol_config.http3_protocol_options: field http3_protocol_options is not implemented"},
		{httpOptions("auto_config: {http3_protocol_options: {}}"), options + ".auto_config.http3_protocol_options: field http3_protocol_options is not implemented"},
		{httpOptions("explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {max_stream_duration: 1s}"), ""},
		{httpOptions("explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}"), ""},
		{httpOptions("explicit_http_config: {http_protocol_options: {accept_http_10: true, allow_absolute_url: false, default_host_for_http_10: x}}"), ""},
		{httpOptions("explicit_http_config: {http_protocol_options: {ignore_http_11_upgrade: [{exact: x}]}}"),
			options + ".explicit_http_config.http_protocol_options.ignore_http_11_upgrade: field ignore_http_11_upgrade is not implemented"},
		{httpOptions("explicit_http_config: {http_protocol_options: {header_key_format: {stateful_formatter: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}}"),
			options + ".explicit_http_config.http_protocol_options.header_key_format.stateful_formatter.typed_config: header formatter x is not implemented"},
		{httpOptions("explicit_http_config: {http_protocol_options: {}}, header_validation_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}"),
			options + ".header_validation_config: field header_validation_config is not implemented"},
		{"name: a\ntyped_extension_protocol_options: {x: {'@type': type.googleapis.com/google.protobuf.Empty}}", `typed_extension_protocol_options["x"]: protocol options x are not implemented`},
		{"name: a\ntransport_socket: {name: envoy.transport_sockets.raw_buffer}", ""},
		{"name: a\ntransport_socket: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}", ""},
		{"name: a\ntransport_socket: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}",
			"transport_socket.typed_config: transport socket envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext is not implemented"},
		{"name: a\ntransport_socket: {name: envoy.transport_sockets.tls}", "transport_socket.typed_config: must be set"},
		{"name: a\nupstream_bind_config: {source_address: {address: 10.0.0.9, port_value: 0}}\nupstream_connection_options: {tcp_keepalive: {keepalive_time: 5}}", ""},
		{"name: a\nupstream_bind_config: {source_address: {address: name, port_value: 0}}", "upstream_bind_config.source_address.address: malformed IP address: name"},
		{"name: a\ndns_failure_refresh_rate: {base_interval: 5s, max_interval: 1s}\ntype: STRICT_DNS",
			"dns_failure_refresh_rate: dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval"},
		{"name: a\nwait_for_warm_on_init: false\ncleanup_interval: 5s\nignore_health_on_host_removal: true\nmetadata: {filter_metadata: {x: {y: 1}}}", ""},
	} {
		msg := load(t, tc.yaml)
		var errs conf.Errors
		c := Parse(msg, testContext(), conf.Path{}, &errs)
		if got := errs.Error(); got != tc.want || (c == nil) != (tc.want != "") {
			t.Errorf("%s\ngot\n%s\nwant\n%s", tc.yaml, got, tc.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, "name: a\n"+oneHost)
	if c.Info.ConnectTimeout.Seconds() != 5 || c.Info.PerConnectionBufferLimit != 1<<20 || c.Info.ObservabilityName != "a" || !c.WaitForWarm {
		t.Errorf("%+v", c.Info)
	}
	if l := c.Limits[1]; l.Connections != 1024 || l.PendingRequests != 1024 || l.Requests != 1024 || l.Retries != 3 {
		t.Errorf("%+v", l)
	}
	if p := c.Protocol; p.IdleTimeout.Hours() != 1 || p.MaxRequestsPerConnection != 0 || p.Codec.MaxHeadersKB != 80 || p.Codec.MaxHeaders != 100 {
		t.Errorf("%+v", p)
	}
	if b := c.Balancing; b.OverprovisioningFactor != 140 || b.PanicThreshold != 50 || b.ChoiceCount != 2 || b.ActiveRequestBias != 1 {
		t.Errorf("%+v", b)
	}
	if d := c.DNS; d.RefreshRate.Seconds() != 5 || d.FailureBase != 0 || d.RespectTTL {
		t.Errorf("%+v", d)
	}
}

// TestOldProtocolFields has the options of HTTP where they stood before, and the new
// ones win.
func TestOldProtocolFields(t *testing.T) {
	old := "name: a\nmax_requests_per_connection: 7\ncommon_http_protocol_options: {idle_timeout: 3s, max_headers_count: 9}\nhttp_protocol_options: {enable_trailers: true}\n"
	if p := mustParse(t, old).Protocol; p.MaxRequestsPerConnection != 7 || p.IdleTimeout.Seconds() != 3 || p.Codec.MaxHeaders != 9 || !p.Codec.EnableTrailers {
		t.Errorf("%+v", p)
	}
	both := old + strings.TrimPrefix(httpOptions("explicit_http_config: {http_protocol_options: {}}"), "name: a\n")
	if p := mustParse(t, both).Protocol; p.MaxRequestsPerConnection != 0 || p.IdleTimeout.Hours() != 1 || p.Codec.EnableTrailers {
		t.Errorf("%+v", p)
	}
}

func TestParseAll(t *testing.T) {
	var errs conf.Errors
	got := ParseAll([]*clusterv3.Cluster{{Name: "a"}, {Name: "b"}, {Name: "a"}}, testContext(), conf.Path{}.Field("clusters"), &errs)
	if len(got) != 2 || errs.Error() != `clusters[2].name: duplicate cluster "a"` {
		t.Error(len(got), errs)
	}
}

// TestWhatTheRouterReads: limits of streams and retries, and whether hashes count.
func TestWhatTheRouterReads(t *testing.T) {
	var errs conf.Errors
	c := Parse(&clusterv3.Cluster{
		Name: "a", LbPolicy: clusterv3.Cluster_MAGLEV,
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{MaxStreamDuration: durationpb.New(3 * time.Second)},
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
			{RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{}},
			{Priority: corev3.RoutingPriority_HIGH, RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
				BudgetPercent: &typev3.Percent{Value: 50}, MinRetryConcurrency: wrapperspb.UInt32(7),
			}},
		}},
	}, testContext(), conf.Path{}, &errs)
	if c == nil {
		t.Fatal(errs.Err())
	}
	if c.Info.MaxStreamDuration != 3*time.Second || !c.Info.PicksByHash {
		t.Errorf("%+v", c.Info)
	}
	for p, want := range []upstream.RetryBudget{{Percent: 20, MinConcurrency: 3}, {Percent: 50, MinConcurrency: 7}} {
		if got := c.Limits[p].RetryBudget; got == nil || *got != want {
			t.Errorf("budget %v, want %v", got, want)
		}
	}
}
