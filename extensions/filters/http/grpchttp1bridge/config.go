// Package grpchttp1bridge is the filter envoy.filters.http.grpc_http1_bridge: it lets
// HTTP/1.1 clients, which do not see trailers, call gRPC services.
package grpchttp1bridge

import (
	bridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.grpc_http1_bridge" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &bridgev3.Config{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
		Names:   []string{"upgrade_protobuf_to_grpc", "ignore_query_parameters"},
	}}
}

// settings are immutable.
type settings struct {
	upgradeProtobuf bool
	ignoreQuery     bool
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, _ extension.HTTPContext, _ conf.Path, _ *conf.Errors) httpfilter.Builder {
	m := msg.(*bridgev3.Config)
	cfg := settings{upgradeProtobuf: m.GetUpgradeProtobufToGrpc(), ignoreQuery: m.GetIgnoreQueryParameters()}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}
