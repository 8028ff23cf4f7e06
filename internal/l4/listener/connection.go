package listener

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l4/conn"
)

// noChainDetails is the response code detail of a connection without filter chain.
const noChainDetails = "filter_chain_not_found"

// A connection is what a listener keeps of a connection it accepted. It belongs to
// its worker's loop.
type connection struct {
	worker     *worker
	config     *config // when it was accepted
	conn       *conn.Conn
	inspection *inspection // nil when the listener filters are done
	chain      *chain      // nil until it is chosen
	handedOff  bool        // it was for another listener first
	prev, next *connection
}

// start runs the listener filters, if there are any, and then the filter chain.
func (c *connection) start() {
	info := c.conn.Info()
	info.Listener = c.config.described
	if c.inspection != nil {
		c.config.stats.preActive.Inc(c.shard())
		c.conn.AddReadFilter(c.inspection)
	} else if !c.choose() {
		return
	}
	c.conn.Start()
}

func (c *connection) shard() int { return c.worker.loop.Shard() }

// choose finds the filter chain and builds its filters. Without a chain, or
// filters, the connection is closed, and choose returns false.
func (c *connection) choose() bool {
	info := c.conn.Info()
	if info.TransportProtocol == "" {
		info.TransportProtocol = rawBuffer
	}
	stats, shard := c.config.stats, c.shard()
	how := network.NoFlush
	if c.inspection != nil {
		how = c.inspection.abrupt()
		c.inspection = nil
		stats.preActive.Dec(shard)
	}
	ch := c.config.match.find(info)
	if ch == nil {
		stats.noChain.Inc(shard)
		c.conn.Stream().Flags |= streaminfo.NoRouteFound
		c.conn.Stream().ResponseDetails = noChainDetails
		c.conn.Close(how, "")
		return false
	}
	c.chain = ch
	info.FilterChainName, info.FilterChainMetadata = ch.name, ch.metadata
	stats.total.Inc(shard)
	stats.active.Inc(shard)
	stats.workers[c.worker.index].total.Inc(shard)
	stats.workers[c.worker.index].active.Inc(shard)
	if ch.transport != nil {
		info.Secure = ch.transport.Secure()
		c.conn.SetTransport(ch.transport.New(), ch.transportTimeout, stats.transportTimeout)
	}
	for _, build := range ch.builders {
		build(c.conn, c.conn)
	}
	if len(ch.builders) == 0 {
		c.conn.Close(network.NoFlush, "no_filters")
		return false
	}
	return c.conn.State() != network.Closed
}

// OnEvent implements network.Callbacks.
func (c *connection) OnEvent(e network.Event) {
	if e == network.Connected {
		return
	}
	c.worker.unlink(c)
	c.worker.forget()
	stats, shard := c.config.stats, c.shard()
	if c.inspection != nil {
		stats.preActive.Dec(shard)
		c.inspection.closed(e)
	}
	if c.chain != nil {
		stats.destroy.Inc(shard)
		stats.active.Dec(shard)
		stats.workers[c.worker.index].active.Dec(shard)
		length := c.worker.loop.Now().Sub(c.conn.Info().Accepted)
		stats.length.Record(shard, uint64(max(length, 0)/time.Millisecond))
	}
	if len(c.config.accessLogs) > 0 {
		// The filters, which are told after the listener, still complete the entry.
		c.worker.loop.Defer(c.log)
	}
}

// OnWriteBufferHigh implements network.Callbacks.
func (c *connection) OnWriteBufferHigh() {}

// OnWriteBufferLow implements network.Callbacks.
func (c *connection) OnWriteBufferLow() {}

func (c *connection) log() {
	loop := c.worker.loop
	s := c.conn.Stream()
	s.End = loop.Now()
	s.Version, s.HasVersion = s.Downstream.Version, s.Downstream.HasVersion
	logAll(c.config.accessLogs, &format.Entry{Stream: s, Now: loop.Now(), Shard: loop.Shard(), Random: loop.Random()})
}

func logAll(logs []accesslog.Logger, e *format.Entry) {
	for _, l := range logs {
		l.Log(e)
	}
}
