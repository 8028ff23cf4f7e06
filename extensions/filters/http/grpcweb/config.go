// Package grpcweb is the filter envoy.filters.http.grpc_web: it lets browsers, which
// cannot read trailers, call gRPC services.
package grpcweb

import (
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.grpc_web" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &grpcwebv3.GrpcWeb{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"}}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(_ proto.Message, ctx extension.HTTPContext, _ conf.Path, _ *conf.Errors) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		f := &filter{cb: cb, clusters: ctx.Clusters}
		f.message.Init(cb.Dispatcher().Buffers())
		return f
	}
}
