package grpchttp1reversebridge

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
	cfg *settings
	cb  httpfilter.Callbacks

	// Of the stream. contentType is that of the client, "" unless the filter is on.
	contentType string
	stripped    bool // the header of the request's frame is gone
	framed      bool // that of the response's is there
	status      int  // of gRPC
	size        int  // of the response, if a header tells it
	received    int  // bytes of the response
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if endStream || !grpc.IsRequest(h) || f.disabled() {
		return httpfilter.Continue
	}
	f.contentType = h.Get(httpmsg.ContentType)
	h.Set(httpmsg.ContentType, f.cfg.contentType)
	h.Set(httpmsg.Accept, f.cfg.contentType)
	if f.cfg.withhold {
		addLength(h, -grpc.HeaderSize)
	}
	f.cb.ClearRoute()
	return httpfilter.Continue
}

func (f *filter) disabled() bool {
	r := f.cb.Route()
	if r == nil {
		return false
	}
	cfg, ok := r.FilterConfig(f.cb.Name()).(*routeSettings)
	return ok && cfg.disabled
}

// addLength changes the content-length, if there is one that is not 0.
func addLength(h *httpmsg.Headers, n int) {
	if length, err := strconv.Atoi(h.Get(httpmsg.ContentLength)); err == nil && length > 0 {
		h.Set(httpmsg.ContentLength, strconv.Itoa(max(length+n, 0)))
	}
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, _ bool) httpfilter.DataStatus {
	if f.contentType == "" || !f.cfg.withhold || f.stripped {
		return httpfilter.DataContinue
	}
	if data.Len() < grpc.HeaderSize {
		f.fail("invalid request body", grpc.Unknown, "grpc_bridge_data_too_small")
		return httpfilter.DataStopNoBuffer
	}
	data.Drain(grpc.HeaderSize)
	f.stripped = true
	return httpfilter.DataContinue
}

// fail answers with a gRPC error.
func (f *filter) fail(message string, status int, details string) {
	f.cb.SendLocalReply(httpfilter.LocalReply{
		Status: 200, Body: message, GRPCStatus: status, HasGRPCStatus: true, Details: details,
	})
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	return httpfilter.TrailersContinue
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if f.contentType == "" {
		return httpfilter.Continue
	}
	if got := h.Get(httpmsg.ContentType); got != f.cfg.contentType {
		message := "unsupported content-type " + got
		if !h.Has(httpmsg.ContentType) {
			message = "no content-type header"
		}
		message = "envoy reverse bridge: upstream responded with " + message + ", status code " + h.Get(httpmsg.Status)
		f.fail(message, grpc.Unknown, "grpc_bridge_content_type_wrong")
		return httpfilter.StopIteration
	}
	h.Set(httpmsg.ContentType, f.contentType)
	if !f.adjustLength(h) {
		f.fail("envoy reverse bridge: upstream did not set content length", grpc.Internal, "grpc_bridge_content_length_missing")
		return httpfilter.StopIteration
	}
	if f.status = grpc.OK; h.StatusCode() != 200 {
		f.status = httpmsg.GRPCStatusOfHTTP(h.StatusCode())
	}
	h.SetStatusCode(200)
	if endStream && f.cfg.withhold {
		f.addEmptyFrame()
		h.Set(httpmsg.ContentLength, strconv.Itoa(grpc.HeaderSize))
		f.addStatus(f.cb.AddEncodedTrailers())
	}
	return httpfilter.Continue
}

// adjustLength counts the header of the frame in the content-length. It reports false if
// the upstream does not tell the size of its response as it is to.
func (f *filter) adjustLength(h *httpmsg.Headers) bool {
	switch {
	case !f.cfg.withhold:
		return true
	case f.cfg.sizeHeader == "":
		addLength(h, grpc.HeaderSize)
		return true
	}
	text, _ := h.Find(f.cfg.sizeHeader)
	text, _, _ = strings.Cut(text, ",")
	size, err := strconv.ParseUint(text, 10, 32) // as much as a frame can have
	f.size = int(size)
	h.Set(httpmsg.ContentLength, strconv.Itoa(f.size+grpc.HeaderSize))
	return err == nil
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if f.contentType == "" {
		return httpfilter.DataContinue
	}
	f.received += data.Len()
	waits := f.cfg.withhold && f.cfg.sizeHeader == "" // the frame begins with its length
	if f.cfg.withhold && !waits && !f.framed {
		grpc.Prepend(data, f.size)
		f.framed = true
	}
	switch {
	case !endStream && waits:
		return httpfilter.DataStopAndBuffer
	case !endStream:
		return httpfilter.DataContinue
	case waits:
		if held := f.cb.EncodingBuffer(); held != nil {
			held.Move(data)
			data.Move(held)
		}
		grpc.Prepend(data, data.Len())
	case f.cfg.withhold && f.received != f.size:
		f.fail("envoy reverse bridge: upstream set incorrect content length", grpc.Internal, "grpc_bridge_content_length_wrong")
		return httpfilter.DataStopNoBuffer
	}
	f.addStatus(f.cb.AddEncodedTrailers())
	return httpfilter.DataContinue
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if f.contentType == "" {
		return httpfilter.TrailersContinue
	}
	f.addStatus(trailers)
	if f.cfg.withhold && f.cfg.sizeHeader == "" {
		if held := f.cb.EncodingBuffer(); held != nil {
			grpc.Prepend(held, held.Len())
		} else {
			f.addEmptyFrame()
		}
	}
	return httpfilter.TrailersContinue
}

func (f *filter) addEmptyFrame() {
	var frame buffer.Buffer
	frame.Init(f.cb.Dispatcher().Buffers())
	grpc.Prepend(&frame, 0)
	f.cb.AddEncodedData(&frame, false)
}

func (f *filter) addStatus(trailers *httpmsg.Headers) {
	trailers.Set(httpmsg.GRPCStatus, strconv.Itoa(f.status))
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { *f = filter{cfg: f.cfg, cb: f.cb} }
