package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const withoutMistakes = `static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: shop}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: shop
    type: STATIC
    load_assignment: {cluster_name: shop}
`

// mistakes are those that people make. Each puts new in the place of old; wanted is one
// line for each error, with HCM for the path of the connection manager and without the
// name of the file, "" if Envoy takes it too. stricter says why Envoy takes what is
// refused here.
var mistakes = []struct{ name, old, new, wanted, stricter string }{
	{"typo field", "stat_prefix: front", "stat_prefx: front",
		"8:9: HCM.stat_prefix: value length must be at least 1 runes" + "\n" +
			"10:11: HCM.stat_prefx: unknown field of envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager; did you mean stat_prefix?", ""},
	{"wrong type", "route: {cluster: shop}", "route: {cluster: shop, append_x_forwarded_host: 3}",
		"17:65: HCM.route_config.virtual_hosts[0].routes[0].route.append_x_forwarded_host: want a boolean, got the number 3", ""},
	{"unknown cluster", "route: {cluster: shop}", "route: {cluster: shpo}",
		`17:25: HCM.route_config.virtual_hosts[0].routes[0].route.cluster: unknown cluster "shpo"`, ""},
	{"duplicate domain", `domains: ["*"]`, `domains: ["a.example", "A.example"]`,
		`14:38: HCM.route_config.virtual_hosts[0].domains[1]: domain "A.example" is used twice: domains must be unique, without regard to case`, ""},
	{"bad regex", "match: {prefix: /}", `match: {safe_regex: {regex: "/(a"}}`,
		"16:38: HCM.route_config.virtual_hosts[0].routes[0].match.safe_regex.regex: error parsing regexp: missing closing ): `/(a`", ""},
	{"no router", "          - name: envoy.filters.http.router\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n", "          - name: envoy.filters.http.buffer\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 1}\n",
		"19:13: HCM.http_filters[0]: envoy.filters.http.buffer is not a terminal filter: the last filter must be one, such as envoy.filters.http.router", ""},
	{"no filters", "          http_filters:\n          - name: envoy.filters.http.router\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n", "",
		"8:9: HCM.http_filters: must end with a terminal filter such as envoy.filters.http.router", "requests hang in Envoy until they time out"},
	{"no typed config", "\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}", "",
		"19:13: HCM.http_filters[0].typed_config: must be set", ""},
	{"unknown type", "http.router.v3.Router", "http.router.v3.Routr",
		"20:37: HCM.http_filters[0].typed_config: no implementation registered for type type.googleapis.com/envoy.extensions.filters.http.router.v3.Routr", ""},
	{"weights zero", "route: {cluster: shop}", "route: {weighted_clusters: {clusters: [{name: shop, weight: 0}]}}",
		"17:45: HCM.route_config.virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum of the weights must be from 1 to 4294967295, and is 0", ""},
	{"weight sum", "route: {cluster: shop}", "route: {weighted_clusters: {clusters: [{name: shop, weight: 4294967295}, {name: shop, weight: 1}]}}",
		"17:45: HCM.route_config.virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum of the weights must be from 1 to 4294967295, and is 4294967296", ""},
	{"duration no unit", "route: {cluster: shop}", "route: {cluster: shop, timeout: 15}",
		`17:49: HCM.route_config.virtual_hosts[0].routes[0].route.timeout: want a duration in seconds, such as "1.5s", got the number 15`, ""},
	{"duration ms", "route: {cluster: shop}", "route: {cluster: shop, timeout: 500ms}",
		`17:49: HCM.route_config.virtual_hosts[0].routes[0].route.timeout: want a duration in seconds, such as "1.5s", got the string "500ms"`, ""},
	{"duration negative", "route: {cluster: shop}", "route: {cluster: shop, timeout: -1s}",
		"17:40: HCM.route_config.virtual_hosts[0].routes[0].route.timeout: must be a duration that is not negative", ""},
	{"wrong enum", "stat_prefix: front\n", "stat_prefix: front\n          codec_type: HTTP\n",
		`11:23: HCM.codec_type: unknown enum value "HTTP"; want one of AUTO, HTTP1, HTTP2, HTTP3`, ""},
	{"bad cidr", "stat_prefix: front\n", "stat_prefix: front\n          internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0, prefix_len: 8}]}\n",
		"11:52: HCM.internal_address_config.cidr_ranges[0].address_prefix: malformed IP address: 10.0.0", ""},
	{"cidr too long", "stat_prefix: front\n", "stat_prefix: front\n          internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 33}]}\n",
		"", ""},
	{"two paths", "match: {prefix: /}", "match: {prefix: /, path: /a}",
		"16:36: HCM.route_config.virtual_hosts[0].routes[0].match.path: only one of prefix and path may be given", ""},
	{"no path", "match: {prefix: /}", "match: {}",
		"16:17: HCM.route_config.virtual_hosts[0].routes[0].match: one of prefix, path, safe_regex, connect_matcher, path_separated_prefix, path_match_policy is required", ""},
	{"two actions", "route: {cluster: shop}", "route: {cluster: shop}\n                redirect: {https_redirect: true}",
		"18:17: HCM.route_config.virtual_hosts[0].routes[0].redirect: only one of route and redirect may be given", ""},
	{"no action", "\n                route: {cluster: shop}", "",
		"16:17: HCM.route_config.virtual_hosts[0].routes[0]: one of route, redirect, direct_response, filter_action, non_forwarding_action is required", ""},
	{"bad status", "route: {cluster: shop}", "direct_response: {status: 99}",
		"17:35: HCM.route_config.virtual_hosts[0].routes[0].direct_response.status: value must be inside range [200, 600)", ""},
	{"two default hosts", `              domains: ["*"]`, "              domains: [\"*\"]\n            - name: other\n              domains: [\"*\"]",
		`16:25: HCM.route_config.virtual_hosts[1].domains[0]: domain "*" is used twice: domains must be unique, without regard to case`, ""},
	{"bad yaml", `domains: ["*"]`, `domains: ["*"`,
		"16: invalid YAML: did not find expected ',' or ']'", ""},
	{"duplicate key", "route: {cluster: shop}", "route: {cluster: shop}\n                route: {cluster: shop}",
		"18:17: HCM.route_config.virtual_hosts[0].routes[0].route: given twice, first in line 17", "YAML forbids it; Envoy takes the last"},
	{"filter order", "          - name: envoy.filters.http.router\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n", "          - name: envoy.filters.http.router\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n          - name: envoy.filters.http.cors\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}\n",
		"19:13: HCM.http_filters[0]: terminal filter envoy.filters.http.router must be the last one" + "\n" +
			"21:13: HCM.http_filters[1]: envoy.filters.http.cors is not a terminal filter: the last filter must be one, such as envoy.filters.http.router", ""},
	{"wrong category", "http.router.v3.Router", "network.echo.v3.Echo",
		"20:13: HCM.http_filters[0].typed_config: no HTTP filter is registered for type envoy.extensions.filters.network.echo.v3.Echo", ""},
	{"duplicate cluster", "  clusters:\n", "  clusters:\n  - {name: shop, type: STATIC, load_assignment: {cluster_name: shop}}\n",
		"23:5: static_resources.clusters[1].name: there are two clusters named shop", ""},
	{"host name in static", "load_assignment: {cluster_name: shop}", "load_assignment: {cluster_name: shop, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: shop.internal, port_value: 80}}}}]}]}",
		"24:110: static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: malformed IP address: shop.internal. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'", ""},
	{"no stat prefix", "          stat_prefix: front\n", "",
		"8:9: HCM.stat_prefix: value length must be at least 1 runes", ""},
	{"bad operator", "route: {cluster: shop}", "route: {cluster: shop}\n                request_headers_to_add: [{header: {key: x-a, value: \"%NO_SUCH%\"}}]",
		"18:62: HCM.route_config.virtual_hosts[0].routes[0].request_headers_to_add[0].header.value: Not supported field in StreamInfo: NO_SUCH", ""},
	{"unbalanced percent", "route: {cluster: shop}", "route: {cluster: shop}\n                request_headers_to_add: [{header: {key: x-a, value: \"50%\"}}]",
		"18:62: HCM.route_config.virtual_hosts[0].routes[0].request_headers_to_add[0].header.value: Incorrect configuration: 50%. Couldn't find valid command at position 2", ""},
	{"pseudo header", "route: {cluster: shop}", "route: {cluster: shop}\n                request_headers_to_add: [{header: {key: \":path\", value: \"/a\"}}]",
		"18:52: HCM.route_config.virtual_hosts[0].routes[0].request_headers_to_add[0].header.key: :-prefixed or host headers may not be modified", ""},
	{"port range", "port_value: 0}", "port_value: 70000}",
		"4:52: static_resources.listeners[0].address.socket_address.port_value: value must be less than or equal to 65535", ""},
	{"two rewrites", "route: {cluster: shop}", "route: {cluster: shop, prefix_rewrite: /, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
		"17:17: HCM.route_config.virtual_hosts[0].routes[0].route: only one of prefix_rewrite, regex_rewrite, path_rewrite_policy, path_rewrite may be set", ""},
	{"bad rewrite reference", "route: {cluster: shop}", `route: {cluster: shop, regex_rewrite: {pattern: {regex: a}, substitution: '\\2'}}`,
		"", ""},
	{"template", "match: {prefix: /}", `match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/{a"}}}`,
		"16:166: HCM.route_config.virtual_hosts[0].routes[0].match.path_match_policy.typed_config.path_template: template /{a is not valid: a { has no }", ""},
	{"prefix without slash", "match: {prefix: /}", "match: {path_separated_prefix: /a/}",
		`16:25: HCM.route_config.virtual_hosts[0].routes[0].match.path_separated_prefix: value does not match regex pattern "^[^?#]+[^?#/]$"`, ""},
	{"filter for no filter", "route: {cluster: shop}", "route: {cluster: shop}\n                typed_per_filter_config: {no.such.filter: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, disabled: true}}",
		"", ""},
	{"percent over 100", "match: {prefix: /}", "match: {prefix: /, runtime_fraction: {default_value: {numerator: 150}, runtime_key: k}}",
		"", ""},
	{"cluster name differs", "cluster_name: shop", "cluster_name: shopp",
		"", ""},
	{"deprecated disallowed", "route: {cluster: shop}", "route: {cluster: shop}\n                request_headers_to_add: []\n              rate_limits: [{actions: [{dynamic_metadata: {descriptor_key: k, metadata_key: {key: shop}}}]}]",
		`19:41: HCM.route_config.virtual_hosts[0].rate_limits[0].actions[0].dynamic_metadata: field envoy.config.route.v3.RateLimit.Action.dynamic_metadata is deprecated since API version 3.0 and no longer allowed; the runtime key "envoy.deprecated_features:envoy.config.route.v3.RateLimit.Action.dynamic_metadata" set to true allows it for now` + "\n" +
			"19:79: HCM.route_config.virtual_hosts[0].rate_limits[0].actions[0].dynamic_metadata.metadata_key.path: value must contain at least 1 item(s)", ""},
	{"header name invalid", "route: {cluster: shop}", "route: {cluster: shop}\n                request_headers_to_add: [{header: {key: \"x a\", value: \"1\"}}]",
		"", ""},
	{"upgrade twice", "stat_prefix: front\n", "stat_prefix: front\n          upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: WebSocket}]\n",
		"11:56: HCM.upgrade_configs[1]: upgrade_type WebSocket is there twice", ""},
	{"string for list", `domains: ["*"]`, `domains: "*"`,
		"", ""},
	{"wildcard inside", `domains: ["*"]`, `domains: ["a.*.example"]`,
		"", ""},
}

// TestMistakes checks them as a user would: the exit status is 1, and each line names the
// place.
func TestMistakes(t *testing.T) {
	const manager = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
	for i, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			sparing(t, i)
			t.Parallel()
			if !strings.Contains(withoutMistakes, m.old) {
				t.Fatalf("there is no %q", m.old)
			}
			dir := t.TempDir()
			text := strings.Replace(withoutMistakes, m.old, m.new, 1)
			if err := os.WriteFile(filepath.Join(dir, "bootstrap.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			status, _, problems := validate(t, os.Args[0], dir, "bootstrap.yaml")
			got := strings.ReplaceAll(strings.ReplaceAll(problems, manager, "HCM"), "bootstrap.yaml:", "")
			if got = strings.TrimSuffix(got, "\n"); got != m.wanted || (status == 1) != (m.wanted != "") {
				t.Errorf("got status %d and\n%s\nwant\n%s", status, got, m.wanted)
			}
			if *envoy == "" {
				return
			}
			refused := m.wanted != "" && m.stricter == ""
			if status, _, problems := validate(t, *envoy, dir, "bootstrap.yaml"); (status != 0) != refused {
				t.Errorf("Envoy ends with status %d\n%s", status, problems)
			}
		})
	}
}
