package localratelimit

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// closeDetails is the close reason of a connection that got no token.
const closeDetails = "local_ratelimit_close_over_limit"

// A filter is one connection's.
type filter struct {
	config *config
	conn   network.Connection
}

// InitializeRead implements network.ReadFilter.
func (f *filter) InitializeRead(cb network.ReadCallbacks) { f.conn = cb.Connection() }

// OnNewConnection implements network.ReadFilter.
func (f *filter) OnNewConnection() network.FilterStatus {
	c, d := f.config, f.conn.Dispatcher()
	if !c.enabled.Enabled(c.runtime.Snapshot()) || c.bucket.Take(d.Now()) {
		return network.Continue
	}
	c.limited.Inc(d.Shard())
	f.conn.Stream().Flags |= streaminfo.UpstreamRetryLimitExceeded // as Envoy marks it
	f.conn.Close(network.NoFlush, closeDetails)
	return network.StopIteration
}

// OnData implements network.ReadFilter.
func (f *filter) OnData(*buffer.Buffer, bool) network.FilterStatus { return network.Continue }
