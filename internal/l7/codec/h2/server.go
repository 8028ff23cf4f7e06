package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A ServerConnection is the codec of a connection that a client opened. The owner
// closes the network connection
//   - when Dispatch returned an error and the output is sent;
//   - when Reusable is false, and Active is 0.
//
// A response encoder is good until the response is complete or the stream is reset;
// calls after that have no effect until another stream begins. The codec calls the
// decoder no more once the response is complete: if the request was not, it resets
// the stream with NO_ERROR behind the response.
type ServerConnection struct {
	connection
	callbacks codec.ServerCallbacks
}

// NewServer returns the codec of a new connection. It appends its output, which begins
// with its SETTINGS, to out, which the owner sends. shard is the loop's, for stats.
func NewServer(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) *ServerConnection {
	c := new(ServerConnection)
	c.Init(callbacks, flow, settings, stats, shard, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another one.
// It must not be called from inside Dispatch.
func (c *ServerConnection) Init(callbacks codec.ServerCallbacks, flow Flow, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) {
	*c = ServerConnection{callbacks: callbacks}
}

// Reusable reports whether further requests are served: until GoAway, or an error.
func (c *ServerConnection) Reusable() bool { return true }

// Awaited reports, when Reusable is false, whether the client waits for the end of the
// connection. It never does: it has the GOAWAY.
func (c *ServerConnection) Awaited() bool { return false }

// ShutdownNotice begins a graceful end: it tells the client to open no further
// stream, and serves those that are on their way until GoAway.
func (c *ServerConnection) ShutdownNotice() {}
