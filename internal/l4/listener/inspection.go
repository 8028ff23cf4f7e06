package listener

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// An inspection runs the listener filters of a connection. It is the connection's
// first read filter, and lets nothing pass until the filters are done and the
// filter chain stands behind it.
type inspection struct {
	connection *connection
	read       network.ReadCallbacks
	timer      event.Timer // nil: no timeout

	filters []network.ListenerFilter
	current int  // filters before it are done
	asked   bool // the current filter's OnAccept was called
	over    bool

	data    *buffer.Buffer // the connection's; nil before the first bytes
	seen    int            // bytes that the current filter has looked at
	scratch []byte         // joins what it looks at, if need be
}

func newInspection(c *connection) *inspection {
	i := &inspection{connection: c}
	for _, build := range c.config.filters {
		i.filters = append(i.filters, build())
	}
	return i
}

// bufferLimit returns limit, or more if a filter has to see more.
func (i *inspection) bufferLimit(limit int) int {
	if limit > 0 {
		for _, f := range i.filters {
			limit = max(limit, f.MaxReadBytes())
		}
	}
	return limit
}

// InitializeRead implements network.ReadFilter.
func (i *inspection) InitializeRead(cb network.ReadCallbacks) {
	i.read = cb
	c := i.connection
	if d := c.config.filterTimeout; d > 0 {
		i.timer = c.worker.loop.NewTimer(i.timeout)
		i.timer.Enable(d)
	}
}

// OnNewConnection implements network.ReadFilter.
func (i *inspection) OnNewConnection() network.FilterStatus {
	i.run()
	return network.StopIteration // run has continued, if it could
}

// OnData implements network.ReadFilter.
func (i *inspection) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	if i.over {
		return network.Continue
	}
	i.data = data
	if i.offer() == network.Continue {
		i.advance()
		i.run()
	}
	return network.StopIteration
}

// run calls the filters from the current one on, until one waits or all are done.
func (i *inspection) run() {
	for !i.over && i.current < len(i.filters) {
		if !i.asked {
			i.asked = true
			if i.filters[i.current].OnAccept(i) == network.StopIteration && i.offer() == network.StopIteration {
				return
			}
		}
		i.advance()
	}
	if !i.over {
		i.complete()
	}
}

// offer shows the current filter what it has not seen of the received bytes.
func (i *inspection) offer() network.FilterStatus {
	if i.over || !i.asked || i.data == nil {
		return network.StopIteration
	}
	f := i.filters[i.current]
	n := min(i.data.Len(), f.MaxReadBytes())
	if n <= i.seen {
		return network.StopIteration
	}
	i.seen = n
	return f.OnData(i.peek(n))
}

// peek returns the first n received bytes.
func (i *inspection) peek(n int) []byte {
	if front := i.data.Front(); len(front) >= n {
		return front[:n]
	}
	i.scratch = i.data.AppendTo(i.scratch[:0])
	return i.scratch[:n]
}

func (i *inspection) advance() { i.current, i.asked, i.seen = i.current+1, false, 0 }

// complete chooses the filter chain and goes on with it.
func (i *inspection) complete() {
	i.end()
	if i.connection.choose() {
		i.read.ContinueReading()
	}
}

// end stops the inspection.
func (i *inspection) end() {
	i.over = true
	i.scratch = nil
	if i.timer != nil {
		i.timer.Disable()
	}
}

// abandon stops it before the filters are done.
func (i *inspection) abandon() {
	i.end()
	if i.asked {
		i.filters[i.current].OnClose()
	}
}

func (i *inspection) timeout() {
	c := i.connection
	c.config.stats.preTimeout.Inc(c.shard())
	if c.config.continueOnTimeout {
		i.complete()
		return
	}
	i.reject()
}

// reject closes the connection. As with a socket closed before what it received
// was read, a peer that has sent something sees a reset.
func (i *inspection) reject() {
	how := network.NoFlush
	if i.data != nil && i.data.Len() > 0 {
		how = network.AbortReset
	}
	i.connection.conn.Close(how, "")
}

// closed is told that the connection ended before the filters were done.
func (i *inspection) closed(e network.Event) {
	if e == network.RemoteClose {
		i.connection.config.stats.filterRemoteClose.Inc(i.connection.shard())
	}
	i.abandon()
}

// Dispatcher implements network.ListenerFilterCallbacks.
func (i *inspection) Dispatcher() event.Dispatcher { return i.connection.worker.loop }

// Info implements network.ListenerFilterCallbacks.
func (i *inspection) Info() *streaminfo.Connection { return i.connection.conn.Info() }

// Drain implements network.ListenerFilterCallbacks.
func (i *inspection) Drain(n int) {
	if i.data != nil {
		i.data.Drain(n)
		i.seen = max(i.seen-n, 0)
	}
}

// Continue implements network.ListenerFilterCallbacks.
func (i *inspection) Continue(ok bool) {
	switch {
	case i.over:
	case !ok:
		i.reject()
	default:
		i.advance()
		i.run()
	}
}
