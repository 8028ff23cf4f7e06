package grpcweb

import (
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// The content types of gRPC-Web.
const (
	web          = "application/grpc-web"
	webProto     = "application/grpc-web+proto"
	webText      = "application/grpc-web-text"
	webTextProto = "application/grpc-web-text+proto"
)

// maxMessage bounds the body of a response that becomes a grpc-message, unless it comes
// in one piece.
const maxMessage = 16 << 10

// A filter is the filter of one stream.
type filter struct {
	cb       httpfilter.Callbacks
	clusters upstream.Clusters

	// Of the stream. calls is nil if the call is not counted.
	on                        bool
	textRequest, textResponse bool
	calls                     *upstream.GRPCCalls
	request                   grpc.Base64Decoder
	response                  textEncoder
	// foreign are the headers of a response that is no gRPC, while its body gathers in
	// message; nil for others.
	foreign *httpmsg.Headers
	message buffer.Buffer
	scratch []byte
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	switch h.Get(httpmsg.ContentType) {
	case web, webProto:
	case webText, webTextProto:
		f.textRequest = true
	default:
		return httpfilter.Continue
	}
	f.on = true
	h.Remove(httpmsg.ContentLength)
	f.calls = f.findCalls(h)
	h.Set(httpmsg.ContentType, grpc.ContentType)
	accept := h.Get(httpmsg.Accept)
	f.textResponse = accept == webText || accept == webTextProto
	h.Set(httpmsg.TE, "trailers")
	if _, ok := h.Find("grpc-accept-encoding"); !ok {
		h.Add("grpc-accept-encoding", "identity")
	}
	return httpfilter.Continue
}

// findCalls returns where to count the call, nil for nowhere.
func (f *filter) findCalls(h *httpmsg.Headers) *upstream.GRPCCalls {
	service, method, ok := grpc.ServiceAndMethod(h.Get(httpmsg.Path))
	if !ok {
		return nil
	}
	cluster := grpc.Cluster(h, f.cb, f.clusters)
	if cluster == nil {
		return nil
	}
	prefix := append(append(h.Room(), "grpc-web."...), service...)
	prefix = append(append(append(prefix, '.'), method...), '.')
	return cluster.Stats().GRPC.Get(h.Take(prefix))
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.textRequest || data.Len() == 0 && f.request.Complete() {
		return httpfilter.DataContinue
	}
	f.scratch = data.AppendTo(f.scratch[:0])
	data.Drain(data.Len())
	n, ok := len(f.scratch), false
	f.scratch, ok = f.request.Append(f.scratch, f.scratch)
	decoded := f.scratch[n:]
	switch {
	case endStream && !f.request.Complete():
		return f.refuse("grpc_base_64_decode_failed_bad_size")
	case !ok:
		return f.refuse("grpc_base_64_decode_failed")
	case len(decoded) == 0:
		return httpfilter.DataStopNoBuffer
	}
	data.Append(decoded)
	return httpfilter.DataContinue
}

func (f *filter) refuse(details string) httpfilter.DataStatus {
	f.cb.SendLocalReply(httpfilter.LocalReply{
		Status: 400, Body: "Bad gRPC-web request, invalid base64 data.", Details: details,
	})
	return httpfilter.DataStopNoBuffer
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	return httpfilter.TrailersContinue
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if !f.on {
		return httpfilter.Continue
	}
	f.recordStatus(h)
	foreign := !grpc.IsResponse(h, endStream) && !isWebResponse(h)
	h.Remove(httpmsg.ContentLength)
	if f.textResponse {
		h.Set(httpmsg.ContentType, webTextProto)
	} else {
		h.Set(httpmsg.ContentType, webProto)
	}
	if endStream || !foreign {
		return httpfilter.Continue
	}
	f.foreign = h
	return httpfilter.StopIteration
}

// isWebResponse reports whether an upstream answers in gRPC-Web itself.
func isWebResponse(h *httpmsg.Headers) bool {
	if h.StatusCode() != 200 {
		return false
	}
	contentType, _, _ := strings.Cut(h.Get(httpmsg.ContentType), ";")
	contentType = strings.TrimRight(contentType, " \t")
	return strings.EqualFold(contentType, web) || strings.EqualFold(contentType, webProto)
}

func (f *filter) recordStatus(h *httpmsg.Headers) {
	if f.calls != nil && h.Has(httpmsg.GRPCStatus) {
		f.calls.RecordStatus(f.cb.Dispatcher().Shard(), h.Get(httpmsg.GRPCStatus))
	}
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	switch {
	case f.foreign != nil:
		return f.gather(data, endStream)
	case !f.on || !f.textResponse:
		return httpfilter.DataContinue
	}
	f.scratch = f.response.append(f.scratch[:0], data)
	data.Drain(data.Len())
	if len(f.scratch) == 0 && !endStream {
		return httpfilter.DataStopNoBuffer
	}
	data.Append(f.scratch)
	return httpfilter.DataContinue
}

// gather takes the body of a response that is no gRPC.
func (f *filter) gather(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if only := endStream && f.message.Len() == 0; only {
		f.message.Move(data)
	} else {
		f.message.MoveN(data, maxMessage-f.message.Len())
		data.Drain(data.Len())
	}
	if !endStream {
		return httpfilter.DataStopNoBuffer
	}
	f.translate()
	return httpfilter.DataContinue
}

// translate makes the response a gRPC error with its body as the message.
func (f *filter) translate() {
	h := f.foreign
	h.Set(httpmsg.GRPCMessage, grpc.EncodeMessage(f.message.AppendTo(nil)))
	h.Set(httpmsg.GRPCStatus, strconv.Itoa(httpmsg.GRPCStatusOfHTTP(h.StatusCode())))
	h.Set(httpmsg.ContentLength, "0")
	f.message.Drain(f.message.Len())
	f.foreign = nil
}

// EncodeTrailers implements httpfilter.EncoderFilter. The trailers become the last frame
// of the body.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if !f.on {
		return httpfilter.TrailersContinue
	}
	f.recordStatus(trailers)
	if f.foreign != nil {
		f.translate()
		return httpfilter.TrailersContinue
	}
	var frame buffer.Buffer
	frame.Init(f.cb.Dispatcher().Buffers())
	lines := f.scratch[:0]
	for _, field := range trailers.Fields() {
		lines = append(append(lines, field.Name...), ':')
		lines = append(append(lines, field.Value...), "\r\n"...)
	}
	f.scratch = lines
	header := grpc.NewHeader(grpc.WebTrailers, len(lines))
	if f.textResponse {
		var e grpc.Base64Encoder
		frame.Append(e.Flush(e.Append(e.Append(nil, header[:]), lines)))
	} else {
		frame.Append(header[:])
		frame.Append(lines)
	}
	trailers.Reset()
	f.cb.AddEncodedData(&frame, true)
	return httpfilter.TrailersContinue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() { f.message.Drain(f.message.Len()) }

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	f.on, f.textRequest, f.textResponse, f.calls, f.foreign = false, false, false, nil, nil
	f.request, f.response = grpc.Base64Decoder{}, textEncoder{}
	if cap(f.scratch) > buffer.BlockSize {
		f.scratch = nil
	}
}
