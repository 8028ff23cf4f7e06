// Package httpgrpc is the access logger envoy.access_loggers.http_grpc: it
// sends entries about HTTP requests to a gRPC service.
package httpgrpc

import (
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpcaccesslog"
)

// Factory is the extension.AccessLoggerFactory of the logger.
type Factory struct{}

var _ extension.AccessLoggerFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.access_loggers.http_grpc" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.AccessLoggers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &grpcv3.HttpGrpcAccessLogConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
		Names: []string{
			"common_config", "additional_request_headers_to_log", "additional_response_headers_to_log",
			"additional_response_trailers_to_log",
		},
	}, grpcaccesslog.Fields()}
}

// BuildAccessLogger implements extension.AccessLoggerFactory.
func (f Factory) BuildAccessLogger(
	msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	config := msg.(*grpcv3.HttpGrpcAccessLogConfig)
	conf.Check(config, f.Fields()[0], path, errs)
	headers := grpcaccesslog.HTTPHeaders{
		Request:  lower(config.GetAdditionalRequestHeadersToLog()),
		Response: lower(config.GetAdditionalResponseHeadersToLog()),
		Trailers: lower(config.GetAdditionalResponseTrailersToLog()),
	}
	return grpcaccesslog.NewHTTP(config.GetCommonConfig(), headers, ctx, path.Field("common_config"), errs)
}

func lower(names []string) []string {
	list := make([]string, 0, len(names))
	for _, name := range names {
		list = append(list, match.Lower(name))
	}
	return list
}
