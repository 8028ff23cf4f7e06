package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A ClientConnection is the codec of a connection to an upstream host. The owner
// closes the network connection when Dispatch returned an error.
type ClientConnection struct {
	connection
	callbacks ClientCallbacks
}

// NewClient returns the codec of a new connection. It appends its output, which begins
// with the connection preface, to out, which the owner sends. shard is the loop's, for
// stats.
func NewClient(callbacks ClientCallbacks, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) *ClientConnection {
	c := new(ClientConnection)
	c.Init(callbacks, settings, stats, shard, out)
	return c
}

// Init makes c, new or used for a connection that is gone, the codec of another one.
// It must not be called from inside Dispatch.
func (c *ClientConnection) Init(callbacks ClientCallbacks, settings *Settings, stats *Stats, shard int, out *buffer.Buffer) {
	*c = ClientConnection{callbacks: callbacks}
}

// NewStream begins a request, whose response decoder gets. It may be called when
// CanOpen is true. The encoder is a Stream; it is good until OnStreamEnd.
func (c *ClientConnection) NewStream(decoder codec.ResponseDecoder) codec.RequestEncoder {
	return requestEncoder{&stream{c: &c.connection}}
}

// CanOpen reports whether NewStream may be called: less than MaxStreams are active,
// there was no GOAWAY from either side and no error, and stream ids are left.
func (c *ClientConnection) CanOpen() bool { return true }

// Exhausted reports whether no further stream will ever be opened: there was a GOAWAY
// or an error, or no stream ids are left.
func (c *ClientConnection) Exhausted() bool { return false }

// MaxStreams is how many streams may be active at once: what the peer's settings say,
// and ours at most.
func (c *ClientConnection) MaxStreams() int { return int(c.settings.MaxConcurrentStreams) }
