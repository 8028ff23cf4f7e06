package connectionlimit

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// closeDetails is the close reason of a connection above the limit.
const closeDetails = "over_connection_limit"

// A filter is one connection's.
type filter struct {
	config   *config
	conn     network.Connection
	counted  bool // the filter was enabled when the connection came
	rejected bool
	timer    event.Timer // nil: not waiting with the close
}

// InitializeRead implements network.ReadFilter.
func (f *filter) InitializeRead(cb network.ReadCallbacks) {
	f.conn = cb.Connection()
	f.conn.AddCallbacks(f)
}

// OnNewConnection implements network.ReadFilter.
func (f *filter) OnNewConnection() network.FilterStatus {
	c, shard := f.config, f.conn.Dispatcher().Shard()
	if !c.enabled.Enabled(c.runtime.Snapshot()) {
		return network.Continue
	}
	f.counted = true
	c.active.Inc(shard)
	if c.open.Add(1) <= c.max {
		return network.Continue
	}
	c.open.Add(-1)
	f.rejected = true
	c.limited.Inc(shard)
	if c.delay > 0 {
		f.timer = f.conn.Dispatcher().NewTimer(f.close)
		f.timer.Enable(c.delay)
	} else {
		f.close()
	}
	return network.StopIteration
}

func (f *filter) close() { f.conn.Close(network.NoFlush, closeDetails) }

// OnData implements network.ReadFilter. What a rejected connection sends is
// dropped.
func (f *filter) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	if f.rejected {
		data.Drain(data.Len())
		return network.StopIteration
	}
	return network.Continue
}

// OnEvent implements network.Callbacks.
func (f *filter) OnEvent(e network.Event) {
	if e == network.Connected || !f.counted {
		return
	}
	f.config.active.Dec(f.conn.Dispatcher().Shard())
	if !f.rejected {
		f.config.open.Add(-1)
	}
	if f.timer != nil {
		f.timer.Disable()
	}
}

// OnWriteBufferHigh implements network.Callbacks.
func (f *filter) OnWriteBufferHigh() {}

// OnWriteBufferLow implements network.Callbacks.
func (f *filter) OnWriteBufferLow() {}
