package matchdelegate

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// newFilter wraps a filter. What it returns can be recycled if the wrapped one can.
func newFilter(wrapped httpfilter.Filter, tree matcher.Tree, cb httpfilter.Callbacks) httpfilter.Filter {
	f := &filter{cb: cb, own: tree, tree: tree, wrapped: wrapped}
	f.dec, _ = wrapped.(httpfilter.DecoderFilter)
	f.enc, _ = wrapped.(httpfilter.EncoderFilter)
	f.completer, _ = wrapped.(httpfilter.StreamCompleter)
	if r, ok := wrapped.(httpfilter.Resetter); ok {
		return &recyclable{f, r}
	}
	return f
}

// A filter hands on to the wrapped one what the tree does not keep from it.
type filter struct {
	cb        httpfilter.Callbacks
	own       matcher.Tree // of the filter's configuration
	wrapped   httpfilter.Filter
	dec       httpfilter.DecoderFilter   // nil if the wrapped filter does not decode
	enc       httpfilter.EncoderFilter   // nil if the wrapped filter does not encode
	completer httpfilter.StreamCompleter // nil if it does not want to be told

	tree matcher.Tree // own or that of the route
	// data is what this filter has seen: of what later filters know the tree does not.
	data matcher.Data
	// decided says that the tree has given its answer, skipped that it was to skip.
	decided, skipped bool
}

// evaluate asks the tree, until it is sure.
func (f *filter) evaluate() {
	if f.decided {
		return
	}
	if f.tree == nil {
		f.decided, f.skipped = true, true
		return
	}
	f.data.Stream = f.cb.Stream()
	outcome := f.tree.Match(f.data).Outcome
	f.decided, f.skipped = outcome != matcher.Unsure, outcome == matcher.Matched
}

func (f *filter) decodes() bool { return f.dec != nil && !f.skipped }

func (f *filter) encodes() bool { return f.enc != nil && !f.skipped }

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if r := f.cb.Route(); r != nil {
		if c, ok := r.FilterConfig(f.cb.Name()).(*routeConfig); ok {
			f.tree = c.tree
		}
	}
	f.data.Request = h
	f.evaluate()
	if !f.decodes() {
		return httpfilter.Continue
	}
	return f.dec.DecodeHeaders(h, endStream)
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.decodes() {
		return httpfilter.DataContinue
	}
	return f.dec.DecodeData(data, endStream)
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	f.data.RequestTrailers = trailers
	f.evaluate()
	if !f.decodes() {
		return httpfilter.TrailersContinue
	}
	return f.dec.DecodeTrailers(trailers)
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(h *httpmsg.Headers) httpfilter.HeadersStatus {
	if !f.encodes() {
		return httpfilter.Continue
	}
	return f.enc.EncodeInterim(h)
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	f.data.Response = h
	f.evaluate()
	if !f.encodes() {
		return httpfilter.Continue
	}
	return f.enc.EncodeHeaders(h, endStream)
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.encodes() {
		return httpfilter.DataContinue
	}
	return f.enc.EncodeData(data, endStream)
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	f.data.ResponseTrailers = trailers
	f.evaluate()
	if !f.encodes() {
		return httpfilter.TrailersContinue
	}
	return f.enc.EncodeTrailers(trailers)
}

// OnStreamComplete implements httpfilter.StreamCompleter. As in Envoy a skipped filter
// is told too.
func (f *filter) OnStreamComplete() {
	if f.completer != nil {
		f.completer.OnStreamComplete()
	}
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() { f.wrapped.OnDestroy() }

// recyclable is the filter around one that can be recycled.
type recyclable struct {
	*filter
	wrapped httpfilter.Resetter
}

// Reset implements httpfilter.Resetter.
func (f *recyclable) Reset() {
	f.wrapped.Reset()
	f.tree, f.data, f.decided, f.skipped = f.own, matcher.Data{}, false, false
}
