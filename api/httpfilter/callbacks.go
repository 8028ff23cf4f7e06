package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Callbacks is how a filter acts on its stream. All methods are called on the
// stream's worker, and do nothing after OnDestroy.
type Callbacks interface {
	StreamCallbacks
	DecoderCallbacks
	EncoderCallbacks
}

// StreamCallbacks is common to both directions.
type StreamCallbacks interface {
	// Name is the filter's name in the chain, for Route.FilterConfig.
	Name() string
	Dispatcher() event.Dispatcher
	// Connection is the downstream connection.
	Connection() network.Connection
	StreamID() uint64
	Stream() *streaminfo.Stream
	// Route returns the route of the request, nil if there is none. It is looked up at
	// the first call and kept; ClearRoute makes the next call look it up anew.
	Route() *route.Route
	ClearRoute()
	// RequestHeaders and ResponseHeaders return the headers, nil if they are not there
	// yet. The same for trailers.
	RequestHeaders() *httpmsg.Headers
	RequestTrailers() *httpmsg.Headers
	ResponseHeaders() *httpmsg.Headers
	ResponseTrailers() *httpmsg.Headers
	// ResetStream ends the stream at once.
	ResetStream(reason httpmsg.ResetReason, details string)
	// RecreateStream runs the request through the filter chain once more, as a new one
	// with the headers as they are now and the body that DecodingBuffer holds, and ends
	// this one without a response. response is the one that led here, for the access
	// log and the statistics of this stream. The new stream has the RequestState of this
	// one. It reports false, and does nothing, if the request is not complete. After true
	// the filter is destroyed.
	RecreateStream(response *httpmsg.Headers) bool
	// SendLocalReply answers the request from here; later filters do not see it. If
	// the response has begun the stream is reset instead.
	SendLocalReply(reply LocalReply)
}

// A LocalReply is a response that the proxy makes itself.
type LocalReply struct {
	Status int
	Body   string
	// Details is the response code detail; spaces become underscores in logs.
	Details string
	// GRPCStatus overrides the gRPC status that follows from Status for gRPC requests
	// when HasGRPCStatus is set.
	GRPCStatus    int
	HasGRPCStatus bool
	// CutsRequest says that the request was not taken as a whole, although it may have
	// come so far.
	CutsRequest bool
	// Modify may change the headers, nil otherwise. It is called at once.
	Modify func(h *httpmsg.Headers)
}

// DecoderCallbacks is how a filter acts on the request, and answers it.
type DecoderCallbacks interface {
	// ContinueDecoding resumes after a stop, with the filter behind this one.
	ContinueDecoding()
	// DecodingBuffer returns the body buffered so far, nil if there is none. The filter
	// that holds it may drain it.
	DecodingBuffer() *buffer.Buffer
	// AddDecodedData adds to the body. In DecodeHeaders it is buffered and follows the
	// headers; in DecodeTrailers or between calls it goes to the next filter (streaming
	// selects the watermark rule of a stopped filter).
	AddDecodedData(data *buffer.Buffer, streaming bool)
	// AddDecodedTrailers adds trailers to a request that has none; only in a call with
	// endStream.
	AddDecodedTrailers() *httpmsg.Headers
	// DecoderBufferLimit is how many bytes of body may be buffered; 0 means no limit.
	DecoderBufferLimit() int
	SetDecoderBufferLimit(limit int)
	// RequestHigh stops and RequestLow resumes reading of the request: a filter calls
	// them when what it sends the body to is full, or has room again. Calls nest.
	RequestHigh()
	RequestLow()
	// EncodeInterim, StartResponse, SendResponseData and SendResponseTrailers send the
	// response of a terminal filter through the encoder filters. The map of
	// StartResponse belongs to the caller and stays valid until OnDestroy.
	EncodeInterim(h *httpmsg.Headers)
	StartResponse(h *httpmsg.Headers, endStream bool, details string)
	SendResponseData(data *buffer.Buffer, endStream bool)
	SendResponseTrailers(trailers *httpmsg.Headers)
	// WatchDownstream tells w when the downstream connection has too much output.
	WatchDownstream(w WatermarkCallbacks)
}

// WatermarkCallbacks is told about the output of a downstream stream.
type WatermarkCallbacks interface {
	OnDownstreamHigh()
	OnDownstreamLow()
}

// EncoderCallbacks is how a filter acts on the response.
type EncoderCallbacks interface {
	// ContinueEncoding resumes after a stop, with the filter before this one in the
	// configuration.
	ContinueEncoding()
	// EncodingBuffer returns the body buffered so far, nil if there is none.
	EncodingBuffer() *buffer.Buffer
	// AddEncodedData and AddEncodedTrailers are as for the request.
	AddEncodedData(data *buffer.Buffer, streaming bool)
	AddEncodedTrailers() *httpmsg.Headers
	EncoderBufferLimit() int
	SetEncoderBufferLimit(limit int)
	// ResponseHigh stops and ResponseLow resumes the source of the response.
	ResponseHigh()
	ResponseLow()
}
