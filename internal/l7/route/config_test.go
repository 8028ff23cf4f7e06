package route

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// Errors of a route. The paths are below virtual_hosts[0].routes[0].
func TestRouteErrors(t *testing.T) {
	const forward = "match: {prefix: /}, route: {cluster: c, "
	const weights = "match: {prefix: /}, route: {weighted_clusters: {clusters: ["
	long := strings.Repeat("x", 4097)
	for _, tc := range []struct{ yaml, want string }{
		{"route: {cluster: c}", "match: one of prefix, path, safe_regex, path_separated_prefix, connect_matcher, path_match_policy is required"},
		{"match: {prefix: /}", ": one of route, redirect, direct_response, filter_action, non_forwarding_action is required"},
		{"match: {prefix: /}, route: {}", "route: one of cluster, cluster_header, weighted_clusters, cluster_specifier_plugin, inline_cluster_specifier_plugin is required"},
		{"match: {prefix: /}, route: {cluster: nope}", `route.cluster: unknown cluster "nope"`},
		{"match: {prefix: /}, route: {cluster_header: ''}", "route.cluster_header: must not be empty"},
		{"match: {prefix: /}, route: {cluster_specifier_plugin: x}", "route.cluster_specifier_plugin: unknown cluster specifier plugin \"x\""},

		// conditions
		{"match: {path_separated_prefix: /a/}, route: {cluster: c}", `match.path_separated_prefix: must have two characters or more, no "?" or "#", and not end with "/"`},
		{"match: {path_match_policy: {name: x}}, route: {cluster: c}", "match.path_match_policy.typed_config: must be set"},
		{"match: {safe_regex: {regex: '(a'}}, route: {cluster: c}", "match.safe_regex.regex: error parsing regexp: missing closing ): `(a`"},
		{`match: {path_match_policy: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: /}}}, redirect: {prefix_rewrite: /x}`,
			"redirect.prefix_rewrite: does not go with path_match_policy"},
		{`match: {path_match_policy: {name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}}, route: {cluster: c}`,
			"match.path_match_policy.typed_config: no path matcher is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy"},
		{"match: {prefix: /, cookies: [{name: '', string_match: {exact: a}}, {name: x}]}, route: {cluster: c}",
			"match.cookies[0].name: must not be empty\nmatch.cookies[1].string_match: is required"},
		{"match: {prefix: /, dynamic_metadata: [{path: [{}]}], filter_state: [{}]}, route: {cluster: c}",
			"match.dynamic_metadata[0].filter: must not be empty\nmatch.dynamic_metadata[0].path[0].key: must not be empty\n" +
				"match.dynamic_metadata[0].value: one of null_match, double_match, string_match, bool_match, present_match, list_match, or_match is required\n" +
				"match.filter_state[0].key: must not be empty\nmatch.filter_state[0]: one of string_match, address_match is required"},
		{"match: {prefix: /, filter_state: [{key: k, address_match: {ranges: [{address_prefix: x}]}}]}, route: {cluster: c}",
			"match.filter_state[0].address_match.ranges[0].address_prefix: malformed IP address: x"},
		{"match: {prefix: /, headers: [{name: x}, {name: ''}]}, route: {cluster: c}", "match.headers[1].name: must not be empty"},
		{"match: {prefix: /, query_parameters: [{name: a, string_match: {}}]}, route: {cluster: c}",
			"match.query_parameters[0].string_match: one of exact, prefix, suffix, contains, safe_regex is required"},

		// weighted clusters
		{weights + "{name: c, weight: 0}]}}", "route.weighted_clusters.clusters: the sum of the weights must be from 1 to 4294967295, and is 0"},
		{weights + "{name: c, weight: 4294967295}, {name: d, weight: 1}]}}", "route.weighted_clusters.clusters: the sum of the weights must be from 1 to 4294967295, and is 4294967296"},
		{weights + "{name: c}, {name: d, weight: 1}]}}", "route.weighted_clusters.clusters[0].weight: is required"},
		{weights + "{name: c, cluster_header: x, weight: 1}]}}", "route.weighted_clusters.clusters[0]: only one of name and cluster_header may be set"},
		{weights + "{weight: 1}]}}", "route.weighted_clusters.clusters[0].name: must not be empty"},
		{weights + "{name: nope, weight: 1}]}}", `route.weighted_clusters.clusters[0].name: unknown cluster "nope"`},
		{weights + "{name: c, weight: 1, metadata_match: {}}], runtime_key_prefix: a}}",
			"route.weighted_clusters.clusters[0].metadata_match: field metadata_match is not implemented"},

		// header mutations
		{forward + "}, request_headers_to_add: [{header: {key: ':path', value: x}}]", "request_headers_to_add[0].header.key: :-prefixed or host headers may not be modified"},
		{forward + "}, response_headers_to_add: [{header: {key: Host, value: x}}]", "response_headers_to_add[0].header.key: :-prefixed or host headers may not be modified"},
		{forward + "}, request_headers_to_remove: [x, Host]", "request_headers_to_remove[1]: :-prefixed or host headers may not be removed"},
		{forward + "}, request_headers_to_add: [{header: {key: x, value: x}, append: true, append_action: ADD_IF_ABSENT}]",
			"request_headers_to_add[0].append: append and append_action must not both be set"},
		{forward + "}, request_headers_to_add: [{header: {key: x, value: '%NOPE%'}}]", "request_headers_to_add[0].header.value: no operator NOPE"},

		// rewrites and the rest of the action
		{forward + "prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}", "route: only one of prefix_rewrite, regex_rewrite, path_rewrite_policy, path_rewrite may be set"},
		{forward + "host_rewrite_path_regex: {pattern: {regex: '['}}}", "route.host_rewrite_path_regex.pattern.regex: error parsing regexp: missing closing ]: `[`"},
		{forward + "timeout: -1s}", "route.timeout: must be a duration that is not negative"},
		{forward + "prefix_rewrite: /a, path_rewrite: /b}", "route: only one of prefix_rewrite, regex_rewrite, path_rewrite_policy, path_rewrite may be set"},
		{forward + "path_rewrite: '%NOPE%', host_rewrite: '%NOPE%'}", "route.host_rewrite: no operator NOPE\nroute.path_rewrite: no operator NOPE"},
		{forward + `path_rewrite_policy: {name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}}`,
			"route.path_rewrite_policy.typed_config: no implementation of envoy.path.rewrite is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy"},
		{forward + "max_stream_duration: {grpc_timeout_header_max: -1s}, flush_timeout: -1s}",
			"route.max_stream_duration.grpc_timeout_header_max: must be a duration that is not negative\nroute.flush_timeout: must be a duration that is not negative"},
		{forward + `early_data_policy: {name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}}`,
			"route.early_data_policy.typed_config: no implementation of envoy.route.early_data_policy is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy"},
		{forward + "metadata_match: {}}", "route.metadata_match: field metadata_match is not implemented"},

		// policies of the action
		{forward + "hash_policy: [{header: {header_name: ''}}, {cookie: {name: '', ttl: -1s, attributes: [{name: ''}]}}, {query_parameter: {name: ''}}, {filter_state: {key: ''}}]}",
			"route.hash_policy[0].header.header_name: must not be empty\nroute.hash_policy[1].cookie.name: must not be empty\n" +
				"route.hash_policy[1].cookie.ttl: must be a duration that is not negative\nroute.hash_policy[1].cookie.attributes[0].name: must not be empty\n" +
				"route.hash_policy[2].query_parameter.name: must not be empty\nroute.hash_policy[3].filter_state.key: must not be empty"},
		{forward + "request_mirror_policies: [{cluster: c, cluster_header: x}, {cluster: nope, trace_sampled: true}, {cluster: c, request_headers_mutations: [{append: {header: {key: ':path', value: x}}}]}]}",
			"route.request_mirror_policies[0]: one of cluster and cluster_header is required\nroute.request_mirror_policies[1].trace_sampled: field trace_sampled is not implemented\n" +
				"route.request_mirror_policies[1].cluster: unknown cluster \"nope\"\n" +
				"route.request_mirror_policies[2].request_headers_mutations[0].append.header.key: :-prefixed or host headers may not be modified"},
		{forward + `internal_redirect_policy: {response_headers_to_copy: [x, Host], predicates: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}]}}`,
			"route.internal_redirect_policy.predicates[0].typed_config: no implementation of envoy.internal_redirect_predicates is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy\n" +
				"route.internal_redirect_policy.response_headers_to_copy[1]: :-prefixed or host headers may not be copied"},
		{`match: {prefix: /}, route: {inline_cluster_specifier_plugin: {extension: {name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}}}`,
			"route.inline_cluster_specifier_plugin.extension.typed_config: no implementation of envoy.router.cluster_specifier_plugin is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy"},
		{forward + "hash_policy: [{}], cors: {}, hedge_policy: {}, request_mirror_policies: [{}], internal_redirect_policy: {}}",
			"route.request_mirror_policies[0]: one of cluster and cluster_header is required\n" +
				"route.hash_policy[0]: one of header, cookie, connection_properties, query_parameter, filter_state is required\n" +
				`route.cors: no HTTP filter takes "envoy.extensions.filters.http.cors.v3.CorsPolicy" as configuration of a route`},
		{forward + "upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]}", `route.upgrade_configs[1].upgrade_type: upgrade "a" is listed twice`},
		{forward + "upgrade_configs: [{upgrade_type: websocket, connect_config: {}}]}", "route.upgrade_configs[0].connect_config: is for CONNECT only"},
		{forward + "upgrade_configs: [{upgrade_type: CONNECT, connect_config: {proxy_protocol_config: {pass_through_tlvs: {}}}}]}",
			"route.upgrade_configs[0].connect_config.proxy_protocol_config.pass_through_tlvs: field pass_through_tlvs is not implemented"},

		// retries
		{forward + "retry_policy: {retry_back_off: {base_interval: 1s, max_interval: 0.5s}}}", "route.retry_policy.retry_back_off.max_interval: must not be less than base_interval"},
		{forward + "retry_policy: {retry_back_off: {}}}", "route.retry_policy.retry_back_off.base_interval: is required"},
		{forward + "retry_policy: {retry_host_predicate: [{name: x}]}}", "route.retry_policy.retry_host_predicate[0].typed_config: must be set"},
		{forward + `retry_policy: {retry_host_predicate: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}]}}`,
			"route.retry_policy.retry_host_predicate[0].typed_config: no implementation of envoy.retry_host_predicates is registered for type type.googleapis.com/envoy.config.route.v3.RetryPolicy"},
		{forward + "retry_policy: {retry_priority: {name: x}, rate_limited_retry_back_off: {}}}",
			"route.retry_policy.retry_priority.typed_config: must be set\nroute.retry_policy.rate_limited_retry_back_off.reset_headers: must not be empty"},
		{forward + "retry_policy: {rate_limited_retry_back_off: {max_interval: 0s, reset_headers: [{name: ''}]}, retry_options_predicates: [{name: x}]}}",
			"route.retry_policy.rate_limited_retry_back_off.max_interval: must be greater than 0s\nroute.retry_policy.rate_limited_retry_back_off.reset_headers[0].name: must not be empty\n" +
				"route.retry_policy.retry_options_predicates[0].typed_config: no implementation of envoy.retry_options_predicates is registered for type "},

		// redirects and direct responses
		{"match: {prefix: /}, redirect: {path_rewrite: '%NOPE%'}", "redirect.path_rewrite: no operator NOPE"},
		{"match: {prefix: /}, direct_response: {status: 600}", "direct_response.status: must be from 200 to 599"},
		{"match: {prefix: /}, direct_response: {status: 200, body_format: {text_format_source: {inline_string: '%NOPE%'}}}", "direct_response.body_format.text_format_source: no operator NOPE"},
		{"match: {prefix: /}, direct_response: {status: 200, body: {inline_string: " + long + "}}", "direct_response.body.inline_string: has 4097 bytes; the maximum is 4096"},
		{"match: {prefix: /}, direct_response: {status: 200, body: {filename: /nonexistent}}", "direct_response.body.filename: stat /nonexistent: no such file or directory"},
		{"match: {prefix: /}, direct_response: {status: 200, body: {environment_variable: HOME}}", "direct_response.body.environment_variable: Environment variable doesn't exist: HOME"},

		// configuration of filters
		{forward + `}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig}}`,
			`typed_per_filter_config["x"].config: is required, unless disabled is set; an empty one enables the filter`},
		{forward + `}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}`,
			`typed_per_filter_config["x"]: no HTTP filter takes "envoy.config.route.v3.RetryPolicy" as configuration of a route`},
		{forward + `}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute}}}`,
			`typed_per_filter_config["x"].config.buffer: is required here`},
		{forward + "}, tracing: {}, decorator: {propagate: true}, route_specifiers: [{name: x}]",
			"tracing: field tracing is not implemented\nroute_specifiers: field route_specifiers is not implemented\ndecorator.operation: must not be empty"},
	} {
		const at = "virtual_hosts[0].routes[0]"
		want := ""
		for i, line := range strings.Split(tc.want, "\n") {
			if i > 0 {
				want += "\n"
			}
			if !strings.HasPrefix(line, ":") {
				line = "." + line
			}
			want += at + line
		}
		check(t, "virtual_hosts: [{name: v, domains: ['*'], routes: [{"+tc.yaml+"}]}]", want)
	}
}

