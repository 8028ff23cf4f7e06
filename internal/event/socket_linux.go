package event

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// errPortable is the error of attaching a file descriptor to a portable loop.
var errPortable = errors.New("event: a portable loop takes no file descriptors")

func (s *Socket) events() uint32 {
	if s.state&wantsWrites != 0 {
		return syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollEdge
	}
	return syscall.EPOLLIN | syscall.EPOLLRDHUP | epollEdge
}

func (s *Socket) add() error {
	p, ok := s.loop.poll.(*epoll)
	if !ok {
		return errPortable
	}
	var err error
	s.watch, err = p.add(int(s.fd), s.events(), s)
	return err
}

func (s *Socket) remove() { s.loop.poll.(*epoll).remove(int(s.fd), s.watch) }

// modify tells epoll that writability is wanted, for good: edge-triggered, it
// costs nothing afterwards.
func (s *Socket) modify() error {
	p := s.loop.poll.(*epoll)
	if errno := p.control(syscall.EPOLL_CTL_MOD, int(s.fd), s.events(), s.watch); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

func (s *Socket) onEpoll(events uint32) {
	var r Ready
	if events&syscall.EPOLLIN != 0 {
		r |= Readable
	}
	if events&syscall.EPOLLOUT != 0 {
		r |= Writable
	}
	if events&syscall.EPOLLRDHUP != 0 {
		r |= PeerClosed | Readable
	}
	if events&(syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
		r |= Readable | Writable | PeerClosed
		if events&syscall.EPOLLERR != 0 {
			r |= Failed
		}
	}
	if r&Readable != 0 {
		s.state &^= drained
	}
	if r&Writable != 0 {
		s.state &^= full
	}
	if r&PeerClosed != 0 {
		s.state |= closing
	}
	s.tell(r)
}

// The calls below never block, so the runtime need not know of them: RawSyscall
// saves its bookkeeping.

func (s *Socket) readFD(bufs [][]byte) (n, room int, errno syscall.Errno) {
	var r uintptr
	for {
		if len(bufs) == 1 {
			room = len(bufs[0])
			r, _, errno = syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&bufs[0][0])), uintptr(room), 0, 0, 0)
		} else {
			var v [MaxSlices]syscall.Iovec
			var count int
			count, room = vector(&v, bufs)
			r, _, errno = syscall.RawSyscall(syscall.SYS_READV, uintptr(s.fd), uintptr(unsafe.Pointer(&v)), uintptr(count))
		}
		if errno == 0 {
			return int(r), room, 0
		}
		if errno != syscall.EINTR {
			return 0, room, errno
		}
	}
}

func (s *Socket) writeFD(bufs [][]byte) (n, size int, errno syscall.Errno) {
	var r uintptr
	for {
		if len(bufs) == 1 && len(bufs[0]) > 0 {
			size = len(bufs[0])
			r, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&bufs[0][0])), uintptr(size), syscall.MSG_NOSIGNAL, 0, 0)
		} else {
			var v [MaxSlices]syscall.Iovec
			var count int
			if count, size = vector(&v, bufs); size == 0 {
				return 0, 0, 0
			}
			r, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(s.fd), uintptr(unsafe.Pointer(&v)), uintptr(count))
		}
		if errno == 0 {
			return int(r), size, 0
		}
		if errno != syscall.EINTR {
			return 0, size, errno
		}
	}
}

// vector fills v with the slices of bufs that are not empty, as many as fit.
func vector(v *[MaxSlices]syscall.Iovec, bufs [][]byte) (count, size int) {
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		if count == len(v) {
			break
		}
		v[count].Base = &b[0]
		v[count].SetLen(len(b))
		count++
		size += len(b)
	}
	return count, size
}

func (s *Socket) connectedFD() error {
	if !s.open {
		return net.ErrClosed
	}
	switch code, err := syscall.GetsockoptInt(int(s.fd), syscall.SOL_SOCKET, syscall.SO_ERROR); {
	case err != nil:
		return os.NewSyscallError("getsockopt", err)
	case code != 0:
		return syscall.Errno(code)
	}
	if _, err := syscall.Getpeername(int(s.fd)); err == syscall.ENOTCONN {
		return ErrAgain
	}
	return nil
}

func (s *Socket) rttFD() (time.Duration, bool) {
	// The system fills as much of the information as there is room for.
	var info syscall.TCPInfo
	size := uint32(unsafe.Offsetof(info.Rtt) + unsafe.Sizeof(info.Rtt))
	want := size
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, uintptr(s.fd), syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return time.Duration(info.Rtt) * time.Microsecond, errno == 0 && size == want
}

func (s *Socket) closeWriteFD() error {
	if !s.open {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", syscall.Shutdown(int(s.fd), syscall.SHUT_WR))
}

func (s *Socket) closeFD(reset bool) {
	if reset {
		// Fails for Unix sockets only, which know no reset.
		_ = syscall.SetsockoptLinger(int(s.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	if s.loop != nil {
		s.loop.poll.(*epoll).forget(s.watch)
	}
	// The descriptor is gone whatever close returns. It may block if somebody set
	// SO_LINGER, so the runtime knows of this call.
	syscall.Close(int(s.fd))
}

func (s *Socket) addressFD(remote bool) address.Address {
	if !s.open {
		return address.Address{}
	}
	name := syscall.Getsockname
	if remote {
		name = syscall.Getpeername
	}
	sa, err := name(int(s.fd))
	if err != nil {
		return address.Address{}
	}
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return address.FromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *syscall.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.ZoneId)))
		}
		return address.FromAddrPort(netip.AddrPortFrom(ip, uint16(sa.Port)))
	case *syscall.SockaddrUnix:
		if sa.Name == "@" && remote { // has no name
			return s.addressFD(false)
		}
		return address.Unix(sa.Name)
	}
	return address.Address{}
}
