// Package codec is the contract between the HTTP codecs and those who use them:
// the connection manager downstream, the connection pool upstream.
//
// A codec is pure: it is given bytes and turns them into calls, it is given
// messages and appends their bytes to a buffer. It knows no socket, clock or
// goroutine, so that it can be fuzzed, replayed and measured alone. Everything
// here happens on one worker's goroutine.
package codec

import (
	"errors"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Connection is the codec of one network connection, either side.
type Connection interface {
	// Dispatch consumes bytes that the peer sent and makes the calls they mean. What
	// it leaves in data (while a stream stops reading) it gets again, with more
	// behind it. An *Error ends the connection: no call but the resets of streams
	// follows.
	Dispatch(data *buffer.Buffer) error
	// Version is the version that is spoken.
	Version() httpmsg.Version
	// GoAway tells the peer that no further streams are served. In HTTP/1 the next
	// response says "connection: close".
	GoAway()
	// OnWriteBufferHigh and OnWriteBufferLow pass the watermarks of the connection's
	// output on to the streams.
	OnWriteBufferHigh()
	OnWriteBufferLow()
}

// ServerCallbacks is what a server codec asks of the connection manager.
type ServerCallbacks interface {
	// NewStream is called when a request begins. The codec calls the decoder it
	// returns until the request is complete or reset.
	NewStream(response ResponseEncoder) RequestDecoder
}

// A RequestDecoder receives one request from a server codec.
type RequestDecoder interface {
	// Meter is where the codec counts the bytes of the stream. It asks each time, and
	// not after the last call of the stream.
	Meter() *streaminfo.Meter
	// RequestHeaders returns the empty map that the codec puts the headers in. It is
	// called once, before DecodeHeaders.
	RequestHeaders() *httpmsg.Headers
	// DecodeHeaders says that the headers are complete. With endStream no body
	// follows.
	DecodeHeaders(endStream bool)
	// DecodeData passes a piece of the body. The decoder takes what it keeps out of
	// data; the rest is dropped on return.
	DecodeData(data *buffer.Buffer, endStream bool)
	// DecodeTrailers ends the request with trailers, which belong to the decoder.
	DecodeTrailers(trailers *httpmsg.Headers)
	// OnProtocolError is called when the request cannot be read on: the decoder
	// answers with that status if no response has begun. The Dispatch that called it
	// returns the same error.
	OnProtocolError(err *Error)
	StreamCallbacks
}

// A ResponseEncoder sends one response. The calls append to the connection's
// output at once; the header map may be reused when a call returns.
type ResponseEncoder interface {
	// EncodeInterim sends a 1xx response.
	EncodeInterim(h *httpmsg.Headers)
	// EncodeHeaders sends the headers; with endStream the response is complete.
	EncodeHeaders(h *httpmsg.Headers, endStream bool)
	// EncodeData sends a piece of the body and takes all bytes out of data.
	EncodeData(data *buffer.Buffer, endStream bool)
	// EncodeTrailers ends the response.
	EncodeTrailers(trailers *httpmsg.Headers)
	Stream
}

// A RequestEncoder sends one request upstream. Otherwise as ResponseEncoder.
type RequestEncoder interface {
	EncodeHeaders(h *httpmsg.Headers, endStream bool) error
	EncodeData(data *buffer.Buffer, endStream bool)
	EncodeTrailers(trailers *httpmsg.Headers)
	Stream
}

var (
	errNoMethod = errors.New("missing required header: :method")
	errNoPath   = errors.New("missing required header: :path")
	errRequest  = errors.New(":method, :path or :authority is missing or has invalid characters")
)

// RequestError says why a request cannot be encoded. path is the authority where that
// takes its place, for CONNECT.
func RequestError(method, path string) error {
	switch {
	case method == "":
		return errNoMethod
	case path == "" && method != "CONNECT":
		return errNoPath
	default:
		return errRequest
	}
}

// A ResponseDecoder receives one response from a client codec.
type ResponseDecoder interface {
	// Meter is as RequestDecoder's.
	Meter() *streaminfo.Meter
	// ResponseHeaders returns the empty map that the codec puts the headers of the
	// next response in, also of a 1xx one.
	ResponseHeaders() *httpmsg.Headers
	// DecodeInterim says that the headers of a 1xx response (not 101) are complete.
	DecodeInterim()
	DecodeHeaders(endStream bool)
	DecodeData(data *buffer.Buffer, endStream bool)
	DecodeTrailers(trailers *httpmsg.Headers)
	StreamCallbacks
}

// A Stream is one exchange of request and response, as its user may act on it.
type Stream interface {
	// Reset ends the stream at once, in both directions. OnReset is not called for
	// it. In HTTP/1 the connection cannot be used any longer.
	Reset(reason httpmsg.ResetReason)
	// ReadDisable stops (true) or resumes (false) the delivery of this stream's
	// bytes; calls nest.
	ReadDisable(disable bool)
}

// StreamCallbacks is what a codec tells the user of a stream besides the message.
type StreamCallbacks interface {
	// OnReset says that the stream ended early: the peer reset it, or the connection
	// closed. Nothing follows.
	OnReset(reason httpmsg.ResetReason)
	// OnWriteBufferHigh asks to stop sending until OnWriteBufferLow.
	OnWriteBufferHigh()
	OnWriteBufferLow()
}

// An Error says why the bytes of a peer are no message.
type Error struct {
	// Status is the answer to a client: 400, 426, 431 or 501. 0 means that none is sent.
	Status int
	// Body is the body of that answer.
	Body string
	// Detail is Envoy's response code detail, as http1.codec_error.
	Detail string
	// Cause says more to a person reading the log.
	Cause string
	// Flood says that the peer sent or left too many frames. Envoy does not count that as
	// a protocol error.
	Flood bool
}

// Error returns the detail and the cause.
func (e *Error) Error() string {
	if e.Cause == "" {
		return e.Detail
	}
	return e.Detail + ": " + e.Cause
}
