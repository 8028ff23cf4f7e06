package hcm

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// An activeFilter is one filter of a stream, with what it stopped on either path.
// It is the httpfilter.Callbacks that the filter was built with.
type activeFilter struct {
	s      *stream
	index  int // in the order of the configuration
	name   string
	filter httpfilter.Filter
	dec    httpfilter.DecoderFilter // nil if the filter does not decode
	enc    httpfilter.EncoderFilter // nil if the filter does not encode
	// off is set for a stream whose route disables the filter.
	off       bool
	reads     position // on the request path
	writes    position // on the response path
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
func (f *activeFilter) RequestHeaders() *httpmsg.Headers { return f.s.request.headers }
func (f *activeFilter) RequestTrailers() *httpmsg.Headers {
	return f.s.request.trailers
}
func (f *activeFilter) ResponseHeaders() *httpmsg.Headers  { return f.s.response.headers }
func (f *activeFilter) ResponseTrailers() *httpmsg.Headers { return f.s.response.trailers }

func (f *activeFilter) RecreateStream(response *httpmsg.Headers) bool {
	return f.s.recreate(f, response)
}

func (f *activeFilter) ResetStream(reason httpmsg.ResetReason, details string) {
	f.s.resetStream(reason, details)
}

func (f *activeFilter) SendLocalReply(reply httpfilter.LocalReply) { f.s.sendLocalReply(reply) }

func (f *activeFilter) ContinueDecoding() { f.s.request.resume(f.index) }

func (f *activeFilter) DecodingBuffer() *buffer.Buffer { return f.reads.held() }

func (f *activeFilter) AddDecodedData(data *buffer.Buffer, streaming bool) {
	f.s.request.addData(f.index, data, streaming)
}

func (f *activeFilter) AddDecodedTrailers() *httpmsg.Headers { return f.s.request.addTrailers() }
func (f *activeFilter) DecoderBufferLimit() int              { return f.s.request.limit }
func (f *activeFilter) SetDecoderBufferLimit(limit int)      { f.s.request.limit = limit }
func (f *activeFilter) RequestHigh()                         { f.s.request.pauseSource() }
func (f *activeFilter) RequestLow()                          { f.s.request.resumeSource() }

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
	f.s.response.receiveData(data, endStream)
}

func (f *activeFilter) SendResponseTrailers(trailers *httpmsg.Headers) {
	f.s.response.receiveTrailers(trailers)
}

func (f *activeFilter) WatchDownstream(w httpfilter.WatermarkCallbacks) {
	f.watermark = w
	if f.s.downstreamHigh > 0 {
		w.OnDownstreamHigh()
	}
}

func (f *activeFilter) ContinueEncoding()              { f.s.response.resume(f.s.mirror(f.index)) }
func (f *activeFilter) EncodingBuffer() *buffer.Buffer { return f.writes.held() }

func (f *activeFilter) AddEncodedData(data *buffer.Buffer, streaming bool) {
	f.s.response.addData(f.s.mirror(f.index), data, streaming)
}

func (f *activeFilter) AddEncodedTrailers() *httpmsg.Headers { return f.s.response.addTrailers() }
func (f *activeFilter) EncoderBufferLimit() int              { return f.s.response.limit }
func (f *activeFilter) SetEncoderBufferLimit(limit int)      { f.s.response.limit = limit }
func (f *activeFilter) ResponseHigh()                        { f.s.response.pauseSource() }
func (f *activeFilter) ResponseLow()                         { f.s.response.resumeSource() }
