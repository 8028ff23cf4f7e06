//go:build linux && (amd64 || arm64)

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

var errClosed = errors.New("connection closed by the proxy")

// A link is one connection of the load generator: plain or TLS, with HTTP/1.1
// (or an echo) or HTTP/2.
type link struct {
	fd       int       // -1 when not connected
	tls      *tls.Conn // nil: plain
	h2       *h2Client // nil: not HTTP/2
	response response  // of HTTP/1.1
	busy     int       // requests under way
	out      []byte    // to be written
	queued   bool      // in the loader's list of links with output
}

// open connects. With TLS it waits for the handshake: only what comes after it
// is measured here.
func (k *link) open(spec *loadSpec, source byte) error {
	fd, err := connect(spec.Port, source)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	k.fd, k.tls, k.h2, k.out = fd, nil, nil, k.out[:0]
	if spec.TLS {
		if err := k.handshake(spec.protocol()); err != nil {
			return err
		}
	}
	if spec.H2 != nil {
		k.h2 = newH2Client(*spec.H2, spec.Streams)
		k.out = append(k.out, k.h2.out...)
		k.h2.out = k.h2.out[:0]
	}
	return nil
}

// handshake blocks, for handshakeWithin at most between two flights.
func (k *link) handshake(protocol string) error {
	limit := syscall.NsecToTimeval(int64(handshakeWithin))
	if err := syscall.SetsockoptTimeval(k.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	if err := syscall.SetNonblock(k.fd, false); err != nil {
		return err
	}
	k.tls = tls.Client(socketConn{fd: k.fd}, clientConfig(protocol))
	if err := k.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if err := checkSession(k.tls.ConnectionState(), protocol, false); err != nil {
		return err
	}
	return syscall.SetNonblock(k.fd, true)
}

func (k *link) close() {
	if k.fd >= 0 {
		syscall.Close(k.fd)
	}
	k.fd = -1
}

// request adds a request to the output; stream says on which of its streams.
func (k *link) request(spec *loadSpec, stream int) error {
	k.busy++
	if k.h2 == nil {
		k.response.reset(spec.Reply)
		k.out = append(k.out, spec.Request...)
		return nil
	}
	err := k.h2.start(stream)
	k.takeOutput()
	return err
}

func (k *link) takeOutput() {
	k.out = append(k.out, k.h2.out...)
	k.h2.out = k.h2.out[:0]
}

// send writes the output; what the socket does not take now it takes after an
// event. On loopback it usually takes all, just connected too.
func (k *link) send() error {
	if len(k.out) == 0 {
		return nil
	}
	if k.tls != nil {
		_, err := k.tls.Write(k.out)
		k.out = k.out[:0]
		return err
	}
	n, errno := write(k.fd, k.out)
	switch {
	case errno == syscall.EAGAIN:
		return nil
	case errno != 0:
		return fmt.Errorf("write: %w", errno)
	}
	k.out = k.out[:copy(k.out, k.out[n:])]
	return nil
}

// receive reads until nothing is left and appends to done the numbers of the
// streams that were answered.
func (k *link) receive(buf []byte, done []int) ([]int, error) {
	for {
		big := k.tls == nil && k.h2 == nil && k.busy > 0 && k.response.body >= discardFrom
		size := len(buf)
		if big {
			size = k.response.body
		}
		n, err := k.read(buf, size, big)
		if n == 0 || err != nil {
			return done, err
		}
		switch {
		case k.h2 != nil:
			if err := k.h2.feed(buf[:n]); err != nil {
				return done, err
			}
			done = append(done, k.h2.done...)
			k.takeOutput()
		case k.busy == 0:
			return done, errExcess
		case big:
			k.response.body -= n
			if k.response.body == 0 {
				done = append(done, 0)
			}
		default:
			answered, err := k.response.feed(buf[:n])
			if err != nil {
				return done, err
			}
			if answered {
				done = append(done, 0)
			}
		}
		if k.h2 == nil && len(done) > 0 || k.tls == nil && n < size {
			return done, nil
		}
	}
}

// read returns 0 and no error when there is nothing to read now. The bytes of a
// big body stay in the kernel.
func (k *link) read(buf []byte, size int, big bool) (int, error) {
	if k.tls != nil {
		n, err := k.tls.Read(buf)
		switch {
		case errors.Is(err, errAgain):
			return n, nil
		case errors.Is(err, io.EOF):
			return n, errClosed
		}
		return n, err
	}
	var n int
	var errno syscall.Errno
	if big {
		n, errno = discard(k.fd, size)
	} else {
		n, errno = read(k.fd, buf)
	}
	switch {
	case errno == syscall.EAGAIN:
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("read: %w", errno)
	case n == 0:
		return 0, errClosed
	}
	return n, nil
}

// A socketConn lets crypto/tls use a socket: a blocking one for the handshake,
// a non-blocking one afterwards. The package keeps what it has read when Read
// fails with an error that is temporary.
type socketConn struct {
	net.Conn // nil: its other methods are not called

	fd int
}

// Read fails with errAgain if the socket is non-blocking and empty. A signal, as of Go's
// scheduler, interrupts it when the socket has a timeout.
func (c socketConn) Read(p []byte) (int, error) {
	n, err := syscall.Read(c.fd, p)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(c.fd, p)
	}
	switch {
	case err == nil && n == 0:
		return 0, io.EOF
	case err == nil:
		return n, nil
	case errors.Is(err, syscall.EAGAIN):
		return 0, errAgain
	}
	return 0, err
}

// Write writes all: requests are small next to a socket's buffer.
func (c socketConn) Write(p []byte) (int, error) {
	n, err := syscall.Write(c.fd, p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

// againError is a net.Error.
type againError struct{}

func (againError) Error() string   { return "nothing to read" }
func (againError) Timeout() bool   { return true }
func (againError) Temporary() bool { return true }

var errAgain error = againError{}

const handshakeWithin = 5 * time.Second
