package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// An upstreamRequest is one attempt to send the request to a host and to receive
// its response. Attempts that follow each other share one object.
type upstreamRequest struct {
	// Set when the object is made, and kept when it is recycled.
	f             *filter
	onHigh, onLow func()
	timers        attemptTimers
	// body waits for the stream, or for the answer to an upgrade.
	body     buffer.Buffer
	response httpmsg.Headers
	logged   streaminfo.Stream // for upstream logs
	// up is the stream info of the attempt: the stream's, but for an attempt that runs
	// beside the last one.
	up *streaminfo.Upstream
	// attempted is what the access log shows as the hosts attempted. As in Envoy that
	// is the one of the last attempt; earlier ones have upstream logs.
	attempted struct {
		host [1]address.Address
		name [1]string
		id   [1]uint64
	}

	attempt
}

// attempt is what an upstreamRequest knows of the current attempt.
type attempt struct {
	phase  phase
	cancel upstream.Cancel            // while waiting, if that can be cancelled
	stream upstream.RequestStream     // while open
	chain  httpfilter.UpstreamChain   // nil if no filters stand between router and host
	conn   *upstream.StreamConnection // of the stream
	host   upstream.Host              // nil until one was picked
	reused bool                       // the connection served others before

	// What the router gave to be sent: headers only, the last of the body, trailers.
	headersOnly, bodyEnds bool
	trailers              *httpmsg.Headers
	upgrade               upgrade // noUpgrade once it is accepted
	sentHeaders, sentAll  bool
	// filtered is set when chain got the headers before there was a stream, passedAll when
	// it got the whole request so.
	filtered, passedAll bool

	gotInterim, gotHeaders, gotAll bool
	canary                         bool
	// retried is set when the attempt is late and another one takes its place.
	retried bool
	// outcomeOpen is set while a gRPC response has not said yet how it went.
	outcomeOpen bool
	// highs counts the high marks of the upstream without their low ones.
	highs int

	// before are the bytes of earlier attempts.
	before streaminfo.Meter
	// For upstream logs.
	started        time.Time
	status         int
	flags          streaminfo.Flags
	sent, received uint64 // bytes of the bodies
}

// A phase says how far an attempt is.
type phase uint8

const (
	idle    phase = iota // no attempt
	waiting              // for a stream
	open                 // has a stream
)

func (u *upstreamRequest) init(f *filter) {
	u.f = f
	u.onHigh, u.onLow = u.OnWriteBufferHigh, u.OnWriteBufferLow
	u.body.Init(f.d.Buffers())
}

// forget makes the object ready for another request.
func (u *upstreamRequest) forget() {
	u.response.Reset()
	u.up, u.attempt = nil, attempt{}
}

// pending reports whether the attempt is under way.
func (u *upstreamRequest) pending() bool { return u.phase != idle }

// start begins the first attempt. headersOnly says that the request has no body.
func (u *upstreamRequest) start(headersOnly bool) {
	u.body.SetWatermarks(u.f.cb.DecoderBufferLimit(), u.onHigh, u.onLow)
	u.begin(headersOnly)
}

// repeat begins another attempt, with all that was received of the request.
func (u *upstreamRequest) repeat() {
	f := u.f
	kept := f.cb.DecodingBuffer()
	noBody := kept == nil || kept.Len() == 0
	headersOnly := f.complete && noBody && f.trailers == nil
	u.attempt = attempt{
		bodyEnds: f.complete && !noBody && f.trailers == nil, trailers: f.trailers,
	}
	u.body.SetWatermarks(f.cb.DecoderBufferLimit(), u.onHigh, u.onLow)
	if !noBody {
		u.body.AppendCopy(kept)
	}
	u.begin(headersOnly)
}

func (u *upstreamRequest) begin(headersOnly bool) {
	f := u.f
	u.phase, u.headersOnly, u.started = waiting, headersOnly, f.d.Now()
	u.upgrade = requestedUpgrade(f.headers, headersOnly)
	if u.upgrade == websocketUpgrade {
		// Its body does not end before the tunnel does.
		if f.attempts == 1 {
			f.armResponseTimeout()
		}
		u.armPerTryNow()
	}
	u.armLogFlush()
	handler := u.newChain()
	var cancel upstream.Cancel
	if f.connect {
		cancel = f.cluster.NewConnection(f.d, &f.pick, &tcpCallbacks{u, handler})
	} else {
		cancel = f.cluster.NewStream(f.d, &f.pick, handler, u)
	}
	if u.phase == waiting {
		u.cancel = cancel
		u.describeHost(f.pick.Host)
		u.filterEarly()
	}
}

