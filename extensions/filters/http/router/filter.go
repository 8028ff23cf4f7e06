package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
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
	// The runtime key of the maintenance mode of a cluster, that of the last request.
	maintenanceCluster, maintenanceKey string

	attempt upstreamRequest
	// kept is the body so far, for another attempt.
	kept       buffer.Buffer
	triedHosts []upstream.Host // of all attempts; its memory is kept
	// attempted is what the access log shows as the hosts attempted. As in Envoy that
	// is the one of the last attempt; earlier ones have upstream logs.
	attempted struct {
		host [1]address.Address
		name [1]string
		id   [1]uint64
	}

	request
}

// request is what a filter knows of the request it serves.
type request struct {
	headers, trailers *httpmsg.Headers
	info              *streaminfo.Stream
	route             *route.Route
	forward           *route.Forward
	cluster           upstream.Cluster
	entry             format.Entry // for the formatters of the route
	pick              upstream.Pick
	timeouts          timeouts
	retry             retryState
	attempts          int // how often the request was sent, this time included
	completeAt        time.Time
	location          string // of a redirect
	// downstreamHigh counts the high marks of the downstream without their low ones.
	downstreamHigh int

	grpc, internal  bool
	complete        bool // the request was received as a whole
	responseStarted bool // something of the response went to the client
	overloaded      bool // the local reply is to say so
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
	f.kept.Init(f.d.Buffers())
	f.attempt.init(f)
	return f
}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	clear(f.triedHosts)
	f.triedHosts = f.triedHosts[:0]
	f.request = request{}
	f.attempt.forget()
}

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	f.headers, f.info = h, f.cb.Stream()
	f.grpc = isGRPC(h)
	f.internal = h.Get(httpmsg.XEnvoyInternal) == "true"
	f.cfg.stats.rqTotal.Inc(f.shard)
	if !f.findCluster() || !f.admitted() {
		return httpfilter.StopIteration
	}
	f.attempts, f.info.AttemptCount = 1, 1
	f.finishRequestHeaders()
	f.pick = upstream.Pick{Priority: f.forward.Priority, Downstream: f.info.Downstream, Request: h, HTTP: true}
	f.cb.WatchDownstream(f)
	f.attempt.start(endStream)
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
	if name := f.forward.ClusterName(f.headers, f.cb.Stream(), f.cb.StreamID()); name != "" {
		f.cluster = f.cfg.clusters.Get(name)
	}
	if f.cluster == nil {
		f.cfg.stats.noCluster.Inc(f.shard)
		f.fail(noCluster(f.forward.ClusterNotFoundStatus))
		return false
	}
	f.describeCluster()
	return true
}

// answer gives the direct response or redirect of the route.
func (f *filter) answer(d *route.Direct) {
	f.cfg.stats.rqDirectResponse.Inc(f.shard)
	details := d.Details
	if details == "" {
		details = "direct_response"
	}
	if d.Location != nil {
		f.location = d.Location(f.headers, f.info)
	}
	f.fail(failure{status: d.Status, body: d.Body, details: details})
}

// admitted reports whether the request may go to its cluster, or answers it.
func (f *filter) admitted() bool {
	if id, found := f.invalidControlHeader(); found {
		f.fail(invalidHeader(id, f.headers.Get(id)))
		return false
	}
	if f.inMaintenance() {
		f.countResponse(503, false)
		f.cluster.Stats().UpstreamRqMaintenanceMode.Inc(f.shard)
		f.fail(maintenance())
		return false
	}
	return true
}

// inMaintenance reports whether the runtime wants this request to the cluster
// refused.
func (f *filter) inMaintenance() bool {
	if name := f.cluster.Name(); name != f.maintenanceCluster {
		f.maintenanceCluster, f.maintenanceKey = name, "upstream.maintenance_mode."+name
	}
	share := f.cfg.runtime.Snapshot().Percent(f.maintenanceKey, 0)
	return share > 0 && f.d.Random()%millionths < uint64(share)
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.over && f.accepts() && f.keep(data) {
		f.attempt.sendData(data, endStream)
		if endStream {
			f.requestComplete()
		}
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

// keep copies a piece of the body for another attempt. When it no longer fits there
// is none; if that was waited for, the request is answered and keep reports false.
func (f *filter) keep(data *buffer.Buffer) bool {
	if !f.retry.possible() {
		return true
	}
	limit := f.cb.DecoderBufferLimit()
	if limit == 0 || f.kept.Len()+data.Len() <= limit {
		f.kept.AppendCopy(data)
		return true
	}
	f.cluster.Stats().RetryOrShadowAbandoned.Inc(f.shard)
	waiting := f.retry.waiting
	f.endRetries()
	if waiting {
		f.fail(retryBufferFull())
		return false
	}
	return true
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if !f.over {
		f.trailers = trailers
		f.attempt.sendTrailers(trailers)
		f.requestComplete()
	}
	return httpfilter.TrailersStop
}

// requestComplete starts the clock for the response.
func (f *filter) requestComplete() {
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

// --- the response -----------------------------------------------------------------

// onInterim passes a 1xx response on. There are no retries after it: the next
// attempt would send it again.
func (f *filter) onInterim(h *httpmsg.Headers, status int) {
	f.countResponse(status, f.attempt.fromCanary())
	f.startResponse()
	f.cb.EncodeInterim(h)
}

// startResponse says that the response goes to the client now.
func (f *filter) startResponse() {
	f.endRetries()
	if f.responseStarted {
		return
	}
	f.responseStarted = true
	for range f.downstreamHigh {
		f.attempt.pause(true)
	}
}

// onHeaders receives the headers of the response.
func (f *filter) onHeaders(status int, endStream bool) {
	if f.retryResponse(status, endStream) {
		return
	}
	u := &f.attempt
	h := &u.response
	if f.complete && !f.cfg.suppressEnvoyHeaders {
		h.Set(httpmsg.XEnvoyUpstreamServiceTime, f.millis(h, f.sinceComplete()))
	}
	f.addAttemptCount(h)
	u.canary = u.fromCanary()
	f.countResponse(status, u.canary)
	u.headersOutcome(status, endStream)
	f.startResponse()
	if endStream {
		f.responseComplete()
	}
	f.cb.StartResponse(h, endStream, "via_upstream")
}

// responseComplete ends the exchange with the upstream. A request that is still
// being sent is of no use any more.
func (f *filter) responseComplete() {
	f.countTime(f.attempt.canary)
	f.attempt.leave(true)
	f.stop()
}

// onReset: the stream of the attempt ended early, or there was none to be had.
func (f *filter) onReset(reason httpmsg.ResetReason, transportFailure string) {
	if f.retryReset(reason) {
		return
	}
	x := upstreamReset(reason, transportFailure, f.attempts > 1, f.responseStarted)
	f.countAbort(x.status)
	f.fail(x)
}

// --- the end ------------------------------------------------------------------------

// stop ends all that goes on for the request: attempt, retries, timers.
func (f *filter) stop() {
	if f.over {
		return
	}
	f.over = true
	f.attempt.reset()
	f.endRetries()
	disarm(f.timers.response)
}

// OnStreamComplete implements httpfilter.StreamCompleter.
func (f *filter) OnStreamComplete() { f.attempt.measure() }

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() { f.stop() }
