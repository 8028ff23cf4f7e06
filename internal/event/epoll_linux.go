package event

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Flags of epoll that package syscall lacks, or has as negative numbers.
const (
	epollEdge      = 1 << 31
	epollExclusive = 1 << 28
)

// An epoll is the poller of a loop on Linux. What it watches stands in a slab, and
// an event carries index and generation, so that an event of a descriptor that was
// closed earlier in the same batch is recognised and dropped.
type epoll struct {
	fd     int
	wakeFD int // an eventfd; edge-triggered, so that nobody needs to read it

	events      [MaxEventsPerTurn]syscall.EpollEvent
	next, count int // events[next:count] are not handled yet
	slots       []slot
	free        []int32
}

type slot struct {
	target     target
	generation int32
}

// A target is told the epoll events of its descriptor.
type target interface{ onEpoll(events uint32) }

// A watch is where a target stands in the slab.
type watch struct{ slot, generation int32 }

// wakeSlot is the slot of wakeFD.
const wakeSlot = -1

func newPoller(_ *Loop, portable bool) (poller, error) {
	if portable {
		return newSleeper(), nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeFD, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		syscall.Close(fd)
		return nil, os.NewSyscallError("eventfd2", errno)
	}
	p := &epoll{fd: fd, wakeFD: int(wakeFD)}
	if errno := p.control(syscall.EPOLL_CTL_ADD, p.wakeFD, syscall.EPOLLIN|epollEdge, watch{slot: wakeSlot}); errno != 0 {
		p.close()
		return nil, os.NewSyscallError("epoll_ctl", errno)
	}
	return p, nil
}

// poll never blocks, so the runtime need not know of the call.
func (p *epoll) poll() bool {
	if p.next < p.count {
		return true
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), MaxEventsPerTurn, 0, 0, 0)
	return p.found(n, errno)
}

func (p *epoll) sleep(d time.Duration) {
	ms := -1
	if d >= 0 {
		ms = int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), MaxEventsPerTurn, uintptr(ms), 0, 0)
	p.found(n, errno)
}

// found notes the result of a wait. The only error of a sound epoll is EINTR, and
// then nothing was found.
func (p *epoll) found(n uintptr, errno syscall.Errno) bool {
	p.next, p.count = 0, int(n)
	if errno != 0 {
		p.count = 0
	}
	return p.count > 0
}

func (p *epoll) step() bool {
	if p.next >= p.count {
		return false
	}
	e := &p.events[p.next]
	p.next++
	if e.Fd == wakeSlot {
		return true
	}
	if s := &p.slots[e.Fd]; s.generation == e.Pad {
		s.target.onEpoll(e.Events)
	}
	return true
}

func (p *epoll) wake() {
	one := uint64(1)
	// Fails only if a wake-up is pending already.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.wakeFD), uintptr(unsafe.Pointer(&one)), 8)
}

func (p *epoll) close() {
	syscall.Close(p.wakeFD)
	syscall.Close(p.fd)
}

func (p *epoll) control(op, fd int, events uint32, w watch) syscall.Errno {
	e := syscall.EpollEvent{Events: events, Fd: w.slot, Pad: w.generation}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}

// add starts to watch fd for t.
func (p *epoll) add(fd int, events uint32, t target) (watch, error) {
	if len(p.free) == 0 {
		p.slots = append(p.slots, slot{})
		p.free = append(p.free, int32(len(p.slots)-1))
	}
	i := p.free[len(p.free)-1]
	w := watch{i, p.slots[i].generation}
	if errno := p.control(syscall.EPOLL_CTL_ADD, fd, events, w); errno != 0 {
		return watch{}, os.NewSyscallError("epoll_ctl", errno)
	}
	p.free = p.free[:len(p.free)-1]
	p.slots[i].target = t
	return w, nil
}

// forget frees the place of a descriptor that was removed or closed, or is about
// to be.
func (p *epoll) forget(w watch) {
	s := &p.slots[w.slot]
	s.target = nil
	s.generation++
	p.free = append(p.free, w.slot)
}

// remove stops watching fd, which stays open.
func (p *epoll) remove(fd int, w watch) {
	_ = p.control(syscall.EPOLL_CTL_DEL, fd, 0, w) // a socket that is watched can be removed
	p.forget(w)
}
