package conn

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// A readFilter is a filter's place in the chain, and the filter's callbacks.
type readFilter struct {
	conn   *Conn
	filter network.ReadFilter
	next   *readFilter
	told   bool // OnNewConnection was called
}

// AddReadFilter adds f behind the filters there are. A filter that is added to a
// connection that is up gets OnNewConnection before its first data.
func (c *Conn) AddReadFilter(f network.ReadFilter) {
	at := &c.firstRead
	if c.lastRead != nil {
		at = &readFilter{}
		c.lastRead.next = at
	}
	at.conn, at.filter = c, f
	c.lastRead = at
	f.InitializeRead(at)
}

func (c *Conn) firstFilter() *readFilter {
	if c.lastRead == nil {
		return nil
	}
	return &c.firstRead
}

// HasReadFilters reports whether a read filter was added.
func (c *Conn) HasReadFilters() bool { return c.lastRead != nil }

// CloseIfIdle closes c if a filter says that it serves nobody. What has arrived is
// delivered first, so that no request is lost that is here already. It is not called
// from a filter.
func (c *Conn) CloseIfIdle() {
	c.read()
	for f := c.firstFilter(); f != nil && c.state == network.Open; f = f.next {
		if closer, ok := f.filter.(network.IdleCloser); ok {
			closer.CloseIfIdle()
		}
	}
}

// runRead passes data to f and the filters behind it.
func (c *Conn) runRead(f *readFilter, data *buffer.Buffer, endStream bool) {
	for ; f != nil && c.state == network.Open; f = f.next {
		if !f.told {
			f.told = true
			if f.filter.OnNewConnection() == network.StopIteration || c.state != network.Open {
				return
			}
		}
		if data.Len() > 0 || endStream {
			if f.filter.OnData(data, endStream) == network.StopIteration {
				return
			}
		}
	}
}

// Connection implements network.ReadCallbacks.
func (f *readFilter) Connection() network.Connection { return f.conn }

// ContinueReading implements network.ReadCallbacks.
func (f *readFilter) ContinueReading() {
	c := f.conn
	c.runRead(f.next, &c.in, c.readEnded && c.halfClose)
	c.gaugeRead()
	if c.readBounded && c.canRead() {
		c.readBounded = false
		c.requeueRead()
	}
}

// InjectRead implements network.ReadCallbacks.
func (f *readFilter) InjectRead(data *buffer.Buffer, endStream bool) {
	f.conn.runRead(f.next, data, endStream)
}

// Upstream implements network.ReadCallbacks.
func (f *readFilter) Upstream() *network.UpstreamChoice { return &f.conn.choice }

// A writeFilter is a filter's place in the chain, and the filter's callbacks.
type writeFilter struct {
	conn   *Conn
	filter network.WriteFilter
	before *writeFilter // added before this one, called after it
}

// AddWriteFilter adds f; it is called before the filters there are.
func (c *Conn) AddWriteFilter(f network.WriteFilter) {
	c.lastWrite = &writeFilter{conn: c, filter: f, before: c.lastWrite}
	f.InitializeWrite(c.lastWrite)
}

// AddFilter adds f as read filter and as write filter.
func (c *Conn) AddFilter(f network.Filter) {
	c.AddReadFilter(f)
	c.AddWriteFilter(f)
}

// runWrite passes data to f and the filters behind it, and then to the peer.
func (c *Conn) runWrite(f *writeFilter, data *buffer.Buffer, endStream bool) {
	if !c.canWrite() {
		data.Drain(data.Len())
		return
	}
	for ; f != nil; f = f.before {
		if f.filter.OnWrite(data, endStream) == network.StopIteration || !c.canWrite() {
			data.Drain(data.Len())
			return
		}
	}
	c.queue(data, endStream)
}

// Connection implements network.WriteCallbacks.
func (f *writeFilter) Connection() network.Connection { return f.conn }

// InjectWrite implements network.WriteCallbacks.
func (f *writeFilter) InjectWrite(data *buffer.Buffer, endStream bool) {
	f.conn.runWrite(f.before, data, endStream)
}
