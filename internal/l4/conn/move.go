package conn

import (
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

// Detach takes an idle connection off its loop, so that its owner can post it to
// another worker and Attach it there. It reports false, and changes nothing, if the
// connection is not open, not read from, the end of a pipe, or has bytes in a buffer, the transport's included. It is called on
// the connection's worker, but not from inside a callback of the connection.
func (c *Conn) Detach() bool {
	if c.state != network.Open || c.readDisabled > 0 || c.readEnded || c.writeEnded ||
		c.in.Len() > 0 || c.out.Len() > 0 || c.flushQueued || c.blocked || c.socket.Pipe() != nil {
		return false
	}
	if c.transport != nil && !c.transport.detach() {
		return false
	}
	c.socket.Detach()
	return true
}

// Attach puts a detached connection on l, on l's worker. What came meanwhile is
// read there in the next turn. After an error the connection is still open, and can
// only be closed.
func (c *Conn) Attach(l *event.Loop) error {
	c.loop = l
	c.in.Init(l.Buffers())
	c.out.Init(l.Buffers())
	c.mayRead, c.redeliver = false, false
	if c.transport != nil {
		c.transport.attach()
	}
	return c.socket.Attach(l, c, event.Readable)
}
