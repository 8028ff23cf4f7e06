package sock

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
)

const newFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

func newSocket(a address.Address) (int, error) {
	return unix.Socket(family(a), unix.SOCK_STREAM|newFlags, 0)
}

func closeFD(fd int) { unix.Close(fd) }

func freebind(fd int, a address.Address) error {
	if a.IP().Is6() {
		return set(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1, "IPV6_FREEBIND")
	}
	return set(fd, unix.SOL_IP, unix.IP_FREEBIND, 1, "IP_FREEBIND")
}

func transparent(fd int, a address.Address) error {
	if a.IP().Is6() {
		return set(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT")
	}
	return set(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1, "IP_TRANSPARENT")
}

func newListener(fd int, local address.Address) (*Listener, error) {
	return &Listener{fd: fd, address: local}, nil
}

// Accept returns the next connection. Where FD is not negative it does not wait:
// without a connection it returns EAGAIN (event.ErrAgain). Elsewhere it waits, and
// returns net.ErrClosed after Close. Other errors are IsExhausted, or of a
// listener that is broken. Connections that ended in the queue are skipped.
func (l *Listener) Accept() (Socket, error) {
	for {
		fd, remote, errno := acceptFrom(l.fd)
		switch errno {
		case 0:
			local := l.localOf(fd)
			return Socket{FD: fd, Local: local, Remote: named(remote, local)}, nil
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP,
			unix.ENETDOWN, unix.ENETUNREACH, unix.ENONET, unix.EHOSTDOWN, unix.EHOSTUNREACH:
			continue // errors of the connection, see accept(2)
		case unix.EAGAIN:
			return Socket{}, errno
		case unix.EBADF:
			return Socket{}, net.ErrClosed
		}
		return Socket{}, os.NewSyscallError("accept4", errno)
	}
}

// acceptFrom is accept4. unix.Accept4 asks for the protocol of the listening socket at
// each call, and makes the runtime expect that it waits.
func acceptFrom(listener int) (fd int, remote address.Address, errno unix.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&sa)),
		uintptr(unsafe.Pointer(&size)), newFlags, 0, 0)
	if errno != 0 {
		return -1, address.Address{}, errno
	}
	fd = int(n)
	if sa.Addr.Family == unix.AF_INET {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
		return fd, fromRaw(netip.AddrFrom4(in.Addr), &in.Port), 0
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return fd, address.Address{}, 0 // it is gone already: reading will tell
	}
	return fd, fromSockaddr(peer), 0
}

// localOf asks the system only if the listener does not know.
func (l *Listener) localOf(fd int) address.Address {
	if l.address.IsUnix() || !l.address.IP().IsUnspecified() {
		return l.address
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return l.address
	}
	return fromSockaddr(sa)
}

// Close closes the socket. Acceptors on it are closed before.
func (l *Listener) Close() error {
	fd := l.fd
	l.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// Connect begins a connection to remote. It does not wait: the result comes from
// event.Socket.Connected. It fails if that is certain at once, as when there is no
// route or no such Unix socket.
func Connect(remote address.Address, o *ConnectOptions) (Socket, error) {
	if !remote.IsValid() {
		return Socket{}, errNoAddress
	}
	fd, err := newSocket(remote)
	if err != nil {
		return Socket{}, os.NewSyscallError("socket", err)
	}
	if err := connect(fd, remote, o); err != nil {
		unix.Close(fd)
		return Socket{}, err
	}
	return Socket{FD: fd, Remote: remote}, nil
}

func connect(fd int, remote address.Address, o *ConnectOptions) error {
	err := run([]step{
		{!remote.IsUnix(), func() error { return set(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, "TCP_NODELAY") }},
		{!remote.IsUnix(), func() error { return setKeepAlive(fd, o.KeepAlive) }},
		{o.Freebind, func() error { return freebind(fd, remote) }},
		{o.Transparent, func() error { return transparent(fd, remote) }},
		{o.Mark != 0, func() error { return set(fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark), "SO_MARK") }},
		{len(o.Options) > 0, func() error { return setOptions(fd, remote, o.Options, preBind) }},
		{o.Source.IsValid(), func() error { return bindSource(fd, o.Source) }},
		{len(o.Options) > 0, func() error { return setOptions(fd, remote, o.Options, bound) }},
	})
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, toSockaddr(remote)); err != nil && err != unix.EINPROGRESS {
		return err
	}
	return nil
}

// bindSource leaves a port of 0 open until connect, when the system may choose one
// that is in use to another peer.
func bindSource(fd int, source address.Address) error {
	if !source.IsUnix() && source.Port() == 0 {
		if err := set(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT"); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, toSockaddr(source)); err != nil {
		return &BindError{Source: source, Err: err}
	}
	return nil
}

// originalDst is SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST.
const originalDst = 80

// OriginalDestination returns where the connection fd was going before a rule of the
// system's packet filter redirected it to local, or steered it to a transparent listener
// there; false if there was none.
func OriginalDestination(fd int, local address.Address) (address.Address, bool) {
	switch {
	case local.IsUnix():
		return address.Address{}, false
	case local.IP().Is4():
		var sa unix.RawSockaddrInet4
		if errno := getOriginal(fd, unix.SOL_IP, unsafe.Pointer(&sa), unix.SizeofSockaddrInet4); errno != 0 {
			return steered(fd, unix.SOL_IP, unix.IP_TRANSPARENT)
		}
		return fromRaw(netip.AddrFrom4(sa.Addr), &sa.Port), true
	}
	var sa unix.RawSockaddrInet6
	if errno := getOriginal(fd, unix.SOL_IPV6, unsafe.Pointer(&sa), unix.SizeofSockaddrInet6); errno != 0 {
		return steered(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT)
	}
	return fromRaw(netip.AddrFrom16(sa.Addr), &sa.Port), true
}

// steered returns the address of a connection of a transparent listener, which is the one
// that the peer meant.
func steered(fd, level, option int) (address.Address, bool) {
	if on, err := unix.GetsockoptInt(fd, level, option); err != nil || on == 0 {
		return address.Address{}, false
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return address.Address{}, false
	}
	return fromSockaddr(sa), true
}

func getOriginal(fd, level int, sa unsafe.Pointer, size uint32) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), originalDst,
		uintptr(sa), uintptr(unsafe.Pointer(&size)), 0)
	return errno
}

// fromRaw returns an address whose port is in the order of the network.
func fromRaw(ip netip.Addr, port *uint16) address.Address {
	b := (*[2]byte)(unsafe.Pointer(port))
	return address.FromAddrPort(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[:])))
}
