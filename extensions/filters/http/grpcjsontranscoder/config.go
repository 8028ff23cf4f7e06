// Package grpcjsontranscoder is the filter envoy.filters.http.grpc_json_transcoder: it
// lets clients that speak JSON over HTTP call gRPC services, by the google.api.http
// options of their methods.
package grpcjsontranscoder

import (
	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.grpc_json_transcoder" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &transcoderv3.GrpcJsonTranscoder{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &transcoderv3.GrpcJsonTranscoder{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
		Names: []string{
			"proto_descriptor", "proto_descriptor_bin", "services", "print_options", "match_incoming_request_route",
			"ignored_query_parameters", "auto_mapping", "ignore_unknown_query_parameters", "convert_grpc_status",
			"url_unescape_spec", "query_param_unescape_plus", "match_unregistered_custom_verb",
			"request_validation_options", "case_insensitive_enum_parsing", "max_request_body_size",
			"max_response_body_size", "capture_unknown_query_parameters",
		},
	}}
}

// bufferStats count the bytes that wait to be transcoded.
type bufferStats struct{ request, response *stats.Gauge }

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newSettings(msg.(*transcoderv3.GrpcJsonTranscoder), path, errs)
	if cfg == nil {
		return nil
	}
	buffered := bufferStats{
		request:  ctx.Stats.Gauge("transcoder_request_buffer_bytes"),
		response: ctx.Stats.Gauge("transcoder_response_buffer_bytes"),
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb, stats: buffered} }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	if cfg := newSettings(msg.(*transcoderv3.GrpcJsonTranscoder), path, errs); cfg != nil {
		return cfg
	}
	return nil
}

// settings are those of the filter or of a route. They are immutable.
type settings struct {
	disabled bool
	matcher  matcher
	types    *dynamicpb.Types
	print    protojson.MarshalOptions
	// whitespace makes the output readable.
	whitespace bool
	delimiters delimiters

	keepRoute                               bool // that of the request as it came
	ignoreUnknown, captureUnknown           bool // query parameters
	rejectUnknownMethod, rejectUnknownQuery bool
	rejectCollisions                        bool
	convertStatus                           bool
	anyCaseEnums                            bool
	maxRequest, maxResponse                 int // bytes; 0 for the limit of the stream
}

// delimiters is how the messages of a stream are told apart.
type delimiters uint8

const (
	inArray delimiters = iota
	onLines
	asEvents
)

func newSettings(m *transcoderv3.GrpcJsonTranscoder, path conf.Path, errs *conf.Errors) *settings {
	cfg := &settings{
		disabled:            len(m.GetServices()) == 0,
		keepRoute:           m.GetMatchIncomingRequestRoute(),
		ignoreUnknown:       m.GetIgnoreUnknownQueryParameters(),
		captureUnknown:      m.GetCaptureUnknownQueryParameters(),
		rejectUnknownMethod: m.GetRequestValidationOptions().GetRejectUnknownMethod(),
		rejectUnknownQuery:  m.GetRequestValidationOptions().GetRejectUnknownQueryParameters(),
		rejectCollisions:    m.GetRequestValidationOptions().GetRejectBindingBodyFieldCollisions(),
		convertStatus:       m.GetConvertGrpcStatus(),
		anyCaseEnums:        m.GetCaseInsensitiveEnumParsing(),
		maxRequest:          int(m.GetMaxRequestBodySize().GetValue()),
		maxResponse:         int(m.GetMaxResponseBodySize().GetValue()),
		matcher: matcher{
			anyVerb:   m.GetMatchUnregisteredCustomVerb(),
			plusSpace: m.GetQueryParamUnescapePlus(),
			unescape:  unescapings[m.GetUrlUnescapeSpec()],
			ignored:   map[string]bool{},
		},
	}
	before := len(*errs)
	if _, ok := unescapings[m.GetUrlUnescapeSpec()]; !ok {
		errs.Add(path.Field("url_unescape_spec"), "unknown value %d", m.GetUrlUnescapeSpec())
	}
	for name, size := range map[string]interface{ GetValue() uint32 }{
		"max_request_body_size": m.GetMaxRequestBodySize(), "max_response_body_size": m.GetMaxResponseBodySize(),
	} {
		if isSet(m, name) && size.GetValue() == 0 {
			errs.Add(path.Field(name), "must be greater than 0")
		}
	}
	for _, name := range m.GetIgnoredQueryParameters() {
		cfg.matcher.ignored[name] = true
	}
	cfg.setPrintOptions(m.GetPrintOptions())
	if !cfg.disabled {
		addServices(cfg, m, path, errs)
	}
	if len(*errs) > before {
		return nil
	}
	return cfg
}

var unescapings = map[transcoderv3.GrpcJsonTranscoder_UrlUnescapeSpec]unescaping{
	transcoderv3.GrpcJsonTranscoder_ALL_CHARACTERS_EXCEPT_RESERVED: unescapeUnreserved,
	transcoderv3.GrpcJsonTranscoder_ALL_CHARACTERS_EXCEPT_SLASH:    unescapeAllButSlash,
	transcoderv3.GrpcJsonTranscoder_ALL_CHARACTERS:                 unescapeAll,
}

func isSet(m proto.Message, field string) bool {
	r := m.ProtoReflect()
	for fd := range r.Range {
		if string(fd.Name()) == field {
			return true
		}
	}
	return false
}

func (cfg *settings) setPrintOptions(m *transcoderv3.GrpcJsonTranscoder_PrintOptions) {
	cfg.print = protojson.MarshalOptions{
		EmitDefaultValues: m.GetAlwaysPrintPrimitiveFields(),
		UseEnumNumbers:    m.GetAlwaysPrintEnumsAsInts(),
		UseProtoNames:     m.GetPreserveProtoFieldNames(),
	}
	cfg.whitespace = m.GetAddWhitespace()
	switch {
	case m.GetStreamSseStyleDelimited():
		cfg.delimiters = asEvents
	case m.GetStreamNewlineDelimited():
		cfg.delimiters = onLines
	}
}
