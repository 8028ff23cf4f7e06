package echo

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// A filter is one connection's. It stops reading while the peer does not take what
// is sent back.
type filter struct {
	conn network.Connection
}

// InitializeRead implements network.ReadFilter.
func (f *filter) InitializeRead(cb network.ReadCallbacks) {
	f.conn = cb.Connection()
	f.conn.EnableHalfClose(true)
	f.conn.AddCallbacks(f)
}

// OnNewConnection implements network.ReadFilter.
func (f *filter) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (f *filter) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	f.conn.Write(data, endStream)
	return network.StopIteration
}

// OnEvent implements network.Callbacks.
func (f *filter) OnEvent(network.Event) {}

// OnWriteBufferHigh implements network.Callbacks.
func (f *filter) OnWriteBufferHigh() { f.conn.ReadDisable(true) }

// OnWriteBufferLow implements network.Callbacks.
func (f *filter) OnWriteBufferLow() { f.conn.ReadDisable(false) }
