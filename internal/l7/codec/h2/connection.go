package h2

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A connection is what both sides have in common.
type connection struct {
	flow     Flow
	settings *Settings
	stats    *Stats
	shard    int
	out      *buffer.Buffer
	streams  []*stream
}

type stream struct{ c *connection }

// Dispatch implements codec.Connection. It takes all bytes. An error is an
// *codec.Error: the output may end with a GOAWAY frame then. The stream at fault, if
// there is one, got OnProtocolError (server) or OnReset; the owner ends the others, or
// calls OnClose, and nothing else.
func (c *connection) Dispatch(data *buffer.Buffer) error { data.Drain(data.Len()); return nil }

// Version implements codec.Connection.
func (c *connection) Version() httpmsg.Version { return httpmsg.HTTP2 }

// WantsRead reports whether Dispatch would take bytes, which it always does: a stream
// that is read-disabled stops its peer by its window.
func (c *connection) WantsRead() bool { return true }

// Active is the number of streams that are open, with those whose last bytes wait for
// the peer's window and that the owner has nothing to do with any longer.
func (c *connection) Active() int { return len(c.streams) }

// GoAway implements codec.Connection: it sends the final GOAWAY, which names the last
// stream that is served.
func (c *connection) GoAway() {}

// Ping sends a PING frame. Its answer is OnPingAck.
func (c *connection) Ping(data uint64) {}

// OnWriteBufferHigh implements codec.Connection.
func (c *connection) OnWriteBufferHigh() {}

// OnWriteBufferLow implements codec.Connection. Data that waited may be put out: the
// owner sends it.
func (c *connection) OnWriteBufferLow() {}

// OnClose tells the codec that the network connection is gone. Streams that are not
// complete get OnReset.
func (c *connection) OnClose(reason httpmsg.ResetReason) {}

// Stalled reports whether streams wait for the peer's window with a message that is
// complete on this side. While it does, the owner calls ExpireStalled after each
// period that a stream may stand still (in Envoy, the stream idle timeout).
func (c *connection) Stalled() bool { return false }

// ExpireStalled resets the streams that Stalled speaks of and that have sent nothing
// since the last ExpireStalled.
func (c *connection) ExpireStalled() {}

// Reset implements codec.Stream.
func (s *stream) Reset(reason httpmsg.ResetReason) {}

// ReadDisable implements codec.Stream.
func (s *stream) ReadDisable(disable bool) {}

// EncodeData implements the encoders.
func (s *stream) EncodeData(data *buffer.Buffer, endStream bool) { data.Drain(data.Len()) }

// EncodeTrailers implements the encoders.
func (s *stream) EncodeTrailers(trailers *httpmsg.Headers) {}

// EncodeMetadata implements Stream.
func (s *stream) EncodeMetadata(metadata *httpmsg.Headers) {}

// Details implements Stream.
func (s *stream) Details() string { return "" }

type requestEncoder struct{ *stream }

func (requestEncoder) EncodeHeaders(h *httpmsg.Headers, endStream bool) error { return nil }

var (
	_ codec.Connection     = (*ServerConnection)(nil)
	_ codec.Connection     = (*ClientConnection)(nil)
	_ codec.RequestEncoder = requestEncoder{}
)
