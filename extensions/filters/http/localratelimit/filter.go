package localratelimit

import (
	"strconv"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

const resourceExhausted = 8 // the gRPC status

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	httpfilter.PassResponseBody
	cfg    *config
	cb     httpfilter.Callbacks
	modify func(*httpmsg.Headers) // modifyReply, made once

	// Of the stream: the limit that is used, and what it decided.
	used    *config
	verdict verdict

	entry       format.Entry
	scratch     []byte
	request     ratelimit.Request
	descriptors []ratelimit.Descriptor // memory that is used again, as hits
	hits        []hit
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
	if f.ask(h); f.verdict.allowed {
		cfg.stats.ok.Inc(d.Shard())
		return httpfilter.Continue
	}
	cfg.stats.rateLimited.Inc(d.Shard())
	if b := f.verdict.bucket; b != nil && b.shadow {
		cfg.stats.shadowMode.Inc(d.Shard())
		return httpfilter.Continue
	}
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

// ask makes the descriptors of the request, if there are buckets for any, and takes
// tokens for it.
func (f *filter) ask(h *httpmsg.Headers) {
	l := f.findLimiter()
	f.descriptors = f.descriptors[:0]
	if len(l.fixed)+len(l.wild) > 0 {
		f.describe(h)
	}
	f.verdict, f.hits = l.take(f.descriptors, f.hits, f.cb.Dispatcher().Now())
}

// describe makes the descriptors: by the filter's rules, else by those of the route
// and its virtual host.
func (f *filter) describe(h *httpmsg.Headers) {
	cfg, r := f.used, &f.request
	*r = ratelimit.Request{Entry: f.fill()}
	route := f.cb.Route()
	if route != nil && route.Forward != nil {
		r.HasCluster, r.Cluster = true, route.Forward.Cluster
		if r.Cluster == "" {
			r.Cluster, _ = h.Find(route.Forward.ClusterHeader)
		}
	}
	switch {
	case cfg.rateLimits != nil:
		f.follow(cfg.rateLimits.Stage(0), r, true)
	case r.HasCluster:
		own := route.Forward.RateLimits
		f.follow(own.Stage(cfg.stage), r, false)
		if route.Forward.IncludeHostRateLimits || cfg.hostRules == ratelimitv3.VhRateLimitsOptions_INCLUDE ||
			cfg.hostRules == ratelimitv3.VhRateLimitsOptions_OVERRIDE && own.Empty() {
			f.follow(route.VirtualHost.RateLimits.Stage(cfg.stage), r, false)
		}
	}
}

// follow appends the descriptors of rules. As in Envoy, a rule with a disable key is
// not for this filter, and one for the end of the stream only if it is the route's.
func (f *filter) follow(rules []*ratelimit.Rule, r *ratelimit.Request, own bool) {
	for _, u := range rules {
		if u.DisableKey == "" && !(own && u.OnStreamDone) {
			f.descriptors = u.Append(f.descriptors, r)
		}
	}
}

// A connectionLimiter is the limiter of a connection for one limit.
type connectionLimiter struct {
	of      *config
	limiter *limiter
}

// findLimiter returns the limiter that decides.
func (f *filter) findLimiter() *limiter {
	cfg := f.used
	if !cfg.perConnection {
		return cfg.limiter
	}
	info := f.cb.Connection().Info()
	if l, ok := info.FilterState[cfg.key].(*connectionLimiter); ok && l.of == cfg {
		return l.limiter
	}
	if info.FilterState == nil {
		info.FilterState = map[string]any{}
	}
	l := cfg.limits.newLimiter()
	info.FilterState[cfg.key] = &connectionLimiter{cfg, l}
	return l
}

// modifyReply changes the headers of the local reply.
func (f *filter) modifyReply(h *httpmsg.Headers) {
	f.apply(f.used.responseHeaders, h)
	if f.verdict.bucket == nil || !f.used.retryAfter || f.used.status != 429 || h.Has(httpmsg.RetryAfter) {
		return
	}
	f.addNumber(h, httpmsg.RetryAfter.String(), max(f.reset(), 1))
}

func (f *filter) apply(list *headeroption.List, h *httpmsg.Headers) {
	if list == nil {
		return
	}
	list.MutateHeaders(h, f.fill())
}

// fill makes the entry for formats.
func (f *filter) fill() *format.Entry {
	d := f.cb.Dispatcher()
	f.entry = format.Entry{
		Request: f.cb.RequestHeaders(), Response: f.cb.ResponseHeaders(), Stream: f.cb.Stream(), Now: d.Now(), Shard: d.Shard(), Random: f.cb.StreamID(),
	}
	return &f.entry
}

// reset returns the seconds until there is a token, rounded up.
func (f *filter) reset() uint64 {
	wait := f.verdict.bucket.Wait(f.cb.Dispatcher().Now())
	return uint64((wait + time.Second - 1) / time.Second)
}

func (f *filter) addNumber(h *httpmsg.Headers, name string, n uint64) {
	f.scratch = strconv.AppendUint(f.scratch[:0], n, 10)
	h.Add(name, h.String(f.scratch))
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	v := &f.verdict
	if v.bucket != nil && (v.headers == ratelimit.On || v.headers == ratelimit.Inherit && f.used.rateLimitHeaders) {
		f.addNumber(h, "x-ratelimit-limit", v.bucket.Max)
		f.addNumber(h, "x-ratelimit-remaining", v.bucket.Remaining(f.cb.Dispatcher().Now()))
		f.addNumber(h, "x-ratelimit-reset", f.reset())
	}
	return httpfilter.Continue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	f.used, f.verdict, f.entry, f.request = f.cfg, verdict{}, format.Entry{}, ratelimit.Request{}
	clear(f.hits)
	for i := range f.descriptors {
		clear(f.descriptors[i].Entries)
	}
}
