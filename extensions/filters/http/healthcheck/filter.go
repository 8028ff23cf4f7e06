package healthcheck

import (
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

const degradedHeader = "x-envoy-degraded"

// A cache holds the last answer of the upstream to a health check, for all workers.
type cache struct {
	keep time.Duration
	last atomic.Pointer[answer] // nil until there is one
}

// An answer of the upstream. It is immutable.
type answer struct {
	status   int
	degraded bool
	until    time.Time
}

// get returns the answer that still counts, nil if there is none.
func (c *cache) get(now time.Time) *answer {
	if a := c.last.Load(); a != nil && now.Before(a.until) {
		return a
	}
	return nil
}

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassResponseBody
	cfg *config
	cb  httpfilter.Callbacks

	// Of the stream: it is a health check; this filter answers it, from cached if that
	// is not nil.
	isCheck, handling bool
	cached            *answer
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

func newFilter(cfg *config, cb httpfilter.Callbacks) *filter { return &filter{cfg: cfg, cb: cb} }

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	for _, m := range f.cfg.headers {
		if !m.MatchHeaders(h) {
			return httpfilter.Continue
		}
	}
	f.isCheck = true
	f.cb.Stream().HealthCheck = true
	if f.cfg.cache != nil {
		f.cached = f.cfg.cache.get(f.cb.Dispatcher().Now())
	}
	f.handling = !f.cfg.passThrough || f.cached != nil || f.cfg.server.HealthCheckFailed()
	if !f.handling {
		return httpfilter.Continue
	}
	if endStream {
		f.reply()
	}
	return httpfilter.StopIteration
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(_ *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.handling {
		return httpfilter.DataContinue
	}
	if endStream {
		f.reply()
	}
	return httpfilter.DataStopNoBuffer
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	if !f.handling {
		return httpfilter.TrailersContinue
	}
	f.reply()
	return httpfilter.TrailersStop
}

// reply answers the check, which is complete.
func (f *filter) reply() {
	st, shard := &f.cfg.stats, f.cb.Dispatcher().Shard()
	st.requestTotal.Inc(shard)
	var reply httpfilter.LocalReply
	reply.Status, reply.Details = f.verdict(shard)
	if reply.Status/100 == 2 {
		st.ok.Inc(shard)
	} else {
		st.failed.Inc(shard)
		f.cb.Stream().Flags |= streaminfo.FailedLocalHealthCheck
	}
	if f.cached != nil && f.cached.degraded && !f.cfg.server.HealthCheckFailed() {
		st.degraded.Inc(shard)
		reply.Modify = func(h *httpmsg.Headers) { h.SetName(degradedHeader, "") }
	}
	f.cb.SendLocalReply(reply)
}

// verdict decides the status, and the response code detail.
func (f *filter) verdict(shard int) (status int, details string) {
	switch {
	case f.cfg.server.HealthCheckFailed():
		return 503, "health_check_failed"
	case f.cached != nil:
		f.cfg.stats.cachedResponse.Inc(shard)
		return f.cached.status, "health_check_cached"
	case len(f.cfg.minimums) == 0:
		return 200, "health_check_ok"
	}
	for _, m := range f.cfg.minimums {
		c := f.cfg.clusters.Get(m.cluster)
		if c == nil {
			f.cfg.stats.clusterNotFound.Inc(shard)
			return 503, "health_check_failed_no_cluster_found"
		}
		total, healthy, degraded := c.Health()
		switch {
		case total == 0 && m.percent > 0:
			f.cfg.stats.clusterEmpty.Inc(shard)
			return 503, "health_check_failed_cluster_empty"
		case 100*(healthy+degraded) < total*m.percent:
			f.cfg.stats.clusterUnhealthy.Inc(shard)
			return 503, "health_check_failed_cluster_unhealthy"
		}
	}
	return 200, "health_check_ok_cluster_healthy"
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if f.isCheck {
		if f.cfg.cache != nil && !f.handling {
			_, degraded := h.Find(degradedHeader)
			f.cfg.cache.last.Store(&answer{h.StatusCode(), degraded, f.cb.Dispatcher().Now().Add(f.cfg.cache.keep)})
		}
		h.Set(httpmsg.XEnvoyUpstreamHealthCheckedCluster, f.cfg.server.ServiceCluster())
	}
	if f.cfg.server.HealthCheckFailed() {
		h.Set(httpmsg.XEnvoyImmediateHealthCheckFail, "true")
	}
	return httpfilter.Continue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.isCheck, f.handling, f.cached = false, false, nil }
