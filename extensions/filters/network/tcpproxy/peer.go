package tcpproxy

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A peer is the upstream side of a filter: it gets the connection, and is then its
// read filter and callbacks.
type peer struct {
	filter *filter
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
	f.pending, f.up = nil, c
	f.attempted(host)
	u, d := &f.stream.Upstream, f.down.Dispatcher()
	u.LocalAddress, u.ConnectionID = c.Info().Local, c.ID()
	u.TLS = c.Info().TLS
	u.ConnectStart, u.ConnectEnd, u.PoolReady = c.Info().Accepted, d.Now(), d.Now()
	c.EnableHalfClose(true)
	c.AddCallbacks(p)
	c.AddReadFilter(p)
	if f.config.idleTimeout > 0 {
		f.idle = d.NewTimer(f.idleReached)
		f.active()
	}
	if f.config.logOnConnected {
		f.log(format.TcpUpstreamConnected)
	}
	if f.down.AboveHighWatermark() {
		c.ReadDisable(true)
	}
	f.down.ReadDisable(false)
}

// InitializeRead implements network.ReadFilter.
func (p *peer) InitializeRead(network.ReadCallbacks) {}

// OnNewConnection implements network.ReadFilter.
func (p *peer) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (p *peer) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	f := p.filter
	f.stream.Upstream.Bytes.Received += uint64(data.Len())
	f.active()
	f.down.Write(data, endStream)
	return network.StopIteration
}

// OnEvent implements network.Callbacks.
func (p *peer) OnEvent(e network.Event) {
	f := p.filter
	if e == network.Connected {
		return
	}
	c := f.up
	f.up = nil
	if f.flushing {
		f.config.stats.flushActive.Dec(f.shard())
	}
	if f.downClosed {
		disable(f.idle)
		return
	}
	u := &f.stream.Upstream
	u.CloseType, u.LocalCloseReason = c.Info().CloseType, c.Info().LocalCloseReason
	if p.ending {
		return
	}
	// The idle timeout goes on: it ends a downstream that does not take the rest.
	if u.CloseType == streaminfo.CloseRemoteReset {
		f.stream.Flags |= streaminfo.UpstreamRemoteReset
		f.down.Close(network.AbortReset, "")
		return
	}
	f.down.Close(network.FlushWrite, "")
}

// OnWriteBufferHigh implements network.Callbacks: the upstream takes no more.
func (p *peer) OnWriteBufferHigh() {
	f := p.filter
	f.config.stats.pausedReading.Inc(f.shard())
	f.down.ReadDisable(true)
}

// OnWriteBufferLow implements network.Callbacks.
func (p *peer) OnWriteBufferLow() {
	f := p.filter
	f.config.stats.resumedReading.Inc(f.shard())
	f.down.ReadDisable(false)
}
