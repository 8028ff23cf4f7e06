package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A filter routes the request of one stream.
type filter struct {
	// Set when the filter is made, and kept when it is recycled.
	cfg    *config
	cb     httpfilter.Callbacks
	d      event.Dispatcher
	shard  int
	modify func(*httpmsg.Headers) // modifyLocalReply
	timers timers
	digits [20]byte // scratch of millis
	keys   lastKeys

	// pool holds the objects of attempts: the one that was made with the filter, and
	// more while attempts run side by side.
	pool       []*upstreamRequest
	copied     buffer.Buffer   // scratch: a piece of the body for an attempt
	triedHosts []upstream.Host // of all attempts; its memory is kept

	request
}

// lastKeys are texts that are made of names, those of the last request.
type lastKeys struct {
	maintenanceCluster, maintenance string
	zone, zonePrefix                string
}

// request is what a filter knows of the request it serves.
type request struct {
	headers, trailers *httpmsg.Headers
	metadata          heldMetadata
	info              *streaminfo.Stream
	route             *route.Route
	forward           *route.Forward
	cluster           upstream.Cluster
	policies          route.Policies // of the cluster, or else of the route
	entry             format.Entry   // for the formatters of the route
	pick              upstream.Pick
	timeouts          timeouts
	retry             retryState
	named             namedStats
	// wireBytes are those of all attempts up to metered, the last one that got a
	// connection. As in Envoy what an earlier one still moves then does not count.
	wireBytes  streaminfo.Meter
	metered    *upstreamRequest
	attempts   int // how often the request was sent, this time included
	completeAt time.Time
	cookies    []string // that hash policies want in the response
	local      localExtras
	shadows    []*shadow // that still get the request
	// copiedTo are the clusters that got the request of a shadow as a copy, the own one last.
	copiedTo []string

	// attempt is the last attempt. From the begin of the response on it is the one that
	// answers.
	attempt *upstreamRequest
	// downstreamHigh counts the high marks of the downstream without their low ones.
	downstreamHigh int

	grpc, internal  bool
	connect         bool // the tunnel of a CONNECT request ends here
	complete        bool // the request was received as a whole
	bodyLost        bool // the body was too long to be kept
	responseStarted bool // something of the response went to the client
	over            bool // nothing is sent upstream or received any more
}

var (
	_ httpfilter.DecoderFilter      = (*filter)(nil)
	_ httpfilter.Filter             = (*filter)(nil)
	_ httpfilter.Resetter           = (*filter)(nil)
	_ httpfilter.StreamCompleter    = (*filter)(nil)
	_ httpfilter.WatermarkCallbacks = (*filter)(nil)
	_ upstream.RetryHosts           = (*filter)(nil)
)

func newFilter(cfg *config, cb httpfilter.Callbacks) *filter {
	f := &filter{cfg: cfg, cb: cb, d: cb.Dispatcher()}
	f.shard = f.d.Shard()
	f.modify = f.modifyLocalReply
	f.copied.Init(f.d.Buffers())
	f.attempt = f.newAttempt()
	return f
}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	clear(f.triedHosts)
	f.triedHosts = f.triedHosts[:0]
	clear(f.pool[1:])
	f.pool = f.pool[:1]
	f.pool[0].forget()
	f.request = request{}
	f.attempt = f.pool[0]
}

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	f.headers, f.info = h, f.cb.Stream()
	f.grpc = h.IsGRPC()
	f.internal = h.Get(httpmsg.XEnvoyInternal) == "true"
	f.cfg.stats.rqTotal.Inc(f.shard)
	if !f.findCluster() || !f.admitted() {
		return httpfilter.StopIteration
	}
	f.connect = terminatesConnect(f.forward, h)
	f.pick = upstream.Pick{
		Priority: f.forward.Priority, Downstream: f.info.Downstream, Stream: f.info, Request: h, HTTP: !f.connect,
	}
	f.hash()
	f.attempts, f.info.AttemptCount = 1, 1
	f.finishRequestHeaders()
	f.cb.WatchDownstream(f)
	shadowHeaders := f.shadowHeaders()
	f.attempt.start(endStream)
	f.startShadows(shadowHeaders, endStream)
	if endStream {
		f.requestComplete()
	}
	return httpfilter.StopIteration
}

// findCluster finds route and cluster, or answers the request.
func (f *filter) findCluster() bool {
	f.route = f.cb.Route()
	switch {
	case f.route == nil:
		f.cfg.stats.noRoute.Inc(f.shard)
		f.fail(noRoute())
		return false
	case f.route.Direct != nil:
		f.answer(f.route.Direct)
		return false
	}
	f.forward = f.route.Forward
	if name := f.forward.ClusterName(f.headers, f.info, f.cb.StreamID()); name != "" {
		f.cluster = f.cfg.clusters.Get(name)
	}
	if f.cluster == nil {
		f.cfg.stats.noCluster.Inc(f.shard)
		f.fail(noCluster(f.forward.ClusterNotFoundStatus))
		return false
	}
	f.attempt.up = &f.info.Upstream
	f.findPolicies()
	f.describeCluster()
	f.findNamedStats()
	return true
}

