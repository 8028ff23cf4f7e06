package conn

import (
	"io"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

const (
	// maxBlocks is the number of blocks that one system call reads into.
	maxBlocks = 4
	// readChunk is the number of bytes after which the filters see what was read.
	readChunk = 64 << 10
)

// ReadDisable stops or resumes reading; calls nest.
func (c *Conn) ReadDisable(disable bool) {
	if disable {
		c.readDisabled++
		return
	}
	c.readDisabled--
	if c.readDisabled == 0 && c.state == network.Open && (c.mayRead || c.in.Len() > 0) {
		c.redeliver = c.in.Len() > 0
		c.requeueRead()
	}
}

// requeueRead makes read run in the next turn: resuming is not recursion, and a
// pipelining peer does not keep others waiting.
func (c *Conn) requeueRead() {
	if c.socket.IsOpen() && c.state == network.Open {
		c.socket.Requeue(event.Readable)
	}
}

// canRead reports whether the connection takes more bytes from its socket.
func (c *Conn) canRead() bool {
	return c.readDisabled == 0 && c.state == network.Open && !c.readEnded && (c.limit == 0 || c.in.Len() < c.limit)
}

// read takes what the socket has, and hands it to the filters, until nothing is
// left or somebody else should have a turn.
func (c *Conn) read() {
	if c.redeliver && c.readDisabled == 0 && c.state == network.Open {
		c.redeliver = false
		if c.in.Len() > 0 {
			c.deliver(c.readEnded)
		}
	}
	for budget := event.MaxBytesPerTurn; c.canRead(); {
		if budget <= 0 {
			c.requeueRead()
			return
		}
		n, err := c.fill()
		budget -= n
		ended := err == io.EOF //nolint:errorlint // the data path, and a socket returns it bare
		c.readEnded = c.readEnded || ended
		if n > 0 || ended && c.halfClose {
			c.deliver(ended && c.halfClose)
		}
		switch {
		case err == event.ErrAgain: //nolint:errorlint // the data path, and a socket returns it bare
			return
		case err != nil:
			c.readFailed(err)
			return
		}
	}
	c.readBounded = c.readDisabled == 0 && c.limit > 0 && c.in.Len() >= c.limit
}

// fill reads what there is, up to readChunk bytes, into the read buffer. The error
// says that there is no more.
func (c *Conn) fill() (n int, err error) {
	if c.transport == nil {
		n, err = c.fillPlain()
	} else {
		n, err = c.transport.fill()
	}
	if err == event.ErrAgain { //nolint:errorlint // the data path, and a socket returns it bare
		c.mayRead = false
	}
	c.countBytes(n, 0)
	if c.stats != nil && c.stats.ReadTotal != nil && n > 0 {
		c.stats.ReadTotal.Add(c.loop.Shard(), uint64(n))
	}
	return n, err
}

func (c *Conn) fillPlain() (n int, err error) {
	if p := c.socket.Pipe(); p != nil {
		return p.Read(&c.in, readChunk)
	}
	var room [maxBlocks][]byte
	for n < readChunk && err == nil {
		slices := c.in.Reserve(room[:0], int(c.blocks))
		var took int
		took, err = c.socket.Read(slices)
		c.blocks = 1
		if took == capacity(slices) {
			c.blocks = maxBlocks
		}
		c.in.Commit(slices, took)
		n += took
	}
	return n, err
}

func capacity(slices [][]byte) (n int) {
	for _, s := range slices {
		n += len(s)
	}
	return n
}

// deliver hands the read buffer to the filters.
func (c *Conn) deliver(endStream bool) {
	c.runRead(c.firstFilter(), &c.in, endStream)
	c.gaugeRead()
}

// gaugeRead tells the statistics how much the read buffer holds.
func (c *Conn) gaugeRead() {
	if n := c.in.Len(); n != c.readGauged && c.stats != nil && c.stats.ReadBuffered != nil {
		c.stats.ReadBuffered.Add(c.loop.Shard(), int64(n-c.readGauged))
		c.readGauged = n
	}
}

// readFailed ends the connection after Read returned err, or one half of it.
func (c *Conn) readFailed(err error) {
	c.mayRead = false
	switch {
	case err != io.EOF: //nolint:errorlint // the data path, and a socket returns it bare
		c.failed(err)
	case c.state != network.Open:
	case !c.halfClose:
		c.close(network.RemoteClose, false, "")
	default:
		c.closeIfDone(network.RemoteClose)
	}
}