func TestTableErrors(t *testing.T) {
	for _, tc := range []struct{ yaml, want string }{
		{"virtual_hosts: [{name: a, domains: [x.com]}, {name: b, domains: [y, X.com]}]",
			`virtual_hosts[1].domains[1]: domain "X.com" is used twice: domains must be unique, without regard to case`},
		{"virtual_hosts: [{name: a, domains: ['*', '*']}]", `virtual_hosts[0].domains[1]: domain "*" is used twice: domains must be unique, without regard to case`},
		{"virtual_hosts: [{name: a, domains: ['*.x']}, {name: a, domains: ['*.X']}]", `virtual_hosts[1].domains[0]: domain "*.X" is used twice: domains must be unique, without regard to case`},
		{"virtual_hosts: [{name: a, domains: ['x.*', '*.x', x, 'X.*']}]", `virtual_hosts[0].domains[3]: domain "X.*" is used twice: domains must be unique, without regard to case`},
		{"virtual_hosts: [{name: '', domains: []}]", "virtual_hosts[0].name: must not be empty\nvirtual_hosts[0].domains: must not be empty"},
		{"virtual_hosts: [{name: a, domains: ['*'], cors: {}, virtual_clusters: [{}], hedge_policy: {}}]",
			`virtual_hosts[0].cors: no HTTP filter takes "envoy.extensions.filters.http.cors.v3.CorsPolicy" as configuration of a route` + "\n" +
				"virtual_hosts[0].virtual_clusters[0].name: must not be empty\nvirtual_hosts[0].virtual_clusters[0].headers: must not be empty"},
		{"vhds: {}, cluster_specifier_plugins: [{}]",
			"vhds: field vhds is not implemented\ncluster_specifier_plugins[0].extension.typed_config: must be set"},
		{"request_mirror_policies: [{cluster: nope}], virtual_hosts: [{name: a, domains: [x], request_mirror_policies: [{}]}]",
			"request_mirror_policies[0].cluster: unknown cluster \"nope\"\n" +
				"virtual_hosts[0].request_mirror_policies[0]: one of cluster and cluster_header is required"},
		{"request_headers_to_remove: [':path'], response_headers_to_add: [{}]",
			"request_headers_to_remove[0]: :-prefixed or host headers may not be removed\n" +
				"response_headers_to_add[0].header.key: :-prefixed or host headers may not be modified"},
		{"virtual_hosts: [{name: a, domains: [x], retry_policy: {retry_back_off: {}}, routes: [{match: {prefix: /}, route: {cluster: nope}}]}]",
			"virtual_hosts[0].retry_policy.retry_back_off.base_interval: is required\nvirtual_hosts[0].routes[0].route.cluster: unknown cluster \"nope\""},
	} {
		check(t, "{"+tc.yaml+"}", tc.want)
	}
}

