//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	upstreamCommand = "_upstream"
	smallBody       = 93
	bigPath         = "/1m"
	bigBody         = 1 << 20
)

// upstreamPorts is what the upstream process prints once it listens.
type upstreamPorts struct{ HTTP, Echo int }

// An upstream is the server behind the proxies: HTTP/1.1 with keep-alive and
// pipelining on one port (1 MiB at bigPath, a small body at any other path),
// TCP echo on another. One epoll loop, one thread.
type upstream struct {
	poller     *poller
	http, echo int // listening sockets
	conns      []*upstreamConn
	small      []byte
	big        *os.File // the whole response: sendfile spares the load core a copy
	bigLen     int
	buf        [64 << 10]byte
}

// upstreamConn is one accepted connection.
type upstreamConn struct {
	fd   int
	echo bool
	in   []byte // requests not answered yet
	sent int64  // bytes of the big response sent, -1 when none is under way
}

// upstreamMain serves until the process is killed.
func upstreamMain() error {
	u, ports, err := newUpstream()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return err
	}
	return u.serve()
}

func newUpstream() (u *upstream, ports upstreamPorts, err error) {
	u = &upstream{small: okResponse(bytes.Repeat([]byte{'x'}, smallBody))}
	big := okResponse(bytes.Repeat([]byte{'x'}, bigBody))
	u.bigLen = len(big)
	if u.big, err = os.CreateTemp("", "nuncio-bench-body-"); err != nil {
		return nil, ports, err
	}
	if err := os.Remove(u.big.Name()); err != nil {
		return nil, ports, err
	}
	if _, err := u.big.Write(big); err != nil {
		return nil, ports, err
	}
	if u.poller, err = newPoller(); err != nil {
		return nil, ports, err
	}
	if u.http, ports.HTTP, err = listen(); err != nil {
		return nil, ports, err
	}
	if u.echo, ports.Echo, err = listen(); err != nil {
		return nil, ports, err
	}
	for _, fd := range []int{u.http, u.echo} {
		if err := u.poller.add(fd, fd, syscall.EPOLLIN); err != nil {
			return nil, ports, err
		}
	}
	return u, ports, nil
}

func okResponse(body []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
}

func (u *upstream) serve() error {
	for {
		events, err := u.poller.wait(-1)
		if err != nil {
			return err
		}
		for _, ev := range events {
			fd := int(ev.Fd)
			switch {
			case fd == u.http || fd == u.echo:
				if err := u.accept(fd); err != nil {
					return err
				}
			case fd < len(u.conns) && u.conns[fd] != nil:
				if !u.handle(u.conns[fd], ev.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP) != 0) {
					u.conns[fd] = nil
					syscall.Close(fd)
				}
			}
		}
	}
}

func (u *upstream) accept(listener int) error {
	fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("accept: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	for len(u.conns) <= fd {
		u.conns = append(u.conns, nil)
	}
	u.conns[fd] = &upstreamConn{fd: fd, echo: listener == u.echo, sent: -1}
	return u.poller.add(fd, fd, syscall.EPOLLIN|syscall.EPOLLOUT|syscall.EPOLLRDHUP|edgeTriggered)
}

// handle does what c's socket allows now and reports whether c stays open.
// Unless the peer has hung up, a short read has emptied the socket.
func (u *upstream) handle(c *upstreamConn, hangup bool) bool {
	for empty := false; ; {
		if !u.respond(c) {
			return false
		}
		if c.sent >= 0 || empty {
			return true
		}
		n, errno := read(c.fd, u.buf[:])
		switch {
		case errno == syscall.EAGAIN:
			return true
		case errno != 0 || n == 0:
			return false
		case !c.echo:
			c.in = append(c.in, u.buf[:n]...)
		case !writeAll(c.fd, u.buf[:n]):
			return false
		}
		empty = n < len(u.buf) && !hangup
	}
}

// respond answers the complete requests of c.in, until the socket is full of a
// big response.
func (u *upstream) respond(c *upstreamConn) bool {
	done := 0
	for {
		if c.sent >= 0 && !u.sendBig(c) {
			return false
		}
		if c.sent >= 0 || done == len(c.in) {
			break
		}
		path, length, err := parseRequest(c.in[done:])
		if errors.Is(err, errIncomplete) {
			break
		}
		if err != nil {
			return false
		}
		done += length
		if string(path) == bigPath {
			c.sent = 0
		} else if !writeAll(c.fd, u.small) {
			return false
		}
	}
	c.in = append(c.in[:0], c.in[done:]...)
	return true
}

// sendBig sends what the socket takes of the big response, and false if it
// has failed.
func (u *upstream) sendBig(c *upstreamConn) bool {
	for c.sent < int64(u.bigLen) {
		if _, err := syscall.Sendfile(c.fd, int(u.big.Fd()), &c.sent, u.bigLen-int(c.sent)); err != nil {
			return errors.Is(err, syscall.EAGAIN)
		}
	}
	c.sent = -1
	return true
}

// writeAll writes a message that is small next to a socket's buffer; one that
// does not fit means a client that does not read, whose connection ends.
func writeAll(fd int, p []byte) bool {
	n, errno := write(fd, p)
	return errno == 0 && n == len(p)
}
