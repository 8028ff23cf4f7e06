package extension

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// The categories of transport sockets, in Envoy's words. A transport socket for both
// sides is registered twice.
const (
	DownstreamTransportSockets = "envoy.transport_sockets.downstream"
	UpstreamTransportSockets   = "envoy.transport_sockets.upstream"
)

// A DownstreamTransportSocketFactory makes the transport of filter chains.
type DownstreamTransportSocketFactory interface {
	Factory
	// BuildDownstreamTransportSocket checks the configuration. Errors go to errs; it
	// returns nil then. Main goroutine.
	BuildDownstreamTransportSocket(msg proto.Message, ctx TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ServerFactory
}

// An UpstreamTransportSocketFactory makes the transport of clusters.
type UpstreamTransportSocketFactory interface {
	Factory
	// BuildUpstreamTransportSocket is as BuildDownstreamTransportSocket.
	BuildUpstreamTransportSocket(msg proto.Message, ctx TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ClientFactory
}

// TransportSocketContext is what the factory of a transport socket may use.
type TransportSocketContext struct {
	Context
	// Scope is that of the listener or of the cluster.
	Scope stats.Scope
	// ClusterMetadata is that of the cluster's configuration. It is shared: nobody writes to
	// it.
	ClusterMetadata map[string]*structpb.Struct
	// ServerNames are those that the filter chain is chosen by.
	ServerNames []string
	// Closed is told that nobody uses the result any more, so that it stops watching its
	// secrets. Main goroutine.
	Closed func(func())
}

// DownstreamTransportSocket makes the transport of a filter chain from its
// transport_socket field. The result is nil for a plain transport, which an empty field
// means too, and after errors, which go to errs.
func (ctx TransportSocketContext) DownstreamTransportSocket(msg *corev3.TransportSocket, path conf.Path, errs *conf.Errors) transport.ServerFactory {
	config, f := ctx.transportSocket(DownstreamTransportSockets, msg, path, errs)
	if factory, ok := f.(DownstreamTransportSocketFactory); ok {
		return factory.BuildDownstreamTransportSocket(config, ctx, path.Field("typed_config"), errs)
	}
	return nil
}

// UpstreamTransportSocket makes the transport of a cluster, as
// DownstreamTransportSocket.
func (ctx TransportSocketContext) UpstreamTransportSocket(msg *corev3.TransportSocket, path conf.Path, errs *conf.Errors) transport.ClientFactory {
	config, f := ctx.transportSocket(UpstreamTransportSockets, msg, path, errs)
	if factory, ok := f.(UpstreamTransportSocketFactory); ok {
		return factory.BuildUpstreamTransportSocket(config, ctx, path.Field("typed_config"), errs)
	}
	return nil
}

func (ctx TransportSocketContext) transportSocket(category string, msg *corev3.TransportSocket, path conf.Path, errs *conf.Errors) (proto.Message, Factory) {
	if msg == nil {
		return nil, nil
	}
	if msg.GetTypedConfig() == nil {
		// Envoy falls back to the name, for which only raw_buffer needs no configuration.
		if msg.GetName() != "envoy.transport_sockets.raw_buffer" {
			errs.Add(path.Field("typed_config"), "must be set")
		}
		return nil, nil
	}
	config := Unpack(msg.GetTypedConfig(), path.Field("typed_config"), errs)
	if config == nil {
		return nil, nil
	}
	f := ctx.Registry.ForMessage(category, config)
	if f == nil {
		errs.Add(path.Field("typed_config"), "transport socket %s is not implemented", config.ProtoReflect().Descriptor().FullName())
		return nil, nil
	}
	return config, f
}
