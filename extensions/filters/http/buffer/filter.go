package buffer

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A filter is the filter of one stream.
type filter struct {
	cfg *settings
	cb  httpfilter.Callbacks

	// Of the stream: headers is nil unless the filter waits for the body.
	headers  *httpmsg.Headers
	maxBytes int
	bytes    int
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if endStream {
		return httpfilter.Continue
	}
	cfg := f.cfg
	if r := f.cb.Route(); r != nil {
		if c, ok := r.FilterConfig(f.cb.Name()).(*settings); ok {
			cfg = c
		}
	}
	if cfg.disabled {
		return httpfilter.Continue
	}
	f.headers, f.maxBytes = h, cfg.maxBytes
	f.cb.SetDecoderBufferLimit(cfg.maxBytes)
	return httpfilter.StopIteration
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if f.headers == nil {
		return httpfilter.DataContinue
	}
	f.bytes += data.Len()
	if !endStream || f.bytes > f.maxBytes {
		return httpfilter.DataStopAndBuffer // over the limit the engine answers with 413
	}
	f.addContentLength()
	return httpfilter.DataContinue
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	f.addContentLength()
	return httpfilter.TrailersContinue
}

// addContentLength tells the upstream what is known now, unless the client did.
func (f *filter) addContentLength() {
	if f.headers == nil || f.headers.Has(httpmsg.ContentLength) {
		return
	}
	var digits [20]byte
	f.headers.AddID(httpmsg.ContentLength, f.headers.String(strconv.AppendInt(digits[:0], int64(f.bytes), 10)))
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.headers, f.maxBytes, f.bytes = nil, 0, 0 }
