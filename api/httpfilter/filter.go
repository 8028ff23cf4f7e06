// Package httpfilter is the contract of HTTP filters: what they are told, what
// they may answer, and what they may ask for.
//
// The filters of a chain see a request in the order of the configuration, and its
// response in the reverse order. A filter belongs to one stream and is called on
// the worker of its connection only; it must not block, start goroutines or take
// locks.
package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A HeadersStatus is what a filter answers to headers.
type HeadersStatus uint8

const (
	// Continue hands the headers to the next filter.
	Continue HeadersStatus = iota
	// StopIteration keeps them from later filters. Body and trailers still arrive at
	// this filter; its answer to them, or ContinueDecoding (ContinueEncoding), starts
	// the next filter with the headers.
	StopIteration
	// ContinueAndDontEndStream hands the headers on although they end the stream: the
	// filter adds a body or trailers afterwards. Only with endStream.
	ContinueAndDontEndStream
	// StopAllIterationAndBuffer keeps headers, body and trailers from this and later
	// filters until ContinueDecoding; the body is buffered, and a body over the limit
	// is answered with 413 (a response's with 500).
	StopAllIterationAndBuffer
	// StopAllIterationAndWatermark is the same, but a body over the limit stops
	// reading from its source instead.
	StopAllIterationAndWatermark
)

// A DataStatus is what a filter answers to a piece of the body.
type DataStatus uint8

const (
	// DataContinue hands the data, and all that was buffered, to the next filter;
	// headers that were stopped go first.
	DataContinue DataStatus = iota
	// DataStopAndBuffer adds the data to the buffered body and keeps it from later
	// filters. A body over the limit is answered with 413 (a response's with 500).
	DataStopAndBuffer
	// DataStopAndWatermark is the same, but a body over the limit stops reading from
	// its source until the filter continues.
	DataStopAndWatermark
	// DataStopNoBuffer keeps the data from later filters and drops what the filter left
	// of it.
	DataStopNoBuffer
)

// A TrailersStatus is what a filter answers to trailers.
type TrailersStatus uint8

const (
	// TrailersContinue hands on the trailers, after headers and body that were stopped.
	TrailersContinue TrailersStatus = iota
	// TrailersStop keeps them until ContinueDecoding (ContinueEncoding).
	TrailersStop
)

// A DecoderFilter sees the request.
type DecoderFilter interface {
	// DecodeHeaders is called once. With endStream there is no body. The map may be
	// changed and is valid until OnDestroy.
	DecodeHeaders(h *httpmsg.Headers, endStream bool) HeadersStatus
	// DecodeData is called for each piece of the body, which may be changed.
	DecodeData(data *buffer.Buffer, endStream bool) DataStatus
	// DecodeTrailers is called at most once, after the body.
	DecodeTrailers(trailers *httpmsg.Headers) TrailersStatus
}

// An EncoderFilter sees the response.
type EncoderFilter interface {
	// EncodeInterim is called for each 1xx response that is passed on.
	EncodeInterim(h *httpmsg.Headers) HeadersStatus
	EncodeHeaders(h *httpmsg.Headers, endStream bool) HeadersStatus
	EncodeData(data *buffer.Buffer, endStream bool) DataStatus
	EncodeTrailers(trailers *httpmsg.Headers) TrailersStatus
}

// A Filter is one filter of one stream: a DecoderFilter, an EncoderFilter or both,
// which the engine asks once.
type Filter interface {
	// OnDestroy is called once, when the stream ends in whatever way. The filter
	// cancels all it waits for; no call follows but Reset.
	OnDestroy()
}

// A Resetter is a Filter that can serve another stream after OnDestroy. The engine
// then keeps it with its chain instead of building a new one.
type Resetter interface {
	// Reset makes the filter as its Builder returned it.
	Reset()
}

// A StreamCompleter is told when a stream is over, before its access log is
// written. It may be implemented by a Filter.
type StreamCompleter interface {
	OnStreamComplete()
}

// A Builder makes the filter of a stream. It is immutable and called on any
// worker. The callbacks stay with the filter for its life, recycling included.
type Builder func(cb Callbacks) Filter
