// Package starttls is the extension envoy.transport_sockets.starttls, for both sides: a
// connection that is plain until a filter secures it.
package starttls

import (
	starttlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/starttls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
)

const name = "envoy.transport_sockets.starttls"

// Downstream is the factory for filter chains.
type Downstream struct{}

// Upstream is the factory for clusters.
type Upstream struct{}

var (
	_ extension.DownstreamTransportSocketFactory = Downstream{}
	_ extension.UpstreamTransportSocketFactory   = Upstream{}
)

// Name implements extension.Factory.
func (Downstream) Name() string { return name }

// Name implements extension.Factory.
func (Upstream) Name() string { return name }

// Category implements extension.Factory.
func (Downstream) Category() string { return extension.DownstreamTransportSockets }

// Category implements extension.Factory.
func (Upstream) Category() string { return extension.UpstreamTransportSockets }

// Config implements extension.Factory.
func (Downstream) Config() proto.Message { return &starttlsv3.StartTlsConfig{} }

// Config implements extension.Factory.
func (Upstream) Config() proto.Message { return &starttlsv3.UpstreamStartTlsConfig{} }

// Fields implements extension.Factory.
func (Downstream) Fields() []conf.Fields { return []conf.Fields{fields("StartTlsConfig")} }

// Fields implements extension.Factory.
func (Upstream) Fields() []conf.Fields { return []conf.Fields{fields("UpstreamStartTlsConfig")} }

func fields(message protoreflect.FullName) conf.Fields {
	return conf.Fields{Message: "envoy.extensions.transport_sockets.starttls.v3." + message, Names: []string{"cleartext_socket_config", "tls_socket_config"}}
}

// BuildDownstreamTransportSocket implements extension.DownstreamTransportSocketFactory.
func (d Downstream) BuildDownstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ServerFactory {
	m := msg.(*starttlsv3.StartTlsConfig)
	conf.Check(m, fields("StartTlsConfig"), path, errs)
	at := path.Field("tls_socket_config")
	if m.GetTlsSocketConfig() == nil {
		errs.Add(at, "must be set")
		return nil
	}
	f, ok := ctx.Registry.ForMessage(extension.DownstreamTransportSockets, m.GetTlsSocketConfig()).(extension.DownstreamTransportSocketFactory)
	if !ok {
		errs.Add(at, "TLS is not registered")
		return nil
	}
	secure := f.BuildDownstreamTransportSocket(m.GetTlsSocketConfig(), ctx, at, errs)
	if secure == nil {
		return nil
	}
	return servers{secure}
}

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (u Upstream) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ClientFactory {
	m := msg.(*starttlsv3.UpstreamStartTlsConfig)
	conf.Check(m, fields("UpstreamStartTlsConfig"), path, errs)
	at := path.Field("tls_socket_config")
	if m.GetTlsSocketConfig() == nil {
		errs.Add(at, "must be set")
		return nil
	}
	f, ok := ctx.Registry.ForMessage(extension.UpstreamTransportSockets, m.GetTlsSocketConfig()).(extension.UpstreamTransportSocketFactory)
	if !ok {
		errs.Add(at, "TLS is not registered")
		return nil
	}
	secure := f.BuildUpstreamTransportSocket(m.GetTlsSocketConfig(), ctx, at, errs)
	if secure == nil {
		return nil
	}
	return clients{passthrough.Factory{Inner: secure}}
}

// servers make the sockets of a filter chain.
type servers struct{ secure transport.ServerFactory }

// New implements transport.ServerFactory.
func (s servers) New() transport.Socket { return newSocket(s.secure.New) }

// Secure implements transport.ServerFactory: not before a filter says so.
func (s servers) Secure() bool { return false }

// clients make the sockets of a cluster.
type clients struct{ passthrough.Factory }

// New implements transport.ClientFactory.
func (c clients) New(o *transport.Options, h transport.Host) transport.Socket {
	return newSocket(func() transport.Socket { return c.Inner.New(o, h) })
}

// Secure implements transport.ClientFactory.
func (c clients) Secure() bool { return false }

// SupportsALPN implements transport.ClientFactory.
func (c clients) SupportsALPN() bool { return false }