// findPolicies finds what the cluster decides instead of the route.
func (f *filter) findPolicies() {
	p := route.Policies{Retry: f.forward.Retry, Mirrors: f.forward.Mirrors, Hash: f.forward.Hash}
	if o, ok := f.cluster.(httpfilter.ClusterOptions); ok {
		own := o.Policies()
		if own.Retry != nil {
			p.Retry = own.Retry
		}
		if own.Mirrors != nil {
			p.Mirrors = own.Mirrors
		}
		if own.Hash != nil {
			p.Hash = own.Hash
		}
	}
	f.policies = p
}

// admitted reports whether the request may go to its cluster, or answers it.
func (f *filter) admitted() bool {
	if id, found := f.invalidControlHeader(); found {
		f.fail(invalidHeader(id, f.headers.Get(id)))
		return false
	}
	f.named.alternative = f.headers.Get(httpmsg.XEnvoyUpstreamAltStatName)
	f.headers.Remove(httpmsg.XEnvoyUpstreamAltStatName)
	if f.inMaintenance() {
		f.countResponse(503, nil, false)
		f.cluster.Stats().UpstreamRqMaintenanceMode.Inc(f.shard)
		f.fail(maintenance())
		return false
	}
	return true
}

// inMaintenance reports whether the runtime wants this request to the cluster
// refused.
func (f *filter) inMaintenance() bool {
	if name := f.cluster.Name(); name != f.keys.maintenanceCluster {
		f.keys.maintenanceCluster, f.keys.maintenance = name, "upstream.maintenance_mode."+name
	}
	share := f.cfg.runtime.Snapshot().Percent(f.keys.maintenance, 0)
	return share > 0 && f.d.Random()%millionths < uint64(share)
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if f.over || !f.accepts() || !f.fits(data) {
		return httpfilter.DataStopNoBuffer
	}
	f.shadowData(data, endStream)
	if f.keeps() {
		f.copied.AppendCopy(data)
		f.attempt.sendData(&f.copied, endStream)
		f.copied.Drain(f.copied.Len())
	} else {
		f.attempt.sendData(data, endStream)
	}
	if endStream {
		f.requestComplete()
	}
	if f.keeps() {
		return httpfilter.DataStopAndBuffer
	}
	return httpfilter.DataStopNoBuffer
}

// accepts reports whether a piece of the body may come now, or answers the request.
func (f *filter) accepts() bool {
	if f.cfg.rejectEarlyConnectData && f.attempt.upgrade == connectUpgrade && !f.responseStarted {
		f.fail(earlyConnectData())
		return false
	}
	return true
}

// keeps reports whether the body is kept: for another attempt, or for the target of
// a redirect.
func (f *filter) keeps() bool {
	return !f.over && !f.bodyLost && !f.responseStarted && (f.retry.possible() || f.forward.Redirect != nil)
}

// fits sees to it that the body is kept only as far as the limit goes. A retry that
// waits for a longer one cannot be: the request is answered and fits reports false.
func (f *filter) fits(data *buffer.Buffer) bool {
	if !f.keeps() {
		return true
	}
	have, limit := 0, f.cb.DecoderBufferLimit()
	if kept := f.cb.DecodingBuffer(); kept != nil {
		have = kept.Len()
	}
	if limit == 0 || have+data.Len() <= limit {
		return true
	}
	f.cluster.Stats().RetryOrShadowAbandoned.Inc(f.shard)
	waiting := f.retry.waiting
	f.bodyLost = true
	f.endRetries()
	if waiting {
		f.fail(retryBufferFull())
	}
	return !waiting
}

// dropBody forgets the body that was kept, if nothing needs it any more.
func (f *filter) dropBody() {
	if f.keeps() {
		return
	}
	if kept := f.cb.DecodingBuffer(); kept != nil {
		kept.Drain(kept.Len())
	}
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if !f.over {
		f.trailers = trailers
		f.attempt.sendTrailers(trailers)
		f.shadowTrailers(trailers)
		f.requestComplete()
	}
	return httpfilter.TrailersStop
}

// requestComplete starts the clock for the response.
func (f *filter) requestComplete() {
	f.leaveShadows()
	if f.over {
		return
	}
	f.complete, f.completeAt = true, f.d.Now()
	if f.attempt.upgrade != websocketUpgrade { // that one is timed from its headers on
		f.armResponseTimeout()
	}
	f.attempt.armPerTry()
}

// OnDownstreamHigh implements httpfilter.WatermarkCallbacks.
func (f *filter) OnDownstreamHigh() {
	f.downstreamHigh++
	if f.responseStarted {
		f.attempt.pause(true)
	}
}

// OnDownstreamLow implements httpfilter.WatermarkCallbacks.
func (f *filter) OnDownstreamLow() {
	f.downstreamHigh--
	if f.responseStarted {
		f.attempt.pause(false)
	}
}

// stop ends all that goes on for the request: attempts, retries, timers.
func (f *filter) stop() {
	if f.over {
		return
	}
	f.over = true
	for _, u := range f.pool {
		if u.pending() && !u.gotHeaders {
			f.failed(u, "the request ended first", decision{})
		}
		u.reset()
	}
	f.stopRetries()
	disarm(f.timers.response)
}

// OnStreamComplete implements httpfilter.StreamCompleter.
func (f *filter) OnStreamComplete() {
	f.meter(nil)
	if f.info != nil {
		f.info.Upstream.Bytes = f.wireBytes
	}
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {
	f.stop()
	f.cancelShadows()
}
