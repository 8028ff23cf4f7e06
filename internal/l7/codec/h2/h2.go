// Package h2 is the codec of HTTP/2 (RFC 9113), both sides, with extended CONNECT
// (RFC 8441) and Envoy's METADATA frames. It is pure: it is given bytes and makes
// calls, it is given messages and appends frames to a buffer that the owner sends
// when a turn is over.
//
// Both sides of an exchange look as in HTTP/1: an extended CONNECT is a GET with
// "connection: upgrade", its answer 200 is a 101.
package h2

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// Flow is the network connection, and the loop it is on, as the codec needs them.
// The owner of the codec implements it.
type Flow interface {
	// Unsent is the number of bytes that the owner took out of the codec's output and
	// that the socket has not taken: network.Connection has it.
	Unsent() int
	// Redispatch asks for a Dispatch before the loop sleeps (event.Dispatcher's Defer),
	// also if no bytes come, and for the output to be sent then. It is not called again
	// before that Dispatch, which must not be made from inside.
	Redispatch()
}

// ClientCallbacks is what a ClientConnection asks of the connection pool.
type ClientCallbacks interface {
	Flow
	// OnStreamEnd is called once for every stream, after the last call of decoder, which
	// is what NewStream got: request and response are complete, or the stream was reset
	// by either side, or the connection failed. NewStream may be called from inside.
	OnStreamEnd(decoder codec.ResponseDecoder)
	// OnGoAway says that no further stream may begin, once for a connection. Streams
	// above lastStreamID are reset with ResetRemoteRefusedStream next, others go on.
	OnGoAway(lastStreamID uint32, code ErrorCode)
	// OnSettings is called when the peer's settings came: MaxStreams may differ.
	OnSettings()
	// OnPingAck is called for the answer to a Ping.
	OnPingAck(data uint64)
}

// ServerCallbacks is what a ServerConnection asks of its owner besides the calls of
// codec.ServerCallbacks, if that implements it.
type ServerCallbacks interface {
	codec.ServerCallbacks
	// OnPingAck is called for the answer to a Ping.
	OnPingAck(data uint64)
	// AllowsReset is called for each RST_STREAM. If it reports false the client has sent too
	// many of them, and the connection ends: see Settings.StreamResetBurst.
	AllowsReset() bool
}

// A Stream is what the encoders of this package are besides codec.Stream.
type Stream interface {
	codec.Stream
	// Details is Envoy's response code detail of the reset that OnReset is telling, ""
	// if the codec has nothing to say.
	Details() string
	// Sent reports whether the end of the message was put out. A complete response that
	// waits for the client's window was not; its decoder gets OnResponseSent then.
	Sent() bool
	// ExpireFlush resets a stream whose response waits for too long.
	ExpireFlush()
	// EncodeMetadata sends a METADATA frame, if allow_metadata is on. It may be called
	// after EncodeHeaders, and before the message ends.
	EncodeMetadata(metadata *httpmsg.Headers)
}

// A FlushedDecoder is a request decoder that wants to know when a response is sent that
// was not when it was complete.
type FlushedDecoder interface {
	// OnResponseSent is the last call that the decoder gets.
	OnResponseSent()
}

// A MetadataDecoder is a request or response decoder that wants METADATA frames. It
// gets them with allow_metadata only.
type MetadataDecoder interface {
	// DecodeMetadata passes what one or more METADATA frames held; metadata belongs to
	// the decoder. It is called before the message ends; on a client it may come before the
	// headers do.
	DecodeMetadata(metadata *httpmsg.Headers)
}

// An ErrorCode is the reason in a RST_STREAM or GOAWAY frame.
type ErrorCode uint32

// The codes of RFC 9113, section 7.
const (
	NoError ErrorCode = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)
