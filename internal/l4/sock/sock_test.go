package sock

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

func ip(s string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(s)) }

func listenOn(t *testing.T, a address.Address, o ListenOptions) *Listener {
	t.Helper()
	l, err := Listen(a, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// netConn makes a socket something a test can read, and waits for its connection.
func netConn(t *testing.T, s Socket) net.Conn {
	t.Helper()
	c := s.Conn
	var err error
	switch {
	case s.Dial != nil:
		c, err = s.Dial(context.Background())
	case s.Conn == nil:
		waitFor(t, s.FD, unix.POLLOUT)
		f := os.NewFile(uintptr(s.FD), "socket")
		defer f.Close()
		c, err = net.FileConn(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func waitFor(t *testing.T, fd int, events int16) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 10_000)
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			t.Fatalf("poll: %d, %v", n, err)
		default:
			return
		}
	}
}

func accept(t *testing.T, l *Listener) Socket {
	t.Helper()
	if l.FD() >= 0 {
		waitFor(t, l.FD(), unix.POLLIN)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestListenAcceptConnect(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name    string
		listen  address.Address
		listenO ListenOptions
		via     string // connect to this host instead
		connect ConnectOptions
		remote  string // what the listener sees, without port
	}{
		{name: "IPv4", listen: ip("127.0.0.1:0"), remote: "127.0.0.1"},
		{name: "IPv6", listen: ip("[::1]:0"), remote: "::1"},
		{name: "any", listen: ip("0.0.0.0:0"), via: "127.0.0.2", remote: "127.0.0.1"},
		{name: "source", listen: ip("127.0.0.1:0"), connect: ConnectOptions{Source: ip("127.0.0.3:0")}, remote: "127.0.0.3"},
		{name: "dual stack", listen: ip("[::]:0"), listenO: ListenOptions{IPv4Compat: true}, via: "127.0.0.1", remote: "127.0.0.1"},
		{name: "Unix", listen: address.Unix(filepath.Join(dir, "s")), remote: ""},
		{name: "abstract", listen: address.Unix("@nuncio-test-" + filepath.Base(dir) + dir), remote: ""},
		{name: "all options", listen: ip("127.0.0.1:0"), listenO: ListenOptions{
			Backlog: 5, ReusePort: true, FastOpen: new(int),
			KeepAlive: addr.KeepAlive{Enabled: true, Probes: 3, Idle: 1e9, Interval: 2e9},
		}, connect: ConnectOptions{KeepAlive: addr.KeepAlive{Enabled: true, Idle: 5e9}}, remote: "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listenOn(t, c.listen, c.listenO)
			to := l.Address()
			if c.via != "" {
				to = address.FromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.via), to.Port()))
			}
			s, err := Connect(to, &c.connect)
			if err != nil {
				t.Fatal(err)
			}
			if s.Remote != to {
				t.Errorf("connects to %v", s.Remote)
			}
			made := make(chan net.Conn)
			go func() { made <- netConn(t, s) }()
			a := accept(t, l)
			client, server := <-made, netConn(t, a)
			if a.Local != to {
				t.Errorf("accepted at %v, connected to %v", a.Local, to)
			}
			if c.remote == "" { // a Unix client without a name of its own
				c.remote = to.String()
			}
			if a.Remote.WithoutPort() != c.remote {
				t.Errorf("accepted from %q", a.Remote)
			}
			go func() { _, _ = client.Write([]byte("hello")); client.Close() }()
			if got, err := io.ReadAll(server); string(got) != "hello" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestListenErrors(t *testing.T) {
	busy := listenOn(t, ip("127.0.0.1:0"), ListenOptions{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a    address.Address
		o    ListenOptions
		is   error
		text string
	}{
		{a: busy.Address(), is: syscall.EADDRINUSE, text: "cannot bind '" + busy.Address().String() + "': "},
		{a: address.Unix(file), is: syscall.EADDRINUSE, text: "cannot bind '" + file + "': "},
		{a: address.Unix("/nonexistent/dir/s"), is: syscall.ENOENT, text: "cannot bind '/nonexistent/dir/s': "},
		{a: ip("192.0.2.1:0"), is: syscall.EADDRNOTAVAIL, text: "cannot bind '192.0.2.1:0': "},
		{a: address.Address{}, text: "no address"},
		{a: ip("127.0.0.1:0"), o: ListenOptions{Options: []addr.SocketOption{{Level: 1, Name: 9999, Value: []byte{1, 0, 0, 0}}}},
			text: "cannot set socket option 1/9999: "},
	} {
		l, err := Listen(c.a, &c.o)
		if err == nil {
			l.Close()
			t.Errorf("listens on %v", c.a)
			continue
		}
		if !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%v: %v", c.a, err)
		}
	}
	if got, _ := os.ReadFile(file); string(got) != "precious" {
		t.Error("a file that is no socket was removed")
	}
}

func TestUnixSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := listenOn(t, address.Unix(path), ListenOptions{})
	second := listenOn(t, address.Unix(path), ListenOptions{Mode: 0o620})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o620 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if first.Address() != second.Address() {
		t.Error("addresses differ")
	}
}

func TestReusePort(t *testing.T) {
	first := listenOn(t, ip("127.0.0.1:0"), ListenOptions{ReusePort: true})
	second := listenOn(t, first.Address(), ListenOptions{ReusePort: true})
	if first.Address() != second.Address() {
		t.Errorf("%v, %v", first.Address(), second.Address())
	}
}

func TestNetListener(t *testing.T) {
	l, err := Listen(ip("127.0.0.1:0"), &ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := l.NetListener()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if address.FromNetAddr(n.Addr()) != l.Address() {
		t.Errorf("listens on %v, not %v", n.Addr(), l.Address())
	}
	s, err := Connect(l.Address(), &ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	netConn(t, s)
	c, err := n.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestClose(t *testing.T) {
	l := listenOn(t, ip("127.0.0.1:0"), ListenOptions{})
	client, err := Connect(l.Address(), &ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := netConn(t, client)
	accept(t, l).Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of a closed connection", n)
	}
	unused, err := Connect(l.Address(), &ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unused.Close()
	if _, err := Connect(address.Address{}, &ConnectOptions{}); err == nil {
		t.Error("connects to no address")
	}
}

func TestIsExhausted(t *testing.T) {
	for err, want := range map[error]bool{
		os.NewSyscallError("accept4", syscall.EMFILE):                   true,
		&net.OpError{Err: os.NewSyscallError("accept", syscall.ENFILE)}: true,
		syscall.ENOMEM:       true,
		syscall.ECONNREFUSED: false,
		io.EOF:               false,
		nil:                  false,
	} {
		if IsExhausted(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
