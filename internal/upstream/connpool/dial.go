package connpool

import (
	"fmt"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	apievent "github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/conn"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// DialConfig describes the connections of a cluster.
type DialConfig struct {
	Socket         sock.ConnectOptions
	ConnectTimeout time.Duration
	BufferLimit    int
	// Transport returns what makes the transports of connections to h; nil for plain ones.
	// Any worker. Nil: all are plain.
	Transport func(h transport.Host) transport.ClientFactory
	// Internal is used for hosts that are internal listeners. Nil: there are none.
	Internal InternalDialer
	// NextID returns an ID that no other connection of the process has. Any goroutine.
	NextID func() uint64
}

// An InternalDialer makes a connection to the internal listener that an address names, on
// l, the loop of the worker that calls; the listener gets what is passed along. An error
// is a system's.
type InternalDialer func(l *event.Loop, to address.Address, with transport.Passed) (*event.Pipe, error)

// NewDialer returns a Dialer of TCP and Unix sockets. Its dispatchers are the loops
// of internal/event.
func NewDialer(c DialConfig) Dialer {
	return func(d apievent.Dispatcher, h transport.Host, o *transport.Options) Conn {
		config := conn.Config{ID: c.NextID(), BufferLimit: c.BufferLimit}
		to := h.Address()
		var passed transport.Passed
		if c.Transport != nil {
			if f := c.Transport(h); f != nil {
				config.Transport = f.New(o, h)
				if p, ok := f.(transport.Passer); ok && to.IsInternal() {
					passed = p.Pass(d, o, h)
				}
				if p, ok := f.(transport.Proxied); ok && p.Via(o).IsValid() {
					to = p.Via(o)
				}
			}
		}
		if to.IsInternal() {
			return socketConn{c.dialInternal(loopOf(d), to, passed, config)}
		}
		socket := &c.Socket
		if o != nil && o.Source != nil && to.IP().IsValid() {
			from := c.Socket
			from.Source, from.Mark, from.Transparent = o.Source.Address, o.Source.Mark, true
			socket = &from
		}
		return socketConn{conn.Dial(loopOf(d), to, socket, c.ConnectTimeout, config)}
	}
}

func (c *DialConfig) dialInternal(l *event.Loop, to address.Address, passed transport.Passed, config conn.Config) *conn.Conn {
	var err error = syscall.EINVAL
	if c.Internal != nil {
		config.Pipe, err = c.Internal(l, to, passed)
	}
	return conn.DialPipe(l, to, err, c.ConnectTimeout, config)
}

// socketConn is a Conn on an event.Loop.
type socketConn struct{ *conn.Conn }

func (c socketConn) Attach(d apievent.Dispatcher) error { return c.Conn.Attach(loopOf(d)) }

func loopOf(d apievent.Dispatcher) *event.Loop {
	l, ok := d.(*event.Loop)
	if !ok {
		panic(fmt.Sprintf("connpool: %T is no event loop", d))
	}
	return l
}
