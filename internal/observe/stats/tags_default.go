package stats

import (
	"regexp"
	"strings"
)

// A defaultTag is one of Envoy's extractors. Its pattern is a token pattern (see
// findToken), or a regular expression if it starts with "^" or "_", with these
// abbreviations: <v> any token, <a> an address with its port, <c> a name of words and
// dashes.
type defaultTag struct {
	tag       string // without "envoy."
	pattern   string
	substring string
}

var abbreviations = strings.NewReplacer(
	"<v>", `[^\.]+`,
	"<a>", `(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)`,
	"<c>", `[\w-]+`,
)

// defaultExtractors returns Envoy's extractors: names and what they find are part
// of its interface, as labels in Prometheus.
func defaultExtractors() []extractor {
	tags := []defaultTag{
		{"response_code", `_rq(_(\d{3}))$`, "_rq_"},
		{"response_code_class", `_rq_((\d))xx$`, "_rq_"},
		{"dynamo_partition_id", `^http\.<v>\.dynamodb\.table\.<v>\.capacity\.<v>(\.__partition_id=(\w{7}))$`, ".dynamodb.table."},
		{"dynamo_operation", `^http\.<v>\.dynamodb.(?:operation|table\.<v>\.capacity)(\.(<v>))(?:\.|$)`, ".dynamodb."},
		{"mongo_callsite", "mongo.*.collection.*.callsite.$.query.**", ""},
		{"dynamo_table", `^http\.<v>\.dynamodb.(?:table|error)\.((<v>)\.)`, ".dynamodb."},
		{"mongo_collection", "mongo.*.collection.$.**.query.*", ""},
		{"mongo_cmd", "mongo.*.cmd.$.**", ""},
		{"grpc_bridge_method", "cluster.*.grpc.*.$.**", ""},
		{"http_user_agent", "http.*.user_agent.$.**", ""},
		{"virtual_cluster", "vhost.*.vcluster.$.**", ""},
		{"fault_downstream_cluster", "http.*.fault.$.**", ""},
		{"ssl_cipher", `^listener\..*?\.ssl\.ciphers(\.(<c>))$`, ".ssl.ciphers."},
		{"ssl_curve", `^(?:listener|cluster)\..*?\.ssl\.curves(\.(<c>))$`, ".ssl.curves."},
		{"ssl_sigalg", `^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.(<c>))$`, ".ssl.sigalgs."},
		{"ssl_version", `^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$`, ".ssl.versions."},
		{"ssl_cipher_suite", `^cluster\.<v>\.ssl\.ciphers(\.(<c>))$`, ".ssl.ciphers."},
		{"grpc_bridge_service", "cluster.*.grpc.$.**", ""},
		{"tcp_prefix", "tcp.$.**", ""},
		{"udp_prefix", "udp.$.**", ""},
		{"clientssl_prefix", "auth.clientssl.$.**", ""},
		{"ratelimit_prefix", "ratelimit.$.**", ""},
		{"cluster_name", "cluster.$.**", ""},
		{"health_check_name", `^cluster\.<v>\.health_check(\.name\.(<v>))\..+`, ".health_check."},
		{"http_conn_manager_prefix", `^listener\..*?\.http\.((<v>)\.)`, ".http."},
		{"ext_authz_prefix", "http.*.ext_authz.$.**", ""},
		{"ext_authz_prefix", "cluster.*.ext_authz.$.**", ""},
		{"rds_route_config", `^http\.<v>\.rds\.(([\w-\.]+)\.)\w+?$`, ".rds."},
		{"scoped_rds_config", `^http\.<v>\.scoped_rds\.(([\w-\./]+)\.)\w+?$`, ".scoped_rds."},
		{"rbac_policy_name", `^http\.<v>\.rbac\.(?:<v>\.)?policy\.((<v>)\.)(allowed|shadow_allowed|denied|shadow_denied)$`, ".policy."},
		{"rbac_http_prefix", `^http\.<v>\.rbac\.((<v>)\.).*?`, ".rbac."},
		{"http_conn_manager_prefix", "http.$.**", ""},
		{"listener_address", `^listener\.((<a>|<v>)\.)`, ""},
		{"virtual_host", "vhost.$.**", ""},
		{"mongo_prefix", "mongo.$.**", ""},
		{"route", "vhost.*.route.$.**", ""},
		{"worker_id", `^(?:listener\.(?:<a>|<v>)|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)`, "worker_"},
		{"thrift_prefix", "thrift.$.**", ""},
		{"redis_prefix", "redis.$.**", ""},
		{"dns_filter_prefix", "dns_filter.$.**", ""},
		{"connection_limit_prefix", "connection_limit.$.**", ""},
		{"rbac_prefix", "$.rbac.**", ""},
		{"proxy_protocol_prefix", `^proxy_proto\.((<v>)\.).+$`, ""},
		{"proxy_protocol_version", `^proxy_proto\.((?:<v>\.)?versions\.v(\d)\.)\w+$`, "versions"},
		{"local_http_ratelimit_prefix", "$.http_local_rate_limit.**", ""},
		{"local_network_ratelimit_prefix", "local_rate_limit.$.**", ""},
		{"local_listener_ratelimit_prefix", "listener_local_ratelimit.$.**", ""},
		{"google_grpc_client_prefix", "grpc.$.**", ""},
		{"tls_certificate", `^(?:listener|cluster)\..*?\.ssl\.certificate\.((<v>)\.).*$`, ".ssl.certificate."},
		{"xds_resource_name", `^sds\.((<v>)\.).+`, ""},
	}
	extractors := make([]extractor, len(tags))
	for i, t := range tags {
		extractors[i] = extractor{tag: "envoy." + t.tag, substring: t.substring}
		if strings.ContainsAny(t.pattern[:1], "^_") {
			extractors[i].regex = regexp.MustCompile(abbreviations.Replace(t.pattern))
		} else {
			extractors[i].tokens = strings.Split(t.pattern, ".")
		}
	}
	return extractors
}
