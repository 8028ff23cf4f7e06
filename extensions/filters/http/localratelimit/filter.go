package localratelimit

import (
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

const resourceExhausted = 8 // the gRPC status

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	httpfilter.PassResponseBody
	cfg    *config
	cb     httpfilter.Callbacks
	modify func(*httpmsg.Headers) // modifyReply, made once

	// Of the stream: the limit that is used, and the bucket that decided, nil if none
	// did.
	used   *config
	bucket *tokenbucket.Bucket

	entry   format.Entry
	scratch []byte
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

func newFilter(cfg *config, cb httpfilter.Callbacks) *filter {
	f := &filter{cfg: cfg, cb: cb, used: cfg}
	f.modify = f.modifyReply
	return f
}

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if r := f.cb.Route(); r != nil {
		if c, ok := r.FilterConfig(f.cb.Name()).(*config); ok {
			f.used = c
		}
	}
	cfg, d := f.used, f.cb.Dispatcher()
	if !cfg.enabled.Enabled(cfg.runtime.Snapshot(), d.Random()) {
		return httpfilter.Continue
	}
	cfg.stats.enabled.Inc(d.Shard())
	f.bucket = f.findBucket()
	if f.bucket == nil || f.bucket.Take(d.Now()) {
		cfg.stats.ok.Inc(d.Shard())
		return httpfilter.Continue
	}
	cfg.stats.rateLimited.Inc(d.Shard())
	if !cfg.enforced.Enabled(cfg.runtime.Snapshot(), d.Random()) {
		f.apply(cfg.requestHeaders, h)
		return httpfilter.Continue
	}
	cfg.stats.enforced.Inc(d.Shard())
	f.cb.Stream().Flags |= streaminfo.RateLimited
	f.cb.SendLocalReply(httpfilter.LocalReply{
		Status: cfg.status, Body: "local_rate_limited", Details: "local_rate_limited",
		GRPCStatus: resourceExhausted, HasGRPCStatus: cfg.resourceExhausted, Modify: f.modify,
	})
	return httpfilter.StopIteration
}

// A connectionBucket is the bucket of a connection for one limit.
type connectionBucket struct {
	of     *config
	bucket *tokenbucket.Bucket
}

// findBucket returns the bucket that decides, nil for none.
func (f *filter) findBucket() *tokenbucket.Bucket {
	cfg := f.used
	if cfg.limit == nil || !cfg.perConnection {
		return cfg.bucket
	}
	info := f.cb.Connection().Info()
	if b, ok := info.FilterState[cfg.key].(*connectionBucket); ok && b.of == cfg {
		return b.bucket
	}
	if info.FilterState == nil {
		info.FilterState = map[string]any{}
	}
	b := cfg.limit.New()
	info.FilterState[cfg.key] = &connectionBucket{cfg, b}
	return b
}

// modifyReply changes the headers of the local reply.
func (f *filter) modifyReply(h *httpmsg.Headers) {
	f.apply(f.used.responseHeaders, h)
	if !f.used.retryAfter || f.used.status != 429 || h.Has(httpmsg.RetryAfter) {
		return
	}
	f.addNumber(h, httpmsg.RetryAfter.String(), max(f.reset(), 1))
}

func (f *filter) apply(list *headeroption.List, h *httpmsg.Headers) {
	if list == nil {
		return
	}
	d := f.cb.Dispatcher()
	f.entry = format.Entry{
		Request: f.cb.RequestHeaders(), Response: f.cb.ResponseHeaders(), Stream: f.cb.Stream(), Now: d.Now(), Shard: d.Shard(), Random: f.cb.StreamID(),
	}
	list.MutateHeaders(h, &f.entry)
}

// reset returns the seconds until there is a token, rounded up.
func (f *filter) reset() uint64 {
	wait := f.bucket.Wait(f.cb.Dispatcher().Now())
	return uint64((wait + time.Second - 1) / time.Second)
}

func (f *filter) addNumber(h *httpmsg.Headers, name string, n uint64) {
	f.scratch = strconv.AppendUint(f.scratch[:0], n, 10)
	h.Add(name, h.String(f.scratch))
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if f.bucket != nil && f.used.rateLimitHeaders {
		f.addNumber(h, "x-ratelimit-limit", f.bucket.Max)
		f.addNumber(h, "x-ratelimit-remaining", f.bucket.Remaining(f.cb.Dispatcher().Now()))
		f.addNumber(h, "x-ratelimit-reset", f.reset())
	}
	return httpfilter.Continue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.used, f.bucket, f.entry = f.cfg, nil, format.Entry{} }