// check builds what may break the rules of the proto files too: Build does not
// rely on them.
func check(t *testing.T, yaml, want string) {
	t.Helper()
	cfg, _ := parse(yaml)
	var errs conf.Errors
	if table := Build(cfg, testContext(t), conf.Path{}, &errs); table != nil || errs.Error() != want {
		if len(yaml) > 300 {
			yaml = yaml[:300]
		}
		t.Errorf("%s\n got %s\nwant %s", yaml, errs, want)
	}
}

func TestAccepted(t *testing.T) {
	for _, yaml := range []string{
		"{}",
		"virtual_hosts: [{name: a, domains: [x]}, {name: a, domains: ['x*y', '*x*', 'x*', '']}]",
		"{validate_clusters: false, virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {prefix: ''}, route: {cluster: nope}}]}]}",
		"virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {path: rel}, redirect: {https_redirect: false, port_redirect: 70000}}]}]",
	} {
		build(t, yaml)
	}
	var errs conf.Errors
	cfg, _ := parse("{validate_clusters: true, virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {prefix: ''}, route: {cluster: nope}}]}]}")
	ctx := testContext(t)
	ctx.ValidateClusters = false
	if Build(cfg, ctx, conf.Path{}, &errs) != nil {
		t.Error("validate_clusters does not work")
	}
	if Build(nil, ctx, conf.Path{}, new(conf.Errors)) == nil {
		t.Error("a configuration without anything is refused")
	}
}
