// Package rawbuffer is the extension envoy.transport_sockets.raw_buffer, for both sides:
// bytes go to the socket as they are.
package rawbuffer

import (
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// Downstream is the factory for filter chains.
type Downstream struct{ factory }

// Upstream is the factory for clusters.
type Upstream struct{ factory }

var (
	_ extension.DownstreamTransportSocketFactory = Downstream{}
	_ extension.UpstreamTransportSocketFactory   = Upstream{}
)

type factory struct{}

// Name implements extension.Factory.
func (factory) Name() string { return "envoy.transport_sockets.raw_buffer" }

// Config implements extension.Factory.
func (factory) Config() proto.Message { return &rawbufferv3.RawBuffer{} }

// Fields implements extension.Factory.
func (factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
}

// Category implements extension.Factory.
func (Downstream) Category() string { return extension.DownstreamTransportSockets }

// Category implements extension.Factory.
func (Upstream) Category() string { return extension.UpstreamTransportSockets }

// BuildDownstreamTransportSocket implements extension.DownstreamTransportSocketFactory:
// connections need nothing between them and their sockets.
func (Downstream) BuildDownstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ServerFactory {
	return nil
}

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (Upstream) BuildUpstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ClientFactory {
	return nil
}
