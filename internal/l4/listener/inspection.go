package listener

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// A listenerFilter is one of a listener's. It is immutable.
type listenerFilter struct {
	build    func() network.ListenerFilter
	disabled predicate // nil: never
}

// An inspection runs the listener filters of a connection. It is the connection's
// first read filter, and lets nothing pass until the filters are done and the
// filter chain stands behind it.
type inspection struct {
	connection *connection
	fd         int // of the socket, negative if it has none
	read       network.ReadCallbacks
	timer      event.Timer // nil: no timeout

	current int                    // filters before it are done
	filter  network.ListenerFilter // the current one, nil before its OnAccept
	over    bool

	// What was received is in held and then in data. Held is what filters wanted to see:
	// it does not count against the limit of the connection, which may be lower.
	held    buffer.Buffer
	data    *buffer.Buffer // the connection's; nil before the first bytes
	seen    int            // bytes of held that the current filter has looked at
	scratch []byte         // joins what it looks at, if need be
}

// newInspection returns the inspection of c, whose socket is fd.
func newInspection(c *connection, fd int) *inspection {
	i := &inspection{connection: c, fd: fd}
	i.held.Init(c.worker.loop.Buffers())
	return i
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
	for filters := i.connection.config.filters; !i.over && i.current < len(filters); i.advance() {
		if f := &filters[i.current]; f.disabled == nil || !f.disabled(i.Info()) {
			i.filter = f.build()
			if i.filter.OnAccept(i) == network.StopIteration && i.offer() == network.StopIteration {
				return
			}
		}
	}
	if !i.over {
		i.complete()
	}
}

// offer shows the current filter what it has not seen of the received bytes.
func (i *inspection) offer() network.FilterStatus {
	// A filter that calls Continue while it looks is not the current one any more.
	for at, f := i.current, i.filter; f != nil && at == i.current && !i.over; {
		limit := f.MaxReadBytes()
		if i.data != nil && i.held.Len() < limit {
			i.held.Move(i.data)
		}
		n := min(i.held.Len(), limit)
		if n <= i.seen {
			break
		}
		i.seen = n
		if f.OnData(i.peek(n)) == network.Continue {
			return network.Continue
		}
	}
	return network.StopIteration
}

// peek returns the first n received bytes.
func (i *inspection) peek(n int) []byte {
	if front := i.held.Front(); len(front) >= n {
		return front[:n]
	}
	i.scratch = i.held.AppendTo(i.scratch[:0])
	return i.scratch[:n]
}

func (i *inspection) advance() { i.current, i.filter, i.seen = i.current+1, nil, 0 }

// complete chooses the filter chain and goes on with it.
func (i *inspection) complete() {
	if i.data != nil {
		i.held.Move(i.data)
		i.data.Move(&i.held)
	}
	i.end()
	c := i.connection
	c.handOff(i)
	// Another listener may have filters of its own.
	if c.inspection != nil && c.inspection != i || c.choose() {
		i.read.ContinueReading()
	}
}

// end stops the inspection.
func (i *inspection) end() {
	i.over = true
	i.scratch = nil
	i.held.Reset()
	if i.timer != nil {
		i.timer.Disable()
	}
}

// abandon stops it before the filters are done.
func (i *inspection) abandon() {
	i.end()
	if i.filter != nil {
		i.filter.OnClose()
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

// reject closes the connection.
func (i *inspection) reject() { i.connection.conn.Close(i.abrupt(), "") }

// abrupt is how to close the connection before a filter chain has it. As with a socket
// closed before what it received was read, a peer that has sent something sees a reset.
func (i *inspection) abrupt() network.CloseType {
	if i.held.Len() > 0 || i.data != nil && i.data.Len() > 0 {
		return network.AbortReset
	}
	return network.NoFlush
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

// Stream implements network.ListenerFilterCallbacks.
func (i *inspection) Stream() *streaminfo.Stream { return i.connection.conn.Stream() }

// OriginalDestination implements network.ListenerFilterCallbacks.
func (i *inspection) OriginalDestination() (address.Address, bool) {
	if i.over || i.fd < 0 {
		return address.Address{}, false
	}
	return sock.OriginalDestination(i.fd, i.Info().DirectLocal)
}

// Drain implements network.ListenerFilterCallbacks.
func (i *inspection) Drain(n int) {
	i.held.Drain(n)
	i.seen = max(i.seen-n, 0)
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
		i.resume()
	}
}

// resume lets the connection read on: filters that wait for nothing but their own
// callback leave the connection's buffer full, and the next one took what was there.
func (i *inspection) resume() {
	if c := i.connection.conn; !i.over && c.State() == network.Open {
		c.ReadDisable(true)
		c.ReadDisable(false)
	}
}
