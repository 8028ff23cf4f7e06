package sock

import (
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

func value(t *testing.T, fd, level, name int) int {
	t.Helper()
	v, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestOptionsAreSet looks at listening, accepted and connected sockets.
func TestOptionsAreSet(t *testing.T) {
	five := 5
	keepAlive := addr.KeepAlive{Enabled: true, Probes: 3, Idle: 7e9, Interval: 2e9}
	buffer := func(name int, state addr.State, skip4 bool) addr.SocketOption {
		return addr.SocketOption{Level: unix.SOL_SOCKET, Name: name, State: state, SkipIPv4: skip4,
			Value: binary.NativeEndian.AppendUint32(nil, 30_000)}
	}
	l := listenOn(t, ip("127.0.0.1:0"), ListenOptions{ReusePort: true, Freebind: true, FastOpen: &five, KeepAlive: keepAlive,
		Options: []addr.SocketOption{buffer(unix.SO_RCVBUF, addr.PreBind, false), buffer(unix.SO_SNDBUF, addr.Listening, false)}})
	source := ConnectOptions{Source: ip("127.0.0.1:0"), KeepAlive: keepAlive,
		Options: []addr.SocketOption{buffer(unix.SO_RCVBUF, addr.Bound, false), buffer(unix.SO_SNDBUF, addr.PreBind, true)}}
	client, err := Connect(l.Address(), &source)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server := accept(t, l)
	defer server.Close()
	for _, c := range []struct {
		what            string
		fd, level, name int
		want, not       int // not: any value but that
	}{
		{"reuse port", l.FD(), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, 0},
		{"reuse address", l.FD(), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, 0},
		{"freebind", l.FD(), unix.SOL_IP, unix.IP_FREEBIND, 1, 0},
		{"fast open", l.FD(), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5, 0},
		{"receive buffer", l.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 60_000, 0},
		{"send buffer", l.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 60_000, 0},
		{"no delay, accepted", server.FD, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, 0},
		{"keep-alive, accepted", server.FD, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 0},
		{"probes, accepted", server.FD, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3, 0},
		{"no delay, connected", client.FD, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, 0},
		{"idle, connected", client.FD, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7, 0},
		{"interval, connected", client.FD, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 2, 0},
		{"port at connect", client.FD, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1, 0},
		{"receive buffer, connected", client.FD, unix.SOL_SOCKET, unix.SO_RCVBUF, 60_000, 0},
		{"send buffer, connected, skipped", client.FD, unix.SOL_SOCKET, unix.SO_SNDBUF, 0, 60_000},
	} {
		got := value(t, c.fd, c.level, c.name)
		if c.not == 0 && got != c.want || c.not != 0 && got == c.not {
			t.Errorf("%s: %d", c.what, got)
		}
	}
	for _, fd := range []int{l.FD(), client.FD, server.FD} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		closes, err2 := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || err2 != nil || flags&unix.O_NONBLOCK == 0 || closes&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d: flags %x, %x", fd, flags, closes)
		}
	}
}

func TestAcceptDoesNotWait(t *testing.T) {
	l, err := Listen(ip("127.0.0.1:0"), &ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("accept without a connection: %v", err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after Close: %v", err)
	}
}

// TestAcceptWithoutDescriptors runs out of descriptors, and recovers: the connection
// waits meanwhile.
func TestAcceptWithoutDescriptors(t *testing.T) {
	l := listenOn(t, ip("127.0.0.1:0"), ListenOptions{})
	client, err := Connect(l.Address(), &ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	waitFor(t, l.FD(), unix.POLLIN)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, acceptErr := l.Accept()
	_, connectErr := Connect(l.Address(), &ConnectOptions{})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !IsExhausted(acceptErr) || !IsExhausted(connectErr) {
		t.Errorf("accept %v, connect %v", acceptErr, connectErr)
	}
	accept(t, l).Close()
}

func TestConnectFailsAtOnce(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		to   address.Address
		o    ConnectOptions
		want error
	}{
		{to: address.Unix(filepath.Join(dir, "none")), want: syscall.ENOENT},
		{to: ip("127.0.0.1:9"), o: ConnectOptions{Source: ip("192.0.2.1:0")}, want: syscall.EADDRNOTAVAIL},
		{to: ip("127.0.0.1:9"), o: ConnectOptions{Options: []addr.SocketOption{{Level: 1, Name: 9999, Value: make([]byte, 4)}}}, want: syscall.ENOPROTOOPT},
	} {
		if s, err := Connect(c.to, &c.o); !errors.Is(err, c.want) {
			s.Close()
			t.Errorf("%v: %v", c.to, err)
		}
	}
}

// TestTransparent connects from an address that this host has to be allowed to use, with a
// mark.
func TestTransparent(t *testing.T) {
	l := listenOn(t, ip("127.0.0.1:0"), ListenOptions{})
	s, err := Connect(l.Address(), &ConnectOptions{Source: ip("127.0.0.77:0"), Transparent: true, Mark: 5})
	if errors.Is(err, unix.EPERM) {
		t.Skip("not permitted")
	}
	if err != nil {
		t.Fatal(err)
	}
	if mark, err := unix.GetsockoptInt(s.FD, unix.SOL_SOCKET, unix.SO_MARK); mark != 5 || err != nil {
		t.Errorf("mark %d, %v", mark, err)
	}
	if on, err := unix.GetsockoptInt(s.FD, unix.SOL_IP, unix.IP_TRANSPARENT); on != 1 || err != nil {
		t.Errorf("transparent %d, %v", on, err)
	}
	netConn(t, s)
	a := accept(t, l)
	defer a.Close()
	if a.Remote.WithoutPort() != "127.0.0.77" {
		t.Errorf("comes from %s", a.Remote)
	}
}
