//go:build !linux

package event

import (
	"errors"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// On systems without epoll a Socket is always a net.Conn; attaching a file
// descriptor fails, and nothing else of this file is reached then.

type watch struct{}

func newPoller(*Loop, bool) (poller, error) { return newSleeper(), nil }

func (s *Socket) add() error    { return errors.ErrUnsupported }
func (s *Socket) remove()       {}
func (s *Socket) modify() error { return errors.ErrUnsupported }

func (s *Socket) readFD([][]byte) (n, room int, errno syscall.Errno)  { return 0, 0, syscall.ENOTSUP }
func (s *Socket) writeFD([][]byte) (n, size int, errno syscall.Errno) { return 0, 0, syscall.ENOTSUP }

func (s *Socket) connectedFD() error             { return errors.ErrUnsupported }
func (s *Socket) rttFD() (time.Duration, bool)   { return 0, false }
func (s *Socket) closeWriteFD() error            { return errors.ErrUnsupported }
func (s *Socket) closeFD(bool)                   {}
func (s *Socket) addressFD(bool) address.Address { return address.Address{} }
