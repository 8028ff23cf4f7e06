package route

import (
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
)

// TableFields lists the implemented fields of RouteConfiguration.
func TableFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteConfiguration",
		Names: []string{"name", "virtual_hosts", "response_headers_to_add", "response_headers_to_remove",
			"request_headers_to_add", "request_headers_to_remove", "most_specific_header_mutations_wins",
			"validate_clusters", "max_direct_response_body_size_bytes", "ignore_port_in_host_matching",
			"ignore_path_parameters_in_path_matching", "typed_per_filter_config", "vhost_header",
			"internal_only_headers"},
	}
}

// VirtualHostFields lists the implemented fields of VirtualHost.
func VirtualHostFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.VirtualHost",
		Names: []string{"name", "domains", "routes", "require_tls", "request_headers_to_add",
			"request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
			"typed_per_filter_config", "include_request_attempt_count", "include_attempt_count_in_response",
			"retry_policy", "request_body_buffer_limit", "metadata.filter_metadata", "matcher"},
	}
}

// RouteFields lists the implemented fields of Route.
func RouteFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.Route",
		Names: []string{"name", "match", "route", "redirect", "direct_response", "non_forwarding_action",
			"metadata.filter_metadata", "typed_per_filter_config", "request_headers_to_add",
			"request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
			"request_body_buffer_limit"},
	}
}

// MatchFields lists the implemented fields of RouteMatch.
func MatchFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteMatch",
		Names: []string{"prefix", "path", "safe_regex", "connect_matcher", "path_separated_prefix",
			"case_sensitive", "runtime_fraction", "headers", "query_parameters", "grpc", "cookies", "tls_context",
			"dynamic_metadata", "filter_state", "path_match_policy"},
	}
}

// ActionFields lists the implemented fields of RouteAction.
func ActionFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction",
		Names: []string{"cluster", "cluster_header", "weighted_clusters", "cluster_not_found_response_code",
			"prefix_rewrite", "regex_rewrite", "host_rewrite_literal", "auto_host_rewrite", "host_rewrite_header",
			"host_rewrite_path_regex", "append_x_forwarded_host", "timeout", "idle_timeout", "retry_policy",
			"priority", "upgrade_configs", "max_stream_duration.max_stream_duration"},
	}
}

// UpgradeFields lists the implemented fields of an upgrade of a route.
func UpgradeFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction.UpgradeConfig",
		Names:   []string{"upgrade_type", "enabled", "connect_config.allow_post"},
	}
}

// WeightedClusterFields lists the implemented fields of WeightedCluster. The
// weights are summed up, whatever total_weight says.
func WeightedClusterFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.WeightedCluster",
		Names:   []string{"clusters", "total_weight", "header_name"},
	}
}

// ClusterWeightFields lists the implemented fields of a member of WeightedCluster.
func ClusterWeightFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.WeightedCluster.ClusterWeight",
		Names: []string{"name", "cluster_header", "weight", "request_headers_to_add", "request_headers_to_remove",
			"response_headers_to_add", "response_headers_to_remove", "typed_per_filter_config",
			"host_rewrite_literal"},
	}
}

// RedirectFields lists the implemented fields of RedirectAction.
func RedirectFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RedirectAction",
		Names: []string{"https_redirect", "scheme_redirect", "host_redirect", "port_redirect", "path_redirect",
			"prefix_rewrite", "regex_rewrite", "response_code", "strip_query"},
	}
}

// DirectResponseFields lists the implemented fields of DirectResponseAction.
func DirectResponseFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.DirectResponseAction",
		Names:   []string{"status", "body.filename", "body.inline_bytes", "body.inline_string"},
	}
}

// RetryFields lists the implemented fields of RetryPolicy.
func RetryFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RetryPolicy",
		Names: []string{"retry_on", "num_retries", "per_try_timeout", "per_try_idle_timeout",
			"retry_host_predicate", "host_selection_retry_max_attempts", "retriable_status_codes", "retry_back_off",
			"retriable_headers", "retriable_request_headers"},
	}
}

// FilterConfigFields lists the implemented fields of FilterConfig.
func FilterConfigFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.FilterConfig",
		Names:   []string{"config", "is_optional", "disabled"},
	}
}

// Fields lists the fields of all messages of a route configuration.
func Fields() []conf.Fields {
	return []conf.Fields{TableFields(), VirtualHostFields(), RouteFields(), MatchFields(), ActionFields(),
		UpgradeFields(), WeightedClusterFields(), ClusterWeightFields(), RedirectFields(), DirectResponseFields(),
		RetryFields(), headeroption.Fields(), FilterConfigFields()}
}
