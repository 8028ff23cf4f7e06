// Package sock makes sockets: it listens, accepts and connects, with the options
// that the configuration has for them. It neither waits nor reads or writes: that
// is internal/event's. On Linux it makes non-blocking file descriptors, elsewhere
// what package net makes.
package sock

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

// A Socket is a new stream connection, made by Accept or Connect. Its owner passes
// FD, Conn and Dial to event.Socket.Open, or calls Close.
type Socket struct {
	// FD is a non-blocking descriptor, or -1 if Conn or Dial is set.
	FD   int
	Conn net.Conn
	// Dial makes the connection; it blocks.
	Dial func(context.Context) (net.Conn, error)
	// Local and Remote are its addresses, as far as they are known without asking the
	// system: a connection that is being made has no Local yet.
	Local, Remote address.Address
}

// Close closes a socket that is not used.
func (s Socket) Close() {
	switch {
	case s.Conn != nil:
		s.Conn.Close()
	case s.FD >= 0 && s.Dial == nil:
		closeFD(s.FD)
	}
}

// IsExhausted reports whether err, from Accept or Connect, means that the process
// or system is out of descriptors or memory: trying again at once is of no use.
func IsExhausted(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

var errNoAddress = errors.New("cannot make a socket: no address")

// ConnectOptions are what a cluster configures of its connections.
type ConnectOptions struct {
	// Source is the address to connect from; the system's choice if not valid.
	Source address.Address
	// Freebind and Transparent allow a Source that this host does not have.
	Freebind, Transparent bool
	// Mark is SO_MARK, 0 for none; only Linux has it.
	Mark      uint32
	KeepAlive addr.KeepAlive
	// Options are set on top, in the order given; those of state Listening never.
	Options []addr.SocketOption
}

// ListenOptions are what a listener configures of its sockets.
type ListenOptions struct {
	// Backlog is the number of connections that wait to be accepted; 0: the most that
	// the system allows.
	Backlog int
	// ReusePort allows several sockets with the same address, among which the system
	// spreads connections.
	ReusePort bool
	// IPv4Compat lets an IPv6 socket take IPv4 connections.
	IPv4Compat bool
	// Freebind allows an address that this host does not have (yet), Transparent
	// accepts connections to addresses that are others'.
	Freebind, Transparent bool
	// FastOpen is the length of TCP fast open's queue; nil leaves the system's default.
	FastOpen  *int
	KeepAlive addr.KeepAlive
	// Mode are the permissions of a Unix socket's path; 0 leaves the default.
	Mode uint32
	// Options are set on top, in the order given.
	Options []addr.SocketOption
}

// A BindError is Connect's, where the system refuses ConnectOptions.Source.
type BindError struct {
	Source address.Address
	Err    error
}

// Error implements error.
func (e *BindError) Error() string {
	return "cannot bind '" + e.Source.String() + "': " + e.Err.Error()
}

// Unwrap returns what the system said.
func (e *BindError) Unwrap() error { return e.Err }