// OnStreamReady implements upstream.StreamPoolCallbacks.
func (u *upstreamRequest) OnStreamReady(s upstream.RequestStream, host upstream.Host) {
	f := u.f
	f.meter(u)
	u.phase, u.cancel, u.stream, u.host, u.conn = open, nil, s, host, s.Connection()
	u.reused = u.conn.Reused
	f.triedHosts = append(f.triedHosts, host)
	f.named.countRequest(f.shard)
	u.describeStream()
	u.armMaxDuration()
	u.armPerTry()
	if f.forward.AutoHostRewrite && host.Hostname() != "" {
		f.rewriteHost(host.Hostname())
	}
	u.matchScheme()
	if f.cfg.logPoolReady {
		u.log(format.UpstreamPoolReady)
	}
	u.sendHeaders()
}

// OnStreamFailure implements upstream.StreamPoolCallbacks.
func (u *upstreamRequest) OnStreamFailure(p upstream.PoolFailure, reason string, host upstream.Host) {
	f := u.f
	if p == upstream.NoHealthyHost {
		u.phase, u.cancel = idle, nil
		f.failed(u, "no healthy host", decision{why: "a retry would find none either"})
		u.clear() // it was no attempt for upstream logs
		f.countResponse(503, nil, false)
		f.fail(noHealthyUpstream())
		return
	}
	if p == upstream.Overflow {
		// The reason names a limit: no transport failed.
		outcome := "circuit breaker " + reason + " of priority " + f.forward.Priority.String() + " is open"
		f.cfg.log.Debugf("cluster %s: %s", f.cluster.Name(), outcome)
		u.endUnmade(p, "", host)
		f.onReset(u, p.ResetReason(), outcome, "")
		return
	}
	u.endUnmade(p, reason, host)
	f.onReset(u, p.ResetReason(), p.ResetReason().String(), reason)
}

// endUnmade ends an attempt that got no stream.
func (u *upstreamRequest) endUnmade(p upstream.PoolFailure, reason string, host upstream.Host) {
	u.cancel, u.host, u.flags, u.up.FailureReason = nil, host, resetFlags[p.ResetReason()], reason
	u.up.PoolReady = u.f.d.Now() // as in Envoy: the pool has answered
	if host != nil {
		u.f.triedHosts = append(u.f.triedHosts, host)
	}
	u.describeHost(host)
	u.detach()
}

// --- the request --------------------------------------------------------------------

func (u *upstreamRequest) sendHeaders() {
	f := u.f
	if u.chain != nil {
		s := u.stream
		u.stream = u.chain
		u.chain.Ready(s)
	}
	if u.filtered { // they are in the filters
		u.sentHeaders = true
		u.up.FirstTxByte = f.d.Now()
		if u.passedAll {
			u.requestSent()
		}
		return
	}
	if err := u.stream.EncodeHeaders(f.headers, u.headersOnly); err != nil {
		f.failed(u, "the request cannot be sent: "+err.Error(), decision{why: "no host could get it"})
		u.reset()
		f.fail(unsendable(err))
		return
	}
	if u.phase != open {
		return
	}
	u.sentHeaders = true
	u.up.FirstTxByte = f.d.Now()
	u.sendHeldMetadata()
	if u.headersOnly {
		u.requestSent()
	} else if u.upgrade == noUpgrade {
		u.sendRest()
	}
}

// holds reports whether the body has to wait.
func (u *upstreamRequest) holds() bool {
	return u.phase == waiting && !u.filtered || u.upgrade != noUpgrade
}

// sendRest sends what waited for the stream.
func (u *upstreamRequest) sendRest() {
	if u.body.Len() > 0 || u.bodyEnds {
		u.encodeData(&u.body, u.bodyEnds)
	}
	if u.trailers != nil && u.phase != idle {
		u.stream.EncodeTrailers(u.trailers)
		u.requestSent()
	}
}

