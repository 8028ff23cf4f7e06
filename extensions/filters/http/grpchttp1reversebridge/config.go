// Package grpchttp1reversebridge is the filter envoy.filters.http.grpc_http1_reverse_bridge:
// it lets upstreams that know nothing of gRPC answer gRPC calls.
package grpchttp1reversebridge

import (
	"strings"

	bridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_reverse_bridge/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.grpc_http1_reverse_bridge" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &bridgev3.FilterConfig{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &bridgev3.FilterConfigPerRoute{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig",
		Names:   []string{"content_type", "withhold_grpc_frames", "response_size_header"},
	}, {
		Message: "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute",
		Names:   []string{"disabled"},
	}}
}

// settings are immutable.
type settings struct {
	contentType string // of the upstream
	withhold    bool
	sizeHeader  string // lower case; "" for none
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	m := msg.(*bridgev3.FilterConfig)
	if m.GetContentType() == "" {
		errs.Add(path.Field("content_type"), "must not be empty")
		return nil
	}
	cfg := &settings{
		contentType: m.GetContentType(),
		withhold:    m.GetWithholdGrpcFrames(),
		sizeHeader:  strings.ToLower(m.GetResponseSizeHeader()),
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

// routeSettings are those of a route. They are immutable.
type routeSettings struct{ disabled bool }

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, _ conf.Path, _ *conf.Errors) any {
	return &routeSettings{disabled: msg.(*bridgev3.FilterConfigPerRoute).GetDisabled()}
}
