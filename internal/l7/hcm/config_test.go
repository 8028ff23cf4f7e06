package hcm

import (
	"strings"
	"testing"
	"time"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// fakeFactory is a factory of the category and message.
type fakeFactory struct {
	category string
	config   proto.Message
}

func (f fakeFactory) Name() string          { return f.category + ".fake" }
func (f fakeFactory) Category() string      { return f.category }
func (f fakeFactory) Config() proto.Message { return f.config }
func (f fakeFactory) Fields() []conf.Fields { return nil }

type fakeTerminal struct{ fakeFactory }

func (fakeTerminal) Terminal() bool { return true }
func (fakeTerminal) BuildHTTPFilter(proto.Message, extension.HTTPContext, conf.Path, *conf.Errors) httpfilter.Builder {
	return newBackend(false, nil)
}

type fakeIDFactory struct{ fakeFactory }

func (fakeIDFactory) BuildRequestID(proto.Message, extension.Context, conf.Path, *conf.Errors) httpfilter.RequestIDs {
	return fakeIDs{}
}

type fakeDetection struct{ fakeFactory }

func (fakeDetection) BuildOriginalIPDetection(proto.Message, extension.Context, conf.Path, *conf.Errors) httpfilter.IPDetector {
	return detected{}
}

// oneShard is a server with one worker and names.
type oneShard struct{ filtertest.Server }

func (*oneShard) Shards() int            { return 1 }
func (*oneShard) ServiceCluster() string { return "cl" }
func (*oneShard) ServiceNode() string    { return "n" }

// build builds a connection manager from text, which stands beside what all have.
func build(t *testing.T, text string) (tables []string, errs conf.Errors) {
	t.Helper()
	const base = `stat_prefix: "t" http_filters {name: "router" typed_config {[type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {}}} `
	if !strings.Contains(text, "scoped_routes") {
		text += ` route_config {name: "r" virtual_hosts {name: "v" domains: "*" routes {match {prefix: "/"} direct_response {status: 200}}}}`
	}
	m := new(hcmv3.HttpConnectionManager)
	if err := prototext.Unmarshal([]byte(base+text), m); err != nil {
		t.Fatal(err)
	}
	registry := new(extension.Registry)
	if err := registry.Add(fakeTerminal{fakeFactory{extension.HTTPFilters, new(routerv3.Router)}},
		fakeIDFactory{fakeFactory{extension.RequestID, new(uuidv3.UuidRequestIdConfig)}},
		fakeDetection{fakeFactory{extension.OriginalIPDetection, new(headerv3.CustomHeaderConfig)}}); err != nil {
		t.Fatal(err)
	}
	scope := metrics.New(1)
	ctx := extension.NetworkContext{
		Context: extension.Context{Registry: registry, Stats: scope, Runtime: filtertest.Runtime{}, Formats: filtertest.Formats{},
			Log: quiet{}, Server: &oneShard{}, AccessLogs: filtertest.Loggers{}},
		Listener: extension.Listener{Scope: stats.Scope(scope)},
	}
	f := Factory{Clock: time.Now, TimesRoutes: func() bool { return false }, OnBuilt: func(m *hcmv3.HttpConnectionManager) {
		tables = append(tables, m.GetRouteConfig().GetName()+m.GetScopedRoutes().GetName())
	}}
	if b := f.BuildNetworkFilter(m, ctx, conf.Path{}, &errs); (b == nil) != (errs.Err() != nil) {
		t.Errorf("a builder with errors, or none without: %v", errs)
	}
	return tables, errs
}

// TestConfigIsAccepted has each field that needs no other test.
func TestConfigIsAccepted(t *testing.T) {
	const detect = `{typed_config {[type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig] {header_name: "x"}}}`
	const any = `typed_config {[type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {}}`
	for _, text := range []string{
		``,
		`stream_flush_timeout {seconds: 1} append_local_overload: true path_normalization_options {} represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true`,
		`add_user_agent {value: true} forward_proto_config {https_destination_ports: 443} record_route_resolution_stats: true`,
		`common_http_protocol_options {max_connection_duration {seconds: 1} max_connection_duration_jitter {value: 100}} drain_timeout_jitter {value: 0.5}`,
		`access_log_options {access_log_flush_interval {seconds: 1} flush_access_log_on_new_request: true flush_log_on_tunnel_successfully_established: true}`,
		`access_log_flush_interval {nanos: 1000000} flush_access_log_on_new_request: true`,
		`original_ip_detection_extensions ` + detect,
		`upgrade_configs {upgrade_type: "websocket" filters {name: "r" ` + any + `}} upgrade_configs {upgrade_type: "CONNECT" enabled {value: false}}`,
		`local_reply_config {mappers {filter {not_health_check_filter {}} status_code {value: 418} body {inline_string: "x"}
			headers_to_add {header {key: "a" value: "b"}} body_format_override {text_format: "%LOCAL_REPLY_BODY%"}}
			body_format {json_format {fields {key: "a" value {string_value: "b"}}}}}`,
		`proxy_status_config {use_node_id: true}`, `proxy_status_config {literal_proxy_name: "p"}`,
		`stream_error_on_invalid_http_message {value: true} http_protocol_options {override_stream_error_on_invalid_http_message {value: false}}`,
		`scheme_header_transformation {match_upstream: true}`,
		`request_id_extension {typed_config {[type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig] {}}}`,
	} {
		if tables, errs := build(t, text); errs.Err() != nil || strings.Join(tables, " ") != "r" {
			t.Errorf("%s: %v, tables %s", text, errs, tables)
		}
	}
	tables, errs := build(t, `scoped_routes {name: "s" scope_key_builder {fragments {header_value_extractor {name: "a" index: 0}}}
		scoped_route_configurations_list {scoped_route_configurations {name: "a" key {fragments {string_key: "x"}}
		route_configuration {name: "ra" virtual_hosts {name: "v" domains: "*"}}}}}`)
	if errs.Err() != nil || strings.Join(tables, " ") != "s" {
		t.Errorf("%v, tables %s", errs, tables)
	}
}

func TestConfigErrors(t *testing.T) {
	const detect = ` original_ip_detection_extensions {typed_config {[type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig] {header_name: "x"}}}`
	for text, want := range map[string]string{
		`use_remote_address {value: true}` + detect: "original_ip_detection_extensions: Original IP detection extensions and use_remote_address may not be mixed",
		`xff_num_trusted_hops: 1` + detect:          "original_ip_detection_extensions: Original IP detection extensions and xff_num_trusted_hops may not be mixed",
		`original_ip_detection_extensions {typed_config {[type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {}}}`: "original_ip_detection_extensions[0].typed_config: no extension of the category envoy.http.original_ip_detection is registered for type envoy.extensions.filters.http.router.v3.Router",
		`early_header_mutation_extensions {}`:                                                                 "early_header_mutation_extensions[0].typed_config: must be set",
		`access_log_options {} access_log_flush_interval {seconds: 1}`:                                        "access_log_flush_interval: Only one of access_log_flush_interval or access_log_options can be specified.",
		`access_log_options {} flush_access_log_on_new_request: true`:                                         "flush_access_log_on_new_request: Only one of flush_access_log_on_new_request or access_log_options can be specified.",
		`access_log_options {access_log_flush_interval {nanos: 999}}`:                                         "access_log_options.access_log_flush_interval: must be at least 1 ms",
		`drain_timeout_jitter {value: 100.5}`:                                                                 "drain_timeout_jitter.value: must be from 0 to 100",
		`common_http_protocol_options {max_connection_duration_jitter {value: -1}}`:                           "common_http_protocol_options.max_connection_duration_jitter.value: must be from 0 to 100",
		`common_http_protocol_options {max_response_headers_kb {value: 1}}`:                                   "common_http_protocol_options.max_response_headers_kb: field max_response_headers_kb is not implemented",
		`upgrade_configs {upgrade_type: "a"} upgrade_configs {upgrade_type: "A"}`:                             "upgrade_configs[1]: upgrade_type A is there twice",
		`upgrade_configs {upgrade_type: "a" filters {name: "x"}}`:                                             "upgrade_configs[0].filters[0].typed_config: must be set",
		`local_reply_config {mappers {}}`:                                                                     "local_reply_config.mappers[0].filter: must be set",
		`local_reply_config {mappers {filter {not_health_check_filter {}} status_code {value: 600}}}`:         "local_reply_config.mappers[0].status_code: must be from 200 to 599",
		`local_reply_config {mappers {filter {not_health_check_filter {}} body {filename: "/none"}}}`:         "local_reply_config.mappers[0].body.filename: stat /none: no such file or directory",
		`local_reply_config {mappers {filter {not_health_check_filter {}} body {environment_variable: "E"}}}`: "local_reply_config.mappers[0].body.environment_variable: Environment variable doesn't exist: E",
		`tracing {}`:                        "tracing: field tracing is not implemented",
		`typed_header_validation_config {}`: "typed_header_validation_config: field typed_header_validation_config is not implemented",
		`scoped_routes {}`:                  "scoped_routes.scope_key_builder.fragments: must not be empty\nscoped_routes.scoped_route_configurations_list.scoped_route_configurations: must not be empty",
	} {
		if _, errs := build(t, text); errs.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", text, errs.Error(), want)
		}
	}
}

func TestFieldsFitTheirMessages(t *testing.T) {
	if _, _, err := Fields.Split(new(hcmv3.HttpConnectionManager).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
	if _, _, err := filterchain.Fields().Split(new(hcmv3.HttpFilter).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