// sendData sends a piece of the body, now or later, and empties data.
func (u *upstreamRequest) sendData(data *buffer.Buffer, end bool) {
	switch {
	case u.phase == idle:
		// A retry is waited for: the piece is among what it sends.
	case u.holds():
		u.bodyEnds = end
		u.body.Move(data)
	default:
		u.encodeData(data, end)
	}
}

func (u *upstreamRequest) encodeData(data *buffer.Buffer, end bool) {
	u.sent += uint64(data.Len())
	u.stream.EncodeData(data, end)
	if end {
		u.requestSent()
	}
}

// sendTrailers ends the request, now or later.
func (u *upstreamRequest) sendTrailers(trailers *httpmsg.Headers) {
	switch {
	case u.phase == idle:
	case u.holds():
		u.trailers = trailers
	default:
		u.stream.EncodeTrailers(trailers)
		u.requestSent()
	}
}

func (u *upstreamRequest) requestSent() {
	switch u.phase {
	case open:
		u.sentAll = true
		u.up.LastTxByte = u.f.d.Now()
	case waiting:
		u.passedAll = true
	default:
	}
}

// OnWriteBufferHigh implements upstream.ResponseHandler. It is also called when
// too much of the body waits.
func (u *upstreamRequest) OnWriteBufferHigh() {
	u.highs++
	u.f.cluster.Stats().UpstreamFlowControlBackedUpTotal.Inc(u.f.shard)
	u.f.cb.RequestHigh()
}

// OnWriteBufferLow implements upstream.ResponseHandler.
func (u *upstreamRequest) OnWriteBufferLow() {
	if u.highs == 0 {
		return
	}
	u.highs--
	u.f.cluster.Stats().UpstreamFlowControlDrainedTotal.Inc(u.f.shard)
	u.f.cb.RequestLow()
}

// --- the end ------------------------------------------------------------------------

// reset ends the attempt, whatever it waits for. The connection of a complete
// exchange can be used again.
func (u *upstreamRequest) reset() {
	stream, cancel, complete := u.stream, u.cancel, u.sentAll && u.gotAll
	u.detach()
	switch {
	case complete:
	case cancel != nil:
		cancel.Cancel()
	case stream != nil:
		stream.Reset(httpmsg.ResetLocalReset)
	}
}

// detach ends the attempt on this side. What outlives it, as its host and its
// response headers, stays until the next one begins.
func (u *upstreamRequest) detach() {
	if u.phase == idle {
		return
	}
	u.measure()
	u.phase, u.cancel, u.stream = idle, nil, nil
	u.log(format.UpstreamEnd)
	u.clear()
}

// clear ends what goes on for the attempt.
func (u *upstreamRequest) clear() {
	u.timers.disarm()
	u.endChain()
	u.conn = nil
	u.body.Drain(u.body.Len())
	for u.highs > 0 {
		u.OnWriteBufferLow()
	}
}

// measure takes over the byte counts of the connection.
func (u *upstreamRequest) measure() {
	if u.conn == nil {
		return
	}
	b := u.before
	b.Add(&u.conn.Meter)
	u.up.Bytes = b
	if u.f.metered == u {
		u.f.wireBytes = b
	}
}

// log writes the upstream logs, which show the attempt as a stream of its own.
func (u *upstreamRequest) log(t format.EntryType) {
	f := u.f
	if len(f.cfg.upstreamLogs) == 0 {
		return
	}
	now := f.d.Now()
	u.logged = *f.info
	u.logged.Start, u.logged.BytesSent, u.logged.BytesReceived = u.started, u.sent, u.received
	u.logged.ResponseCode, u.logged.ResponseDetails, u.logged.Flags = u.status, "", u.flags
	u.logged.Upstream, u.logged.AttemptCount = *u.up, 0
	e := format.Entry{Request: f.headers, Stream: &u.logged, Type: t, Now: now, Shard: f.shard, Random: f.cb.StreamID()}
	if u.gotHeaders {
		e.Response = &u.response
	}
	if t == format.UpstreamEnd {
		u.logged.End = now
	}
	for _, l := range f.cfg.upstreamLogs {
		l.Log(&e)
	}
}
