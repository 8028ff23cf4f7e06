// Package addr turns the configuration of addresses, socket options and CIDR
// ranges into values that the engine works with. All functions report what is
// wrong to errs, with the path of the value, and return what they have; they run
// while a configuration is loaded.
package addr

import (
	"io/fs"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A Spec is a configured address.
type Spec struct {
	// Address is the IP address and port, the Unix socket or the internal listener; not
	// valid if Host is set.
	Address address.Address
	// Host and Port stand for an address that is a name, to be resolved.
	Host string
	Port uint16
	// UDP is true for the protocol UDP.
	UDP bool
	// IPv4Compat lets an IPv6 socket take IPv4 connections.
	IPv4Compat bool
	// Mode are the permissions of a Unix socket's path, 0 to leave them.
	Mode fs.FileMode
}

// Fields lists the fields that this package implements.
func Fields() []conf.Fields {
	return []conf.Fields{addressFields(), socketAddressFields(), optionFields()}
}

func addressFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.Address", Names: []string{"socket_address", "pipe",
		"envoy_internal_address.server_listener_name", "envoy_internal_address.endpoint_id"}}
}

func socketAddressFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.SocketAddress", Names: []string{
		"protocol", "address", "port_value", "ipv4_compat"}}
}

// Parse reads an address that is an IP address, a Unix socket or an internal listener.
func Parse(msg *corev3.Address, path conf.Path, errs *conf.Errors) Spec {
	s := ParseName(msg, path, errs)
	if s.Host != "" {
		errs.Add(path.Field("socket_address").Field("address"), "malformed IP address: %s. Consider setting "+
			"resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'", s.Host)
	}
	return s
}

// ParseName reads an address that may also be a name.
func ParseName(msg *corev3.Address, path conf.Path, errs *conf.Errors) Spec {
	conf.Check(msg, addressFields(), path, errs)
	switch {
	case msg.GetSocketAddress() != nil:
		return ParseSocketAddress(msg.GetSocketAddress(), path.Field("socket_address"), errs)
	case msg.GetPipe() != nil:
		return parsePipe(msg.GetPipe(), path.Field("pipe"), errs)
	case msg.GetEnvoyInternalAddress() != nil:
		return parseInternal(msg.GetEnvoyInternalAddress(), path.Field("envoy_internal_address"), errs)
	case msg.GetAddress() == nil:
		errs.Add(path, "one of socket_address and pipe must be set")
	}
	return Spec{}
}

// ParseSocketAddress reads the address of an IP socket, which may be a name.
func ParseSocketAddress(msg *corev3.SocketAddress, path conf.Path, errs *conf.Errors) Spec {
	conf.Check(msg, socketAddressFields(), path, errs)
	s := Spec{UDP: msg.GetProtocol() == corev3.SocketAddress_UDP, IPv4Compat: msg.GetIpv4Compat()}
	if msg.GetPortValue() > 65535 {
		errs.Add(path.Field("port_value"), "must be at most 65535, is %d", msg.GetPortValue())
		return s
	}
	s.Port = uint16(msg.GetPortValue())
	if msg.GetAddress() == "" {
		errs.Add(path.Field("address"), "must not be empty")
		return s
	}
	ip, err := netip.ParseAddr(msg.GetAddress())
	if err != nil {
		s.Host = msg.GetAddress()
		return s
	}
	s.Address = address.FromAddrPort(netip.AddrPortFrom(ip, s.Port))
	return s
}

func parseInternal(msg *corev3.EnvoyInternalAddress, path conf.Path, errs *conf.Errors) Spec {
	if msg.GetAddressNameSpecifier() == nil {
		errs.Add(path.Field("server_listener_name"), "must be set")
	}
	return Spec{Address: address.Internal(msg.GetServerListenerName(), msg.GetEndpointId())}
}

// maxPath is the length of the path of a Unix socket that all systems take.
const maxPath = 103

func parsePipe(msg *corev3.Pipe, path conf.Path, errs *conf.Errors) Spec {
	s := Spec{Address: address.Unix(msg.GetPath()), Mode: fs.FileMode(msg.GetMode()) & fs.ModePerm}
	switch abstract := strings.HasPrefix(msg.GetPath(), "@"); {
	case msg.GetPath() == "":
		errs.Add(path.Field("path"), "must not be empty")
	case len(msg.GetPath()) > maxPath:
		errs.Add(path.Field("path"), "must be at most %d bytes long, is %d", maxPath, len(msg.GetPath()))
	case msg.GetMode() > 0o777:
		errs.Add(path.Field("mode"), "must be at most 511 (0777), is %d", msg.GetMode())
	case abstract && msg.GetMode() != 0:
		errs.Add(path.Field("mode"), "an abstract socket has no mode")
	}
	return s
}

// ParseRanges is address.NewRanges.
func ParseRanges(msgs []*corev3.CidrRange, path conf.Path, errs *conf.Errors) address.Ranges {
	return address.NewRanges(msgs, path, errs)
}
