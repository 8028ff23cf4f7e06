// Package tcpgrpc is the access logger envoy.access_loggers.tcp_grpc: it
// sends entries about connections to a gRPC service.
package tcpgrpc

import (
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpcaccesslog"
)

// Factory is the extension.AccessLoggerFactory of the logger.
type Factory struct{}

var _ extension.AccessLoggerFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.access_loggers.tcp_grpc" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.AccessLoggers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &grpcv3.TcpGrpcAccessLogConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
		Names:   []string{"common_config"},
	}, grpcaccesslog.Fields()}
}

// BuildAccessLogger implements extension.AccessLoggerFactory.
func (f Factory) BuildAccessLogger(
	msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	config := msg.(*grpcv3.TcpGrpcAccessLogConfig)
	conf.Check(config, f.Fields()[0], path, errs)
	return grpcaccesslog.NewTCP(config.GetCommonConfig(), ctx, path.Field("common_config"), errs)
}
