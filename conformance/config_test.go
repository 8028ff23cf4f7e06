package conformance

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed base.yaml
var baseText []byte

// base is the configuration that those of cases are laid over.
type base struct {
	Bootstrap, Listener, HCM, Cluster map[string]any
}

// newBase parses it anew: what is laid over changes it.
func newBase() base {
	var b base
	if err := yaml.Unmarshal(baseText, &b); err != nil {
		panic(err) // base.yaml is part of this package
	}
	return b
}

// overlay returns b laid over a: mappings are merged, anything else is replaced, and
// null removes.
func overlay(a, b map[string]any) map[string]any { return merge(a, b, true) }

// merge is overlay; unless remove is set a null stays, for what a is laid over later.
func merge(a, b map[string]any, remove bool) map[string]any {
	a = maps.Clone(a)
	if a == nil {
		a = map[string]any{}
	}
	for key, value := range b {
		below, okA := a[key].(map[string]any)
		above, okB := value.(map[string]any)
		switch {
		case value == nil && remove:
			delete(a, key)
		case okA && okB:
			a[key] = merge(below, above, remove)
		default:
			a[key] = value
		}
	}
	return a
}

// over is the configuration c over that of defaults.
func (c config) over(defaults config) config {
	if c.Routes == nil {
		c.Routes = defaults.Routes
	}
	if c.Chains == nil {
		c.Chains = defaults.Chains
	}
	return config{
		Bootstrap: merge(defaults.Bootstrap, c.Bootstrap, false), Listener: merge(defaults.Listener, c.Listener, false),
		HCM: merge(defaults.HCM, c.HCM, false), RouteConfig: merge(defaults.RouteConfig, c.RouteConfig, false),
		Routes: c.Routes, Clusters: merge(defaults.Clusters, c.Clusters, false),
		TLS: merge(defaults.TLS, c.TLS, false), Chains: c.Chains,
	}
}

// listener is the configuration of the listener of a case.
func (c config) listener() map[string]any {
	b := newBase()
	hcm := overlay(b.HCM, c.HCM)
	if routes, ok := hcm["route_config"].(map[string]any); ok {
		hcm["route_config"] = overlay(routes, c.RouteConfig)
		if hosts, ok := routes["virtual_hosts"].([]any); ok && c.Routes != nil {
			hosts[0].(map[string]any)["routes"] = c.Routes
		}
	}
	listener := maps.Clone(b.Listener)
	chains := c.Chains
	if chains == nil {
		chains = []any{map[string]any{"tls": c.TLS}}
	}
	var list []any
	for _, own := range chains {
		if chain, isDefault := filterChain(own.(map[string]any), hcm); isDefault {
			listener["default_filter_chain"] = chain
		} else {
			list = append(list, chain)
		}
	}
	listener["filter_chains"] = list
	return overlay(listener, c.Listener)
}

// filterChain is a filter chain of a case: "hcm" is laid over the HttpConnectionManager,
// "tls" is its DownstreamTlsContext, "default: true" makes it the default filter chain.
func filterChain(own, hcm map[string]any) (chain map[string]any, isDefault bool) {
	own = maps.Clone(own)
	if over, ok := own["hcm"].(map[string]any); ok {
		hcm = overlay(hcm, over)
	}
	chain = map[string]any{"filters": []any{map[string]any{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}}}
	if tls, ok := own["tls"].(map[string]any); ok && len(tls) > 0 {
		chain["transport_socket"] = tlsSocket("Downstream", tls)
	}
	isDefault, _ = own["default"].(bool)
	for _, key := range []string{"hcm", "tls", "default"} {
		delete(own, key)
	}
	return overlay(chain, own), isDefault
}

// tlsSocket is the transport socket with a DownstreamTlsContext or UpstreamTlsContext.
func tlsSocket(side string, context map[string]any) map[string]any {
	return map[string]any{"name": "envoy.transport_sockets.tls", "typed_config": overlay(map[string]any{
		"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3." + side + "TlsContext"}, context)}
}

// clusters are the configurations of the clusters of a case: one for each upstream, and
// those that it has on its own account.
func (c config) clusters(upstreams map[string]upstreamScript) []any {
	names := maps.Clone(c.Clusters)
	if names == nil {
		names = map[string]any{}
	}
	for name := range upstreams {
		if _, has := names[name]; !has {
			names[name] = nil
		}
	}
	var list []any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fields := overlay(newBase().Cluster, map[string]any{"name": "$" + name})
		if _, has := upstreams[name]; has {
			fields["load_assignment"] = map[string]any{"cluster_name": "$" + name, "endpoints": []any{map[string]any{"lb_endpoints": []any{endpoint(name)}}}}
		}
		own, _ := names[name].(map[string]any)
		list = append(list, overlay(fields, shortCluster(own)))
	}
	return list
}

// shortCluster writes out the short forms in a cluster: "tls" is its UpstreamTlsContext,
// "http" its HttpProtocolOptions, "http2" its Http2ProtocolOptions.
func shortCluster(own map[string]any) map[string]any {
	own = maps.Clone(own)
	if tls, ok := own["tls"].(map[string]any); ok {
		own["transport_socket"] = tlsSocket("Upstream", tls)
	}
	options, has := own["http"].(map[string]any)
	if http2, ok := own["http2"].(map[string]any); ok {
		options, has = overlay(map[string]any{"explicit_http_config": map[string]any{"http2_protocol_options": http2}}, options), true
	}
	if has {
		own["typed_extension_protocol_options"] = map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": overlay(
			map[string]any{"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"}, options)}
	}
	for _, key := range []string{"tls", "http", "http2"} {
		delete(own, key)
	}
	return own
}

func endpoint(upstream string) map[string]any {
	return map[string]any{"endpoint": map[string]any{"address": map[string]any{"socket_address": map[string]any{
		"address": "127.0.0.1", "port_value": "{{port:" + upstream + "}}"}}}}
}

// bootstrap is the configuration of a process that serves all these cases.
func bootstrap(runs []*run) []byte {
	b := overlay(newBase().Bootstrap, runs[0].config.Bootstrap)
	var listeners, clusters []any
	for _, r := range runs {
		listeners = append(listeners, r.names.expandAll(r.config.listener()))
		clusters = append(clusters, r.names.expandAll(r.config.clusters(r.c.Upstreams)).([]any)...)
	}
	own, _ := b["static_resources"].(map[string]any)
	for key, list := range map[string][]any{"listeners": listeners, "clusters": clusters} {
		more, _ := own[key].([]any)
		own[key] = append(list, more...)
	}
	text, err := json.MarshalIndent(runs[0].names.expandAll(b), "", " ")
	if err != nil {
		panic(err) // it came from YAML
	}
	return text
}
