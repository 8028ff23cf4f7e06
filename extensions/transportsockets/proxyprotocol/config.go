// Package proxyprotocol is the extension envoy.transport_sockets.upstream_proxy_protocol: it
// begins upstream connections with a PROXY protocol header.
package proxyprotocol

import (
	"math"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

// Factory is the extension.UpstreamTransportSocketFactory.
type Factory struct{}

var _ extension.UpstreamTransportSocketFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.transport_sockets.upstream_proxy_protocol" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.UpstreamTransportSockets }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &proxyprotocolv3.ProxyProtocolUpstreamTransport{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", Names: []string{
		"config.version", "config.pass_through_tlvs.match_type", "config.pass_through_tlvs.tlv_type",
		"config.added_tlvs", "transport_socket",
	}}
}

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (Factory) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ClientFactory {
	m := msg.(*proxyprotocolv3.ProxyProtocolUpstreamTransport)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	if m.GetTransportSocket() == nil {
		errs.Add(path.Field("transport_socket"), "must be set")
	}
	f := &clientFactory{
		version2: m.GetConfig().GetVersion() == corev3.ProxyProtocolConfig_V2,
		tooLong:  ctx.Scope.Counter("upstream.proxyprotocol.v2_tlvs_exceed_max_length"),
	}
	f.Inner = ctx.UpstreamTransportSocket(m.GetTransportSocket(), path.Field("transport_socket"), errs)
	if pass := m.GetConfig().GetPassThroughTlvs(); pass != nil {
		all := pass.GetMatchType() == corev3.ProxyProtocolPassThroughTLVs_INCLUDE_ALL
		for i := range f.pass {
			f.pass[i] = all
		}
		for i, t := range pass.GetTlvType() {
			if t > math.MaxUint8 {
				errs.Add(path.Field("config").Field("pass_through_tlvs").Field("tlv_type").Index(i), "must be less than 256")
				continue
			}
			f.pass[t] = true
		}
	}
	f.added = proxyheader.ReadTLVs(m.GetConfig().GetAddedTlvs(), ctx.Formats, path.Field("config").Field("added_tlvs"), errs)
	if len(*errs) > before {
		return nil
	}
	return f
}

// A clientFactory makes the sockets of a cluster. It is immutable.
type clientFactory struct {
	passthrough.Factory
	version2 bool
	pass     [256]bool // the types of TLVs that are passed on
	added    []proxyheader.TLV
	tooLong  *stats.Counter
}

// New implements transport.ClientFactory.
func (f *clientFactory) New(o *transport.Options, h transport.Host) transport.Socket {
	s := &socket{factory: f}
	s.Socket.Socket = passthrough.New(f.Inner, o, h)
	if o != nil {
		s.header = o.ProxyProtocol
	}
	return s
}

// Key implements transport.ClientFactory. As in Envoy TLVs do not keep requests from
// sharing a connection.
func (f *clientFactory) Key(o *transport.Options) string {
	key := f.Factory.Key(o)
	if o != nil && o.ProxyProtocol != nil {
		key += " PROXY " + o.ProxyProtocol.Source.String() + " " + o.ProxyProtocol.Destination.String()
	}
	return key
}

// A socket begins a connection with a header.
type socket struct {
	passthrough.Socket
	factory *clientFactory
	header  *streaminfo.ProxyProtocol // nil for none from downstream
}

// Start implements transport.Socket.
func (s *socket) Start(cb transport.Callbacks) bool {
	info, f := cb.Info(), s.factory
	switch h := s.header; {
	case f.version2 && h == nil:
		s.Header = proxyheader.AppendLocal(nil)
	case f.version2:
		tlvs, fit := proxyheader.AppendTLVs(nil, f.tlvs(h.TLVs, cb))
		if !fit {
			f.tooLong.Inc(cb.Dispatcher().Shard())
		}
		s.Header = proxyheader.AppendVersion2(nil, h.Source, h.Destination, tlvs)
	case h == nil:
		s.Header = proxyheader.AppendVersion1(nil, info.Local, info.Remote)
	default:
		s.Header = proxyheader.AppendVersion1(nil, h.Source, h.Destination)
	}
	return s.Socket.Start(cb)
}
