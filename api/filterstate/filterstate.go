// Package filterstate has the objects of the filter state that parts of the proxy look
// for: their names, and the types that they must have to be found. Filters share other
// objects too, of any type.
//
// Objects are immutable. What their methods say is what formats, matchers and access logs
// make of them: String the text, MarshalJSON and Proto the typed value. An object whose
// MarshalJSON fails has no typed value.
package filterstate

import (
	"errors"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// The names of objects, and their types.
const (
	// UpstreamServerName replaces the SNI of TLS to upstreams: a Text.
	UpstreamServerName = "envoy.network.upstream_server_name"
	// ApplicationProtocols replaces the protocols that are offered by ALPN there: a List.
	ApplicationProtocols = "envoy.network.application_protocols"
	// UpstreamSubjectAltNames are the names one of which the certificate of an upstream must
	// have: a TextList.
	UpstreamSubjectAltNames = "envoy.network.upstream_subject_alt_names"
	// HTTP11ProxyInfo is the proxy for the transport socket http_11_proxy: a Proxy.
	HTTP11ProxyInfo = "envoy.network.transport_socket.http_11_proxy.info"
	// TCPProxyCluster is the cluster for a connection of tcp_proxy: a Text.
	TCPProxyCluster = "envoy.tcp_proxy.cluster"
	// TCPProxyDisableTunneling makes tcp_proxy use no tunnel: a Bool.
	TCPProxyDisableTunneling = "envoy.tcp_proxy.disable_tunneling"
	// TCPProxyIdleTimeout is the idle timeout of a connection of tcp_proxy in
	// milliseconds: a Uint64.
	TCPProxyIdleTimeout = "envoy.tcp_proxy.per_connection_idle_timeout_ms"
	// OriginalDst is where a connection of an ORIGINAL_DST cluster goes: an Address.
	OriginalDst = "envoy.network.transport_socket.original_dst_address"
	// OriginalLocal and OriginalRemote are the addresses that original_dst gives to
	// connections of internal listeners: an Address.
	OriginalLocal  = "envoy.filters.listener.original_dst.local_ip"
	OriginalRemote = "envoy.filters.listener.original_dst.remote_ip"
)

var errUntyped = errors.New("the object has no typed value")

// A Text is a string that counts under its own name only: text that is shared for its own
// sake is a string.
type Text string

// String returns the text.
func (t Text) String() string { return string(t) }

// MarshalJSON fails: there is no typed value.
func (Text) MarshalJSON() ([]byte, error) { return nil, errUntyped }

// A List is several strings. It has no text.
type List []string

// MarshalJSON fails: there is no typed value.
func (List) MarshalJSON() ([]byte, error) { return nil, errUntyped }

// A TextList is several strings and the text that they were cut from.
type TextList struct {
	Text
	List []string
}

// A Proxy is where a CONNECT for Target is sent. It has no text.
type Proxy struct {
	Target  string
	Address address.Address
}

// An IP is an IP address; its port is 0.
type IP struct{ address.Address }

// MarshalJSON fails: there is no typed value.
func (IP) MarshalJSON() ([]byte, error) { return nil, errUntyped }

// An Address is an IP address with a port.
type Address struct{ address.Address }

// MarshalJSON fails: there is no typed value.
func (Address) MarshalJSON() ([]byte, error) { return nil, errUntyped }

// Field implements streaminfo.Fields: ip and port.
func (a Address) Field(name string) any {
	switch name {
	case "ip":
		return a.WithoutPort()
	case "port":
		return int64(a.Port())
	}
	return nil
}

// A Bool is a truth value.
type Bool bool

// String returns true or false.
func (b Bool) String() string { return strconv.FormatBool(bool(b)) }

// MarshalJSON returns true or false.
func (b Bool) MarshalJSON() ([]byte, error) { return strconv.AppendBool(nil, bool(b)), nil }

// Proto returns a BoolValue.
func (b Bool) Proto() proto.Message { return wrapperspb.Bool(bool(b)) }

// A Uint64 is a number.
type Uint64 uint64

// String returns the digits.
func (n Uint64) String() string { return strconv.FormatUint(uint64(n), 10) }

// MarshalJSON returns the digits as a string, as JSON of protobuf has them.
func (n Uint64) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, n.String()), nil }

// Proto returns a UInt64Value.
func (n Uint64) Proto() proto.Message { return wrapperspb.UInt64(uint64(n)) }
