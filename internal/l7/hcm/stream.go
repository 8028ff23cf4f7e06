package hcm

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
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
)

// A stream is one request and its response. It is recycled with its filters on
// the worker that made it.
type stream struct {
	// Made with the stream and kept when it is recycled.
	cfg              *config
	codecSide        *decoder
	filters          []activeFilter // of the chain that serves the request
	chain            []filterConfig // what filters were built from
	requestHeaders   httpmsg.Headers
	local            httpmsg.Headers // of a response that is made here
	localBody        buffer.Buffer
	idleTimer        event.Timer
	requestTimer     event.Timer // made when first needed, as the next two
	headersTimer     event.Timer
	maxDurationTimer event.Timer
	logTimer         event.Timer

	exchange
}

// exchange is what a stream knows of the request it serves.
type exchange struct {
	m          *manager
	prev, next *stream // in m.streams
	id         uint64
	enc        codec.ResponseEncoder
	info       streaminfo.Stream
	request    filterchain.Path
	response   filterchain.Path
	route      *route.Route
	routeKnown bool
	table      route.Table // that the route was looked up in, nil before
	random     uint64
	entry      format.Entry // see entryFor
	replyBody  string       // of a response that was made here
	// main is where the filters of all requests wait while those of an upgrade serve
	// this one; nil otherwise.
	main []activeFilter

	idleTimeout, flushTimeout time.Duration
	// downstreamHigh counts the high marks of the output without their low ones.
	downstreamHigh int

	headersDone      bool // the request headers are complete
	grpc             bool // the request is gRPC as it came, whatever filters make of it
	responseStarted  bool // headers came from a filter
	headersSent      bool // headers went to the codec
	responseComplete bool
	unsent           bool // it is, but the client has not taken its end
	upgrading        bool // the request may become a tunnel
	upgraded         bool // it is one
	recreated        bool // continues the request of a stream that ended
	continued        bool // another stream continues the request
	repliedHere      bool // the response was made here
	last             bool // the connection ends with this stream
	ended            bool

	idleArmed, requestArmed, durationArmed bool
}

// newStream builds a stream with the filters of the chain.
func newStream(m *manager) *stream {
	s := &stream{cfg: m.cfg, chain: m.cfg.filters}
	s.codecSide = &decoder{s}
	s.m = m // filters look at their worker while they are built
	s.localBody.Init(m.d.Buffers())
	s.filters = s.buildFilters(s.chain)
	s.idleTimer = m.d.NewTimer(s.onIdleTimeout)
	return s
}

func (s *stream) buildFilters(chain []filterConfig) []activeFilter {
	filters := make([]activeFilter, len(chain))
	for i := range filters {
		f := &filters[i]
		f.s, f.index, f.name = s, i, chain[i].name
		f.build(chain[i].build)
	}
	return filters
}

func (f *activeFilter) build(build httpfilter.Builder) {
	f.filter = build(f)
	f.Dec, _ = f.filter.(httpfilter.DecoderFilter)
	f.Enc, _ = f.filter.(httpfilter.EncoderFilter)
}

// begin makes a free stream serve a request of m.
func (s *stream) begin(m *manager, enc codec.ResponseEncoder) {
	s.m, s.enc = m, enc
	s.request.Init(s, false)
	s.response.Init(s, true)
	s.random = m.d.Random()
	s.id = s.random
	s.info.Start = m.d.Now()
	s.info.Downstream = m.conn.Info()
	s.info.Version, s.info.HasVersion = m.codec.Version(), true
	limit := m.conn.BufferLimit()
	s.request.Limit, s.response.Limit = limit, limit
	s.info.MatchUpstreamScheme = s.cfg.matchUpstreamScheme
	s.info.HidesAddresses = s.cfg.hidesAddresses
	m.link(s)
	s.last = m.softDrain
	if n := s.cfg.maxRequestsPerConnection; n > 0 && m.requests >= n {
		m.cfg.stats.cxMaxRequestsReached.Inc(m.shard)
		if m.http2 != nil {
			m.beginDrain("")
		} else {
			s.last = true
		}
	}
	st := m.cfg.stats
	st.rqTotal.Inc(m.shard)
	if m.http2 != nil {
		st.rqHTTP2Total.Inc(m.shard)
	} else {
		st.rqHTTP1Total.Inc(m.shard)
	}
	st.rqActive.Inc(m.shard)
	s.armTimers()
}

// reset makes an ended stream free, and reports false if it cannot be used again.
func (s *stream) reset() bool {
	if s.main != nil { // which served nobody
		s.filters, s.chain = s.main, s.cfg.filters
	}
	for i := range s.filters {
		f := &s.filters[i]
		r, ok := f.filter.(httpfilter.Resetter)
		if !ok {
			return false
		}
		r.Reset()
		f.Filter.Reset()
		f.watermark = nil
	}
	s.requestHeaders.Reset()
	s.local.Reset()
	s.localBody.Drain(s.localBody.Len())
	s.exchange = exchange{}
	return true
}

// --- the route --------------------------------------------------------------------

func (s *stream) resolveRoute() *route.Route {
	if !s.routeKnown && s.request.Headers != nil {
		s.routeKnown = true
		s.matchRoute()
		s.describeRoute()
	}
	return s.route
}

// describeRoute says in the stream's description where the request goes.
func (s *stream) describeRoute() {
	var v *route.VirtualHost
	var to upstream.Cluster
	switch r := s.route; {
	case r != nil:
		s.info.RouteName, s.info.RouteMetadata, v = r.Name, r.Metadata, r.VirtualHost
		if r.Forward != nil {
			to = s.cfg.clusters.Get(r.Forward.ClusterName(s.request.Headers, &s.info, s.random))
		}
	case s.table != nil:
		v = s.table.VirtualHost(s.request.Headers)
	}
	if v != nil {
		s.info.VirtualHostName, s.info.VirtualHostMetadata = v.Name, v.Metadata
	}
	u := &s.info.Upstream
	u.Cluster, u.ClusterRaw, u.ClusterMetadata = "", "", nil
	if to != nil {
		i := to.Info()
		u.Cluster, u.ClusterRaw, u.ClusterMetadata = i.ObservabilityName, i.Name, i.Metadata
	}
}

