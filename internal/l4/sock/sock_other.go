//go:build unix && !linux

package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
)

func newSocket(a address.Address) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family(a), unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}

func closeFD(fd int) { unix.Close(fd) }

// errUnsupported is the error of an option that this system does not have.
func errUnsupported(option string) error {
	return fmt.Errorf("%s: %w on this system", option, errors.ErrUnsupported)
}

func freebind(int, address.Address) error    { return errUnsupported("freebind") }
func transparent(int, address.Address) error { return errUnsupported("transparent") }

func newListener(fd int, local address.Address) (*Listener, error) {
	f := os.NewFile(uintptr(fd), local.String())
	defer f.Close() // FileListener has its own copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return &Listener{fd: -1, blocks: l, address: local}, nil
}

// Accept waits for the next connection, and returns net.ErrClosed after Close.
// Other errors are IsExhausted, or of a listener that is broken.
func (l *Listener) Accept() (Socket, error) {
	c, err := l.blocks.Accept()
	if err != nil {
		return Socket{}, err
	}
	local := address.FromNetAddr(c.LocalAddr())
	return Socket{FD: -1, Conn: c, Local: local, Remote: named(address.FromNetAddr(c.RemoteAddr()), local)}, nil
}

// Close closes the socket. Acceptors on it are closed before.
func (l *Listener) Close() error { return l.blocks.Close() }

// Connect returns a socket whose Dial connects to remote.
func Connect(remote address.Address, o *ConnectOptions) (Socket, error) {
	if !remote.IsValid() {
		return Socket{}, errNoAddress
	}
	network, d := "tcp", net.Dialer{KeepAlive: -1}
	if remote.IsUnix() {
		network = "unix"
	}
	switch {
	case o.Freebind:
		return Socket{}, errUnsupported("freebind")
	case o.Transparent:
		return Socket{}, errUnsupported("transparent")
	case o.Mark != 0:
		return Socket{}, errUnsupported("a mark")
	case o.Source.IsUnix():
		d.LocalAddr = &net.UnixAddr{Name: o.Source.Path(), Net: network}
	case o.Source.IsValid():
		d.LocalAddr = net.TCPAddrFromAddrPort(o.Source.AddrPort())
	}
	for _, option := range o.Options {
		if option.State == bound {
			return Socket{}, errUnsupported(fmt.Sprintf("socket option %d/%d after bind", option.Level, option.Name))
		}
	}
	d.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		return joinControl(c.Control(func(fd uintptr) {
			if !remote.IsUnix() {
				err = setKeepAlive(int(fd), o.KeepAlive)
			}
			if err == nil {
				err = setOptions(int(fd), remote, o.Options, preBind)
			}
		}), &err)
	}
	return Socket{FD: -1, Remote: remote, Dial: func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, network, remote.String())
	}}, nil
}

// joinControl returns the error of a Control call, or that of the function it
// called.
func joinControl(outer error, inner *error) error {
	if outer != nil {
		return outer
	}
	return *inner
}

// OriginalDestination returns false: only Linux tells where a redirected connection was
// going.
func OriginalDestination(int, address.Address) (address.Address, bool) {
	return address.Address{}, false
}
