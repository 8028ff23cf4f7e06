//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"syscall"
	"time"
	"unsafe"
)

// Sockets are non-blocking, so their system calls need not tell Go's scheduler
// that they may block: RawSyscall. Only the poller's wait does.

const (
	edgeTriggered = 1 << 31 // EPOLLET, which package syscall declares as a negative number
	sysEpollWait2 = 441     // epoll_pwait2, on every architecture
	backlog       = 4096
)

// A poller is an epoll set. Its events carry the number given to add.
type poller struct {
	fd     int
	events [256]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poller{fd: fd}, err
}

func (p *poller) add(fd, number int, events uint32) error {
	ev := syscall.EpollEvent{Events: events, Fd: int32(number)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &ev)
}

// wait returns the events that are there, waiting for at most timeout (to the
// nanosecond, which is why it is epoll_pwait2) if there are none; a negative
// timeout waits for ever. The slice is valid until the next call.
func (p *poller) wait(timeout time.Duration) ([]syscall.EpollEvent, error) {
	var limit *syscall.Timespec
	if timeout >= 0 {
		t := syscall.NsecToTimespec(int64(timeout))
		limit = &t
	}
	n, _, errno := syscall.Syscall6(sysEpollWait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(limit)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case syscall.EINTR:
		return nil, nil
	}
	return nil, errno
}

// read returns 0 and no error at the end of the stream.
func read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}

// discard reads up to n bytes and drops them in the kernel, uncopied.
func discard(fd, n int) (int, syscall.Errno) {
	n1, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), 0, uintptr(n), syscall.MSG_TRUNC, 0, 0)
	return int(n1), errno
}

func write(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}

// listen returns a listening socket on a free port of 127.0.0.1, and the port.
func listen() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, name.(*syscall.SockaddrInet4).Port, syscall.Listen(fd, backlog)
}

// connect starts a connection to a port of 127.0.0.1. The source address is
// 127.0.1.source: a client that closes first leaves its port unusable for a
// minute, and one address has only some 28,000 of them.
func connect(port int, source byte) (fd int, err error) {
	const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindAddressNoPort, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 1, source}})
	}
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}
