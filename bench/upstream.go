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

// A service is what the upstream serves on one port.
type service string

const (
	serveHTTP  service = "http"  // HTTP/1.1 with keep-alive and pipelining: 1 MiB at bigPath, a small body elsewhere
	serveEcho  service = "echo"  // TCP
	serveH2    service = "h2"    // HTTP/2 with prior knowledge: a small body
	serveH2Big service = "h2-1m" // the same: 1 MiB
	serveGRPC  service = "grpc"  // the same: a gRPC message and status 0
)

// upstreamPorts is what the upstream process prints once it listens. Services
// over TLS, which only "direct" measurements reach, have the certificate's name
// added.
type upstreamPorts map[service]int

func (s service) over(cert string) service { return s + "+" + service(cert) }

// An upstream is the server behind the proxies. One epoll loop, one thread (but
// for TLS).
type upstream struct {
	poller    *poller
	listeners map[int]service
	conns     []*upstreamConn
	small     []byte
	big       *os.File // the whole response: sendfile spares the load core a copy
	bigLen    int
	answers   map[service]*h2Answer
	buf       [64 << 10]byte
}

// upstreamConn is one accepted connection.
type upstreamConn struct {
	fd   int
	echo bool
	in   []byte    // requests not answered yet
	sent int64     // bytes of the big response sent, -1 when none is under way
	h2   *h2Server // nil: not HTTP/2
	done int       // bytes of h2.out that have been sent
}

// upstreamMain serves until the process is killed. Certificates are in dir.
func upstreamMain(dir string) error {
	u, ports, err := newUpstream(dir)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return err
	}
	return u.serve()
}

func newUpstream(dir string) (u *upstream, ports upstreamPorts, err error) {
	u = &upstream{
		small:     okResponse(bytes.Repeat([]byte{'x'}, smallBody)),
		listeners: map[int]service{},
		answers: map[service]*h2Answer{
			serveH2: newTextAnswer(smallBody), serveH2Big: newTextAnswer(bigBody), serveGRPC: newGRPCAnswer(),
		},
	}
	big := okResponse(bytes.Repeat([]byte{'x'}, bigBody))
	u.bigLen = len(big)
	if u.big, err = os.CreateTemp("", "nuncio-bench-body-"); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(u.big.Name()); err != nil {
		return nil, nil, err
	}
	if _, err := u.big.Write(big); err != nil {
		return nil, nil, err
	}
	if u.poller, err = newPoller(); err != nil {
		return nil, nil, err
	}
	ports = upstreamPorts{}
	for _, s := range []service{serveHTTP, serveEcho, serveH2, serveH2Big, serveGRPC} {
		fd, port, err := listen()
		if err != nil {
			return nil, nil, err
		}
		u.listeners[fd], ports[s] = s, port
		if err := u.poller.add(fd, fd, syscall.EPOLLIN); err != nil {
			return nil, nil, err
		}
	}
	return u, ports, u.listenTLS(dir, ports)
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
			s, listener := u.listeners[fd]
			switch {
			case listener:
				if err := u.accept(fd, s); err != nil {
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

func (u *upstream) accept(listener int, s service) error {
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
	c := &upstreamConn{fd: fd, echo: s == serveEcho, sent: -1}
	if answer := u.answers[s]; answer != nil {
		c.h2 = newH2Server(answer)
	}
	u.conns[fd] = c
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
		case c.h2 != nil:
			if c.h2.feed(u.buf[:n]) != nil {
				return false
			}
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
	if c.h2 != nil {
		return sendH2(c)
	}
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

// sendH2 sends what the socket and the windows take, and false if it has failed.
func sendH2(c *upstreamConn) bool {
	for len(c.h2.out) > 0 {
		n, errno := write(c.fd, c.h2.out[c.done:])
		if errno != 0 {
			return errno == syscall.EAGAIN
		}
		if c.done += n; c.done < len(c.h2.out) {
			return true // EPOLLOUT follows
		}
		c.h2.out, c.done = c.h2.out[:0], 0
		if c.h2.pump() != nil {
			return false
		}
	}
	return true
}

// writeAll writes a message that is small next to a socket's buffer; one that
// does not fit means a client that does not read, whose connection ends.
func writeAll(fd int, p []byte) bool {
	n, errno := write(fd, p)
	return errno == 0 && n == len(p)
}
