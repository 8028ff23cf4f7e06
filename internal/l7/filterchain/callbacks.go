package filterchain

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A chainFilter is one filter of a chain, and the callbacks that it was built with:
// those of the router, but for what concerns the chain.
type chainFilter struct {
	httpfilter.Callbacks
	Filter
	c      *chain
	index  int // in the order of the configuration
	name   string
	filter httpfilter.Filter
}

var _ httpfilter.Callbacks = (*chainFilter)(nil)

func (f *chainFilter) Name() string                           { return f.name }
func (f *chainFilter) RequestHeaders() *httpmsg.Headers       { return f.c.request.Headers }
func (f *chainFilter) RequestTrailers() *httpmsg.Headers      { return f.c.request.Trailers }
func (f *chainFilter) ResponseHeaders() *httpmsg.Headers      { return f.c.response.Headers }
func (f *chainFilter) ResponseTrailers() *httpmsg.Headers     { return f.c.response.Trailers }
func (f *chainFilter) SendLocalReply(r httpfilter.LocalReply) { f.c.localReply(r) }

// RecreateStream is for the filters in front of the router.
func (f *chainFilter) RecreateStream(*httpmsg.Headers) bool { return false }

// WatchDownstream is the router's matter.
func (f *chainFilter) WatchDownstream(httpfilter.WatermarkCallbacks) {}

// ResetStream ends the attempt, as if the host had.
func (f *chainFilter) ResetStream(reason httpmsg.ResetReason, details string) {
	if !f.c.ended {
		f.c.handler.OnReset(reason, details)
	}
}

func (f *chainFilter) ContinueDecoding()              { f.c.request.Resume(f.index) }
func (f *chainFilter) DecodingBuffer() *buffer.Buffer { return f.HeldRequest() }

func (f *chainFilter) AddDecodedData(data *buffer.Buffer, streaming bool) {
	f.c.request.AddData(f.index, data, streaming)
}

func (f *chainFilter) AddDecodedTrailers() *httpmsg.Headers { return f.c.request.AddTrailers() }
func (f *chainFilter) DecoderBufferLimit() int              { return f.c.request.Limit }
func (f *chainFilter) SetDecoderBufferLimit(limit int)      { f.c.request.Limit = limit }
func (f *chainFilter) RequestHigh()                         { f.c.request.PauseSource() }
func (f *chainFilter) RequestLow()                          { f.c.request.ResumeSource() }
func (f *chainFilter) ContinueEncoding()                    { f.c.response.Resume(f.mirror()) }
func (f *chainFilter) EncodingBuffer() *buffer.Buffer       { return f.HeldResponse() }

func (f *chainFilter) AddEncodedData(data *buffer.Buffer, streaming bool) {
	f.c.response.AddData(f.mirror(), data, streaming)
}

func (f *chainFilter) AddEncodedTrailers() *httpmsg.Headers { return f.c.response.AddTrailers() }
func (f *chainFilter) EncoderBufferLimit() int              { return f.c.response.Limit }
func (f *chainFilter) SetEncoderBufferLimit(limit int)      { f.c.response.Limit = limit }
func (f *chainFilter) ResponseHigh()                        { f.c.response.PauseSource() }
func (f *chainFilter) ResponseLow()                         { f.c.response.ResumeSource() }

func (f *chainFilter) mirror() int { return len(f.c.filters) - 1 - f.index }
