// Package http11proxy is the extension envoy.transport_sockets.http_11_proxy: it makes
// upstream connections through an HTTP/1.1 proxy.
package http11proxy

import (
	"math"
	"net"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	http11proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/http_11_proxy/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
)

// Factory is the extension.UpstreamTransportSocketFactory.
type Factory struct{}

var _ extension.UpstreamTransportSocketFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.transport_sockets.http_11_proxy" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.UpstreamTransportSockets }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &http11proxyv3.Http11ProxyUpstreamTransport{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport",
		Names: []string{"transport_socket", "default_proxy_address"}}
}

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (Factory) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ClientFactory {
	m := msg.(*http11proxyv3.Http11ProxyUpstreamTransport)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	f := &clientFactory{}
	f.Inner = ctx.UpstreamTransportSocket(m.GetTransportSocket(), path.Field("transport_socket"), errs)
	if a := m.GetDefaultProxyAddress(); a != nil {
		f.proxy = parseAddress(a, path.Field("default_proxy_address"), errs)
	}
	if len(*errs) > before {
		return nil
	}
	return f
}

// parseAddress reads an IP address and port.
func parseAddress(a *corev3.Address, path conf.Path, errs *conf.Errors) address.Address {
	s := a.GetSocketAddress()
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil || s.GetProtocol() != corev3.SocketAddress_TCP || s.GetPortValue() > math.MaxUint16 {
		errs.Add(path, "must be an IP address and a port")
		return address.Address{}
	}
	return address.FromAddrPort(netip.AddrPortFrom(ip, uint16(s.GetPortValue())))
}

// A clientFactory makes the sockets of a cluster. It is immutable.
type clientFactory struct {
	passthrough.Factory
	proxy address.Address // where requests do not say; not valid for none
}

var _ transport.Proxied = (*clientFactory)(nil)

// Via implements transport.Proxied.
func (f *clientFactory) Via(o *transport.Options) address.Address {
	if o != nil && o.HTTP11Proxy.IsValid() {
		return o.HTTP11Proxy
	}
	return f.proxy
}

// New implements transport.ClientFactory. A plain connection needs no CONNECT: its
// requests are the proxy's, as in Envoy.
func (f *clientFactory) New(o *transport.Options, h transport.Host) transport.Socket {
	s := &socket{}
	s.Socket.Socket = passthrough.New(f.Inner, o, h)
	if f.Inner == nil || !f.Inner.Secure() {
		return s
	}
	switch {
	case o != nil && o.HTTP11Proxy.IsValid():
		s.connect(withPort(o.HTTP11Target))
	case f.proxy.IsValid():
		s.connect(h.Address().String())
	}
	return s
}

// withPort returns target with the port of HTTPS, if it has none.
func withPort(target string) string {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return target + ":443"
	}
	return target
}

// Key implements transport.ClientFactory.
func (f *clientFactory) Key(o *transport.Options) string {
	key := f.Factory.Key(o)
	if o != nil && o.HTTP11Proxy.IsValid() {
		key += " CONNECT " + o.HTTP11Proxy.String() + " " + o.HTTP11Target
	}
	return key
}
