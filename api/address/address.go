// Package address holds the addresses of sockets: IP and port, the path of a Unix
// domain socket, or the name of an internal listener.
package address

import (
	"net"
	"net/netip"
	"strconv"
)

// An Address is an IP address with a port, a Unix domain socket, or an internal
// address: one inside of this proxy. The zero Address is no address. It is immutable and
// may be shared by goroutines; compare with ==.
type Address struct {
	ip   netip.AddrPort
	path string // a Unix socket; "@name" in the abstract name space; or an internal listener
	text string // path itself if that is a Unix socket, longer if it is not
}

// FromAddrPort returns the address of an IP socket. IPv4 addresses mapped into
// IPv6 become IPv4.
func FromAddrPort(ap netip.AddrPort) Address {
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	return Address{ip: ap, text: ap.String()}
}

// Unix returns the address of a Unix domain socket. A path that starts with "@"
// is in Linux's abstract name space.
func Unix(path string) Address { return Address{path: path, text: path} }

// internalScheme begins the text of internal addresses.
const internalScheme = "envoy://"

// Internal returns the address of the internal listener with that name. The endpoint ID
// tells endpoints with the same listener apart; it may be empty.
func Internal(listener, endpointID string) Address {
	return Address{path: listener, text: internalScheme + listener + "/" + endpointID}
}

// FromNetAddr returns the address that package net reports of a TCP, UDP or Unix
// socket, the zero Address for anything else (an in-memory pipe).
func FromNetAddr(a net.Addr) Address {
	switch a := a.(type) {
	case *net.TCPAddr:
		return FromAddrPort(a.AddrPort())
	case *net.UDPAddr:
		return FromAddrPort(a.AddrPort())
	case *net.UnixAddr:
		return Unix(a.Name)
	}
	return Address{}
}

// IsValid reports whether a is not the zero Address.
func (a Address) IsValid() bool { return a.text != "" }

// IsUnix reports whether a is a Unix domain socket.
func (a Address) IsUnix() bool { return a.path != "" && len(a.path) == len(a.text) }

// IsInternal reports whether a is an internal address.
func (a Address) IsInternal() bool { return !a.ip.IsValid() && len(a.path) < len(a.text) }

// AddrPort returns IP and port; it is not valid if a has none.
func (a Address) AddrPort() netip.AddrPort { return a.ip }

// IP returns the IP address; it is not valid if a has none.
func (a Address) IP() netip.Addr { return a.ip.Addr() }

// Port returns the port, 0 if a has none.
func (a Address) Port() uint16 { return a.ip.Port() }

// Path returns the path of a Unix socket, or the name of the internal listener.
func (a Address) Path() string { return a.path }

// EndpointID returns that of an internal address, "" if it has none.
func (a Address) EndpointID() string {
	if !a.IsInternal() {
		return ""
	}
	return a.text[len(internalScheme)+len(a.path)+1:]
}

// String returns ip:port, [ip6]:port, the path or envoy://listener/endpoint, as Envoy
// prints it; "" for the zero Address. It does not allocate.
func (a Address) String() string { return a.text }

// WithoutPort returns the IP address as text, or what String does. It does not allocate.
func (a Address) WithoutPort() string {
	if !a.ip.IsValid() {
		return a.text
	}
	host := a.text[:len(a.text)-1-portLen(a.ip.Port())]
	if a.ip.Addr().Is6() {
		return host[1 : len(host)-1]
	}
	return host
}

func portLen(p uint16) int {
	var digits [5]byte
	return len(strconv.AppendUint(digits[:0], uint64(p), 10))
}
