package headermutation

import (
	"slices"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	httpfilter.PassResponseBody
	cfg *config
	cb  httpfilter.Callbacks

	// Of the stream: the mutations in the order in which they are made, empty until the
	// route was looked up.
	levels []*mutations

	entry   format.Entry
	scratch []byte // of the query
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// findLevels notes the filter's own mutations and those of the route, as it is at
// the first call.
func (f *filter) findLevels() {
	if len(f.levels) > 0 {
		return
	}
	f.levels = append(f.levels, f.cfg.own)
	r := f.cb.Route()
	if r == nil {
		return
	}
	for i := range r.FilterConfigs {
		if c := &r.FilterConfigs[i]; c.Filter == f.cb.Name() {
			if m, ok := c.Config.(*mutations); ok {
				f.levels = append(f.levels, m)
			}
		}
	}
	if f.cfg.mostSpecificLast {
		slices.Reverse(f.levels[1:])
	}
}

// fill makes the entry for formatted values.
func (f *filter) fill() {
	d := f.cb.Dispatcher()
	f.entry = format.Entry{
		Request: f.cb.RequestHeaders(), Response: f.cb.ResponseHeaders(), Trailers: f.cb.ResponseTrailers(), Stream: f.cb.Stream(),
		Now: d.Now(), Shard: d.Shard(), Random: f.cb.StreamID(),
	}
}

// mutate changes h with the list that of selects from each level.
func (f *filter) mutate(h *httpmsg.Headers, of func(*mutations) headeroption.Mutations) {
	f.findLevels()
	f.fill()
	for _, level := range f.levels {
		of(level).MutateHeaders(h, &f.entry)
	}
}

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	f.findLevels()
	f.fill()
	for _, level := range f.levels {
		level.request.MutateHeaders(h, &f.entry)
		if len(level.query) > 0 && h.Has(httpmsg.Path) {
			level.mutateQuery(h, &f.entry, &f.scratch)
		}
	}
	return httpfilter.Continue
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	f.mutate(trailers, func(m *mutations) headeroption.Mutations { return m.requestTrailers })
	return httpfilter.TrailersContinue
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	f.mutate(h, func(m *mutations) headeroption.Mutations { return m.response })
	return httpfilter.Continue
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	f.mutate(trailers, func(m *mutations) headeroption.Mutations { return m.responseTrailers })
	return httpfilter.TrailersContinue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	clear(f.levels)
	f.levels, f.entry = f.levels[:0], format.Entry{}
}
