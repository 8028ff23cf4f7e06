package grpchttp1bridge

import (
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// A filter is the filter of one stream.
type filter struct {
	cfg settings
	cb  httpfilter.Callbacks

	// Of the stream: bridging is set for gRPC on HTTP/1, framing if the client sends a
	// bare message. frame is what is left of the header of the response's first frame,
	// which such a client is not shown.
	bridging, framing bool
	frame             int
	response          *httpmsg.Headers // while the response is held back
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	upgrade := f.cfg.upgradeProtobuf && h.Get(httpmsg.ContentType) == "application/x-protobuf" && h.Has(httpmsg.Path)
	if upgrade {
		h.Set(httpmsg.ContentType, grpc.ContentType)
		h.Remove(httpmsg.ContentLength) // the frame is longer than the message
		f.cb.ClearRoute()
	}
	f.bridging = f.cb.Stream().Version < httpmsg.HTTP2 && grpc.IsRequest(h)
	if f.framing = upgrade && f.bridging; f.framing {
		f.frame = grpc.HeaderSize
	}
	if f.bridging && f.cfg.ignoreQuery {
		path, _, _ := strings.Cut(h.Get(httpmsg.Path), "?")
		h.Set(httpmsg.Path, path)
	}
	return httpfilter.Continue
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	switch {
	case !f.framing:
		return httpfilter.DataContinue
	case !endStream:
		return httpfilter.DataStopAndBuffer
	}
	if held := f.cb.DecodingBuffer(); held != nil {
		held.Move(data)
		data.Move(held)
	}
	grpc.Prepend(data, data.Len())
	return httpfilter.DataContinue
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	if held := f.cb.DecodingBuffer(); f.framing && held != nil {
		grpc.Prepend(held, held.Len())
	}
	return httpfilter.TrailersContinue
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

// EncodeHeaders implements httpfilter.EncoderFilter. The headers wait for the trailers.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if !f.bridging || endStream {
		return httpfilter.Continue
	}
	f.response = h
	return httpfilter.StopIteration
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.bridging || endStream {
		return httpfilter.DataContinue
	}
	n := min(f.frame, data.Len())
	data.Drain(n)
	f.frame -= n
	return httpfilter.DataStopAndBuffer
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if f.response == nil {
		return httpfilter.TrailersContinue
	}
	h := f.response
	if trailers.Has(httpmsg.GRPCStatus) {
		if status, ok := grpc.Status(trailers); !ok || status != grpc.OK {
			h.SetStatusCode(503)
		}
		h.Set(httpmsg.GRPCStatus, trailers.Get(httpmsg.GRPCStatus))
	}
	if trailers.Has(httpmsg.GRPCMessage) {
		h.Set(httpmsg.GRPCMessage, trailers.Get(httpmsg.GRPCMessage))
	}
	n := 0
	if held := f.cb.EncodingBuffer(); held != nil {
		n = held.Len()
	}
	h.Set(httpmsg.ContentLength, strconv.Itoa(n))
	return httpfilter.TrailersContinue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.bridging, f.framing, f.frame, f.response = false, false, 0, nil }
