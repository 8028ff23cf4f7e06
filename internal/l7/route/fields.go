package route

import (
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
)

// TableFields lists the implemented fields of RouteConfiguration. Typed metadata, here
// and below, is for extensions that ask for it, and none does; so is the metadata of a
// table.
func TableFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteConfiguration",
		Names: []string{"name", "virtual_hosts", "response_headers_to_add", "response_headers_to_remove",
			"request_headers_to_add", "request_headers_to_remove", "most_specific_header_mutations_wins",
			"validate_clusters", "max_direct_response_body_size_bytes", "ignore_port_in_host_matching",
			"ignore_path_parameters_in_path_matching", "typed_per_filter_config", "vhost_header",
			"internal_only_headers", "request_mirror_policies", "cluster_specifier_plugins", "metadata"},
	}
}

// VirtualHostFields lists the implemented fields of VirtualHost.
func VirtualHostFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.VirtualHost",
		Names: []string{"name", "domains", "routes", "require_tls", "request_headers_to_add",
			"request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
			"typed_per_filter_config", "include_request_attempt_count", "include_attempt_count_in_response",
			"retry_policy", "request_body_buffer_limit", "metadata", "matcher", "rate_limits",
			"virtual_clusters", "hedge_policy", "include_is_timeout_retry_header", "per_request_buffer_limit_bytes",
			"request_mirror_policies", "cors", "retry_policy_typed_config"},
	}
}

// CorsFields lists the implemented fields of the deprecated CorsPolicy.
func CorsFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.CorsPolicy",
		Names: []string{"allow_origin_string_match", "allow_methods", "allow_headers", "expose_headers", "max_age",
			"allow_credentials", "filter_enabled", "shadow_enabled", "allow_private_network_access",
			"forward_not_matching_preflights"},
	}
}

// RouteFields lists the implemented fields of Route. The operation of a decorator names
// spans: without tracing it shows nowhere.
func RouteFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.Route",
		Names: []string{"name", "match", "route", "redirect", "direct_response", "non_forwarding_action",
			"metadata", "typed_per_filter_config", "request_headers_to_add",
			"request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
			"request_body_buffer_limit", "per_request_buffer_limit_bytes", "stat_prefix", "decorator", "filter_action"},
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

// ActionFields lists the implemented fields of RouteAction. flush_timeout bounds what
// HTTP/2 and HTTP/3 hold of a response: HTTP/1 holds nothing, and has the connection's
// limits.
func ActionFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction",
		Names: []string{"cluster", "cluster_header", "weighted_clusters", "cluster_not_found_response_code",
			"prefix_rewrite", "regex_rewrite", "host_rewrite_literal", "auto_host_rewrite", "host_rewrite_header",
			"host_rewrite_path_regex", "append_x_forwarded_host", "timeout", "idle_timeout", "retry_policy",
			"priority", "upgrade_configs", "max_stream_duration", "rate_limits", "include_vh_rate_limits",
			"cluster_specifier_plugin", "inline_cluster_specifier_plugin", "path_rewrite_policy", "path_rewrite",
			"host_rewrite", "flush_timeout", "early_data_policy", "request_mirror_policies", "hash_policy",
			"max_grpc_timeout", "grpc_timeout_offset", "internal_redirect_policy", "internal_redirect_action",
			"max_internal_redirects", "hedge_policy", "cors", "retry_policy_typed_config"},
	}
}

// UpgradeFields lists the implemented fields of an upgrade of a route.
func UpgradeFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction.UpgradeConfig",
		Names:   []string{"upgrade_type", "enabled", "connect_config.allow_post", "connect_config.proxy_protocol_config.version"},
	}
}

// WeightedClusterFields lists the implemented fields of WeightedCluster. The
// weights are summed up, whatever total_weight says.
func WeightedClusterFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.WeightedCluster",
		Names:   []string{"clusters", "total_weight", "runtime_key_prefix", "header_name", "use_hash_policy"},
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
			"prefix_rewrite", "regex_rewrite", "path_rewrite", "response_code", "strip_query"},
	}
}

// DirectResponseFields lists the implemented fields of DirectResponseAction.
func DirectResponseFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.DirectResponseAction",
		Names:   []string{"status", "body", "body_format"},
	}
}

// RetryFields lists the implemented fields of RetryPolicy.
func RetryFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RetryPolicy",
		Names: []string{"retry_on", "num_retries", "per_try_timeout", "per_try_idle_timeout",
			"retry_host_predicate", "host_selection_retry_max_attempts", "retriable_status_codes", "retry_back_off",
			"retriable_headers", "retriable_request_headers", "retry_priority", "retry_options_predicates",
			"rate_limited_retry_back_off", "refresh_cluster_on_retry"},
	}
}

// HedgeFields lists the implemented fields of HedgePolicy. In Envoy only
// hedge_on_per_try_timeout has an effect, so also here.
func HedgeFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.HedgePolicy",
		Names:   []string{"initial_requests", "additional_request_chance", "hedge_on_per_try_timeout"},
	}
}

// MirrorFields lists the implemented fields of a mirror policy.
func MirrorFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
		Names: []string{"cluster", "cluster_header", "runtime_fraction", "disable_shadow_host_suffix_append",
			"request_headers_mutations", "host_rewrite_literal"},
	}
}

// HashPolicyFields lists the implemented fields of a hash policy.
func HashPolicyFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RouteAction.HashPolicy",
		Names:   []string{"header", "cookie", "connection_properties", "query_parameter", "filter_state", "terminal"},
	}
}

// InternalRedirectFields lists the implemented fields of InternalRedirectPolicy.
func InternalRedirectFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.InternalRedirectPolicy",
		Names: []string{"max_internal_redirects", "redirect_response_codes", "predicates",
			"allow_cross_scheme_redirect", "response_headers_to_copy"},
	}
}

// VirtualClusterFields lists the implemented fields of VirtualCluster.
func VirtualClusterFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.route.v3.VirtualCluster", Names: []string{"headers", "name"}}
}

// SpecifierFields lists the implemented fields of ClusterSpecifierPlugin.
func SpecifierFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.route.v3.ClusterSpecifierPlugin", Names: []string{"extension", "is_optional"}}
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
	return []conf.Fields{TableFields(), VirtualHostFields(), RouteFields(), MatchFields(), ActionFields(), CorsFields(),
		UpgradeFields(), WeightedClusterFields(), ClusterWeightFields(), RedirectFields(), DirectResponseFields(),
		RetryFields(), HedgeFields(), MirrorFields(), HashPolicyFields(), InternalRedirectFields(), VirtualClusterFields(),
		SpecifierFields(), headeroption.MutationFields(), headeroption.Fields(), FilterConfigFields(), ratelimit.RouteFields()}
}
