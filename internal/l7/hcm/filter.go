package hcm

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
)

// An activeFilter is one filter of a stream. It is the httpfilter.Callbacks that the filter was built with.
type activeFilter struct {
	s      *stream
	index  int // in the order of the configuration
	name   string
	filter httpfilter.Filter
	filterchain.Filter
	watermark httpfilter.WatermarkCallbacks
}

var _ httpfilter.Callbacks = (*activeFilter)(nil)

func (f *activeFilter) Name() string                     { return f.name }
func (f *activeFilter) Dispatcher() event.Dispatcher     { return f.s.m.d }
func (f *activeFilter) Connection() network.Connection   { return f.s.m.conn }
func (f *activeFilter) StreamID() uint64                 { return f.s.id }
func (f *activeFilter) Stream() *streaminfo.Stream       { return &f.s.info }
func (f *activeFilter) Route() *route.Route              { return f.s.resolveRoute() }
func (f *activeFilter) ClearRoute()                      { f.s.routeKnown, f.s.route = false, nil }
func (f *activeFilter) RequestHeaders() *httpmsg.Headers { return f.s.request.Headers }
func (f *activeFilter) RequestTrailers() *httpmsg.Headers {
	return f.s.request.Trailers
}
func (f *activeFilter) ResponseHeaders() *httpmsg.Headers  { return f.s.response.Headers }
func (f *activeFilter) ResponseTrailers() *httpmsg.Headers { return f.s.response.Trailers }

func (f *activeFilter) RecreateStream(response *httpmsg.Headers) bool {
	return f.s.recreate(f, response)
}

func (f *activeFilter) ResetStream(reason httpmsg.ResetReason, details string) {
	f.s.resetStream(reason, details)
}

func (f *activeFilter) SendLocalReply(reply httpfilter.LocalReply) { f.s.sendLocalReply(reply) }

func (f *activeFilter) ContinueDecoding() { f.s.request.Resume(f.index) }

func (f *activeFilter) DecodingBuffer() *buffer.Buffer { return f.HeldRequest() }

func (f *activeFilter) AddDecodedData(data *buffer.Buffer, streaming bool) {
	f.s.request.AddData(f.index, data, streaming)
}

func (f *activeFilter) AddDecodedTrailers() *httpmsg.Headers { return f.s.request.AddTrailers() }
func (f *activeFilter) DecoderBufferLimit() int              { return f.s.request.Limit }
func (f *activeFilter) SetDecoderBufferLimit(limit int)      { f.s.request.Limit = limit }
func (f *activeFilter) RequestHigh()                         { f.s.request.PauseSource() }
func (f *activeFilter) RequestLow()                          { f.s.request.ResumeSource() }

// EncodeInterim drops interim responses of the upstream unless the configuration
// lets them through: the proxy has answered Expect itself.
func (f *activeFilter) EncodeInterim(h *httpmsg.Headers) {
	if f.s.cfg.proxy100Continue {
		f.s.encodeInterim(h)
	}
}

func (f *activeFilter) StartResponse(h *httpmsg.Headers, endStream bool, details string) {
	f.s.startResponse(h, endStream, details)
}

func (f *activeFilter) SendResponseData(data *buffer.Buffer, endStream bool) {
	f.s.response.ReceiveData(data, endStream)
}

func (f *activeFilter) SendResponseTrailers(trailers *httpmsg.Headers) {
	f.s.response.ReceiveTrailers(trailers)
}

func (f *activeFilter) WatchDownstream(w httpfilter.WatermarkCallbacks) {
	f.watermark = w
	if f.s.downstreamHigh > 0 {
		w.OnDownstreamHigh()
	}
}

func (f *activeFilter) ContinueEncoding()              { f.s.response.Resume(f.s.mirror(f.index)) }
func (f *activeFilter) EncodingBuffer() *buffer.Buffer { return f.HeldResponse() }

func (f *activeFilter) AddEncodedData(data *buffer.Buffer, streaming bool) {
	f.s.response.AddData(f.s.mirror(f.index), data, streaming)
}

func (f *activeFilter) AddEncodedTrailers() *httpmsg.Headers { return f.s.response.AddTrailers() }
func (f *activeFilter) EncoderBufferLimit() int              { return f.s.response.Limit }
func (f *activeFilter) SetEncoderBufferLimit(limit int)      { f.s.response.Limit = limit }
func (f *activeFilter) ResponseHigh()                        { f.s.response.PauseSource() }
func (f *activeFilter) ResponseLow()                         { f.s.response.ResumeSource() }
