package directresponse

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// details is the response code detail of the connections.
const details = "direct_response"

// A filter is one connection's.
type filter struct {
	response *extension.DataSource // of all connections
	conn     network.Connection
}

// InitializeRead implements network.ReadFilter.
func (f *filter) InitializeRead(cb network.ReadCallbacks) { f.conn = cb.Connection() }

// OnNewConnection implements network.ReadFilter.
func (f *filter) OnNewConnection() network.FilterStatus {
	f.conn.Stream().ResponseDetails = details
	if text := f.response.Text(); text != "" {
		var data buffer.Buffer
		data.Init(f.conn.Dispatcher().Buffers())
		data.AppendString(text)
		f.conn.Write(&data, true)
	}
	f.conn.Close(network.FlushWrite, "")
	return network.StopIteration
}

// OnData implements network.ReadFilter.
func (f *filter) OnData(*buffer.Buffer, bool) network.FilterStatus { return network.StopIteration }
