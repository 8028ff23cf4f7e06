package tcpproxy

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A peer is the upstream side of a filter: it gets the connection, and is then its
// read filter and callbacks.
type peer struct {
	filter *filter
	conn   network.ClientConnection
	ending bool // the filter closes both connections itself
}

var (
	_ upstream.ConnectionPoolCallbacks = (*peer)(nil)
	_ network.ReadFilter               = (*peer)(nil)
	_ network.Callbacks                = (*peer)(nil)
)

// OnConnectionFailure implements upstream.ConnectionPoolCallbacks.
func (p *peer) OnConnectionFailure(why upstream.PoolFailure, reason string, host upstream.Host) {
	p.filter.failed(why, reason, host)
}

// OnConnectionReady implements upstream.ConnectionPoolCallbacks.
func (p *peer) OnConnectionReady(c network.ClientConnection, host upstream.Host) {
	f := p.filter
	f.pending, p.conn = nil, c
	f.attempted(host)
	u, d := &f.stream.Upstream, f.down.Dispatcher()
	u.LocalAddress, u.ConnectionID = c.Info().Local, c.ID()
	u.TLS = c.Info().TLS
	u.ConnectStart, u.ConnectEnd, u.PoolReady = c.Info().Accepted, d.Now(), d.Now()
	c.EnableHalfClose(true)
	c.AddCallbacks(p)
	c.AddReadFilter(p)
	f.connected(c)
}

// InitializeRead implements network.ReadFilter.
func (p *peer) InitializeRead(network.ReadCallbacks) {}

// OnNewConnection implements network.ReadFilter.
func (p *peer) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (p *peer) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	p.filter.receive(data, endStream)
	return network.StopIteration
}

// OnEvent implements network.Callbacks.
func (p *peer) OnEvent(e network.Event) {
	f := p.filter
	if e == network.Connected {
		return
	}
	f.up = nil
	if f.flushing {
		f.config.stats.flushActive.Dec(f.shard())
	}
	if f.downClosed {
		disable(f.idle)
		return
	}
	u := &f.stream.Upstream
	u.CloseType, u.LocalCloseReason = p.conn.Info().CloseType, p.conn.Info().LocalCloseReason
	if !p.ending {
		f.disconnected(u.CloseType == streaminfo.CloseRemoteReset)
	}
}

// OnWriteBufferHigh implements network.Callbacks.
func (p *peer) OnWriteBufferHigh() { p.filter.upstreamHigh() }

// OnWriteBufferLow implements network.Callbacks.
func (p *peer) OnWriteBufferLow() { p.filter.upstreamLow() }