// matchRoute looks the route up.
func (s *stream) matchRoute() {
	var since time.Time
	timed := s.cfg.resolution != nil || s.cfg.timesRoutes()
	if timed {
		since = s.cfg.clock()
	}
	s.info.RouteResolutions++
	if s.table = s.cfg.table(s.request.Headers); s.table != nil {
		s.route = s.table.Match(s.request.Headers, &s.info, s.random)
	}
	if timed {
		s.info.RouteResolutionTime += s.cfg.clock().Sub(since)
	}
}

// setUpFilters applies what the route says about filters and timeouts.
func (s *stream) setUpFilters() {
	r := s.resolveRoute()
	for i := range s.filters {
		s.filters[i].Off = s.chain[i].disabled
	}
	if r == nil {
		return
	}
	for i := range s.filters {
		s.filters[i].Off = filterchain.Off(r, s.filters[i].name, s.filters[i].Off)
	}
	if f := r.Forward; f != nil {
		if f.HasIdleTimeout {
			s.setIdleTimeout(f.IdleTimeout)
			s.flushTimeout = f.IdleTimeout
		}
		if f.HasFlushTimeout {
			s.flushTimeout = f.FlushTimeout
		}
		if d, ok := f.StreamDuration(s.request.Headers); ok {
			s.armMaxDuration(d)
		}
		if n := f.MaxRequestBuffer; n > 0 && (!f.LowersRequestBuffer || s.request.Limit == 0 || n < s.request.Limit) {
			s.request.Limit = n
		}
	}
}

func (s *stream) mirror(i int) int { return len(s.filters) - 1 - i }

// --- the end ------------------------------------------------------------------------

// connectionClosed ends the stream with its connection.
func (s *stream) connectionClosed(flag streaminfo.Flags, details string) {
	s.info.Flags |= flag
	s.info.ResponseDetails = details
	s.finish()
}

// resetStream ends the stream before its response is complete. In HTTP/1 the
// connection ends with it.
func (s *stream) resetStream(reason httpmsg.ResetReason, details string) {
	if s.ended {
		return
	}
	s.m.cfg.stats.rqTxReset.Inc(s.m.shard)
	if details != "" {
		s.info.ResponseDetails = details
	}
	s.enc.Reset(reason)
	m := s.m
	if m.http2 == nil {
		m.drain = closing
	}
	m.flush()
	s.finish()
	m.closeIfDone()
}

// BodyTooLarge implements filterchain.Owner: it answers.
func (s *stream) BodyTooLarge(p *filterchain.Path) {
	if !p.Response {
		s.m.cfg.stats.rqTooLarge.Inc(s.m.shard)
		s.sendLocalReply(filterchain.RequestTooLarge())
		return
	}
	s.m.cfg.stats.rsTooLarge.Inc(s.m.shard)
	if s.headersSent {
		s.resetStream(httpmsg.ResetLocalReset, "response_payload_too_large")
		return
	}
	s.sendLocalReply(httpfilter.LocalReply{Status: 500, Body: "Internal Server Error", Details: "response_payload_too_large"})
}

// responseSent is called when the last byte of the response went to the codec.
func (s *stream) responseSent() {
	s.responseComplete = true
	s.info.LastTxByte = s.m.d.Now()
	m := s.m
	if !s.request.Complete && !s.ended && m.http2 == nil {
		// The rest of the request would be read for nothing. HTTP/2 refuses it by itself.
		s.enc.Reset(httpmsg.ResetLocalReset)
		m.drain = closing
	}
	if x, ok := s.enc.(h2.Stream); ok && !x.Sent() && !s.ended {
		s.awaitFlush()
		return
	}
	s.finish()
}

// finish ends the stream: filters, access log, statistics. The object is recycled
// at the end of the turn, when nobody is inside it any more.
func (s *stream) finish() {
	if s.ended {
		return
	}
	s.ended = true
	m := s.m
	now := m.d.Now()
	s.info.End = now
	s.disarmTimers()
	s.request.Kill()
	s.response.Kill()
	for i := range s.filters {
		if c, ok := s.filters[i].filter.(httpfilter.StreamCompleter); ok {
			c.OnStreamComplete()
		}
	}
	s.log(format.DownstreamEnd)
	for i := range s.filters {
		s.filters[i].filter.OnDestroy()
	}
	st := m.cfg.stats
	st.rqActive.Dec(m.shard)
	switch {
	case s.continued:
	case !s.request.Complete || !s.responseComplete || s.unsent:
		st.rqRxReset.Inc(m.shard)
	}
	if s.info.HealthCheck {
		st.tracingHealthCheck.Inc(m.shard)
	}
	m.expected = s.last && s.request.Complete
	if s.upgrading {
		st.cxUpgradesActive.Dec(m.shard)
	}
	if r := s.cfg.resolution; r != nil {
		r.record(m.shard, s.info.RouteResolutionTime, s.info.RouteResolutions)
	}
	st.rqTime.Record(m.shard, uint64(now.Sub(s.info.Start).Milliseconds()))
	m.unlink(s)
	if m.http2 != nil {
		m.http2.streamEnds(s)
	}
	if len(m.w.ended) == 0 {
		m.d.Defer(m.w.recycle)
	}
	m.w.ended = append(m.w.ended, s)
	m.streamEnded()
}
