package event

import (
	"net"
	"os"
	"syscall"
	"testing"
)

func systemKinds() []kind {
	return []kind{{
		name: "epoll",
		open: func(t *testing.T, s *Socket, c *net.TCPConn) {
			s.Open(descriptor(t, c), nil, nil)
			c.Close()
		},
		connect: func(t *testing.T, s *Socket, address string) {
			to, err := net.ResolveTCPAddr("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.AddrPort().Addr().As4(), Port: to.Port}); err != syscall.EINPROGRESS {
				t.Fatal(err)
			}
			s.Open(fd, nil, nil)
		},
		listen: func(t *testing.T, l *net.TCPListener) (int, func() (closer, error)) {
			fd := descriptor(t, l)
			t.Cleanup(func() { syscall.Close(fd) })
			return fd, func() (closer, error) {
				fd, _, err := syscall.Accept4(fd, syscall.SOCK_CLOEXEC)
				if err != nil {
					return closer{}, err
				}
				f := os.NewFile(uintptr(fd), "accepted")
				defer f.Close()
				c, err := net.FileConn(f)
				return closer{c}, err
			}
		},
	}}
}

// descriptor returns a non-blocking copy of the descriptor of c.
func descriptor(t *testing.T, c syscall.Conn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil || errno != 0 {
		t.Fatal(err, errno)
	}
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		t.Fatal(err)
	}
	return int(fd)
}
