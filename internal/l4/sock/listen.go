package sock

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// A Listener is a listening socket. Accept may be called on any goroutine, also on
// several.
type Listener struct {
	fd      int          // -1 where accepted is used
	blocks  net.Listener // nil where fd is used
	address address.Address
}

// Listen makes a socket that listens on a, with port 0 on one that the system
// chooses. A socket file that exists already is replaced. The error reads "cannot
// bind '<address>': <reason>", or names the option that failed.
func Listen(a address.Address, o *ListenOptions) (*Listener, error) {
	if !a.IsValid() {
		return nil, errNoAddress
	}
	fd, err := newSocket(a)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for '%s': %w", a, err)
	}
	l, err := listen(fd, a, o)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return l, nil
}

func listen(fd int, a address.Address, o *ListenOptions) (*Listener, error) {
	if err := prepare(fd, a, o); err != nil {
		return nil, err
	}
	if err := bind(fd, a, o); err != nil {
		return nil, fmt.Errorf("cannot bind '%s': %w", a, err)
	}
	if err := setOptions(fd, a, o.Options, bound); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog(o.Backlog)); err != nil {
		return nil, fmt.Errorf("cannot listen on '%s': %w", a, err)
	}
	if err := setOptions(fd, a, o.Options, listening); err != nil {
		return nil, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	return newListener(fd, fromSockaddr(sa))
}

// maxBacklog is cut down by the system to its own limit.
const maxBacklog = 1<<16 - 1

func backlog(n int) int {
	if n == 0 {
		return maxBacklog
	}
	return min(n, maxBacklog)
}

func bind(fd int, a address.Address, o *ListenOptions) error {
	path := a.Path()
	file := a.IsUnix() && !strings.HasPrefix(path, "@")
	if file {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			_ = os.Remove(path) // what remains, bind complains of
		}
	}
	if err := unix.Bind(fd, toSockaddr(a)); err != nil {
		return err
	}
	if file && o.Mode != 0 {
		return os.Chmod(path, fs.FileMode(o.Mode))
	}
	return nil
}

// Address returns the address that the listener is bound to.
func (l *Listener) Address() address.Address { return l.address }

// FD returns the descriptor for event.NewAcceptor, -1 if Accept blocks.
func (l *Listener) FD() int { return l.fd }

// NetListener turns l into a net.Listener, for servers of package net. l must not
// be used afterwards.
func (l *Listener) NetListener() (net.Listener, error) {
	if l.blocks != nil {
		return l.blocks, nil
	}
	f := os.NewFile(uintptr(l.fd), l.address.String())
	defer f.Close() // FileListener has its own copy
	return net.FileListener(f)
}

func toSockaddr(a address.Address) unix.Sockaddr {
	switch ip := a.IP(); {
	case a.IsUnix():
		return &unix.SockaddrUnix{Name: a.Path()}
	case ip.Is4():
		return &unix.SockaddrInet4{Addr: ip.As4(), Port: int(a.Port())}
	default:
		return &unix.SockaddrInet6{Addr: ip.As16(), Port: int(a.Port()), ZoneId: zoneID(ip.Zone())}
	}
}

// zoneID returns the number of an IPv6 zone, which is a number or the name of an
// interface; 0, which bind and connect refuse where they need one, if there is no
// such interface.
func zoneID(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			return uint32(i.Index)
		}
	}
	return 0
}

func fromSockaddr(sa unix.Sockaddr) address.Address {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return address.FromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.ZoneId)))
		}
		return address.FromAddrPort(netip.AddrPortFrom(ip, uint16(sa.Port)))
	case *unix.SockaddrUnix:
		return address.Unix(sa.Name)
	}
	return address.Address{}
}

// named returns the address of a peer; that of a Unix socket without a name is, as
// in Envoy, our own end's.
func named(remote, local address.Address) address.Address {
	if name := remote.String(); name == "" || name == "@" {
		return local
	}
	return remote
}
