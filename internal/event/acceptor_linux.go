package event

import "syscall"

// add watches the descriptor level-triggered, so that what onReady leaves comes
// again; exclusively, so that a shared socket does not wake all loops.
func (a *Acceptor[T]) add() error {
	p, ok := a.loop.poll.(*epoll)
	if !ok {
		return errPortable
	}
	var err error
	a.watch, err = p.add(a.fd, syscall.EPOLLIN|epollExclusive, a)
	return err
}

func (a *Acceptor[T]) remove() {
	if a.fd >= 0 {
		a.loop.poll.(*epoll).remove(a.fd, a.watch)
	}
}

func (a *Acceptor[T]) onEpoll(uint32) {
	a.loop.owner = nil
	a.onReady()
}
