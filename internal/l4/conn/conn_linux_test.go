package conn

import "syscall"

func dup(fd int) (int, error) {
	fd, err := syscall.Dup(fd)
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	return fd, err
}
