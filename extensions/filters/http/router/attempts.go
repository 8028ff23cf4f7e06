package router

import "github.com/nuncio-proxy/nuncio/api/httpmsg"

// Usually one attempt follows the other. With hedging an attempt that is late stays
// while others are made; the first good answer wins, and the rest are reset.

// newAttempt returns an object for another attempt, beside those that are under way.
func (f *filter) newAttempt() *upstreamRequest {
	for _, u := range f.pool {
		if !u.pending() {
			return u
		}
	}
	u := &upstreamRequest{}
	u.init(f)
	f.pool = append(f.pool, u)
	return u
}

// nextAttempt makes room for another attempt: what the stream info says of a late
// one that is left running goes with it.
func (f *filter) nextAttempt() {
	if u := f.attempt; u.pending() {
		own := f.info.Upstream
		u.up = &own
		f.attempt = f.newAttempt()
	}
	f.attempt.up = &f.info.Upstream
}

// choose makes u the attempt that answers, and ends all others.
func (f *filter) choose(u *upstreamRequest) {
	for _, other := range f.pool {
		if other != u && other.pending() {
			f.failed(other, "another attempt answered first", decision{})
			other.reset()
		}
	}
	if u != f.attempt {
		f.info.Upstream = *u.up
		u.up, f.attempt = &f.info.Upstream, u
	}
}

// answerExpected reports whether a response may still come: from another attempt
// than u, or from one that waits for its back-off.
func (f *filter) answerExpected(u *upstreamRequest) bool {
	if f.retry.waiting {
		return true
	}
	for _, other := range f.pool {
		if other != u && other.pending() && !other.gotHeaders {
			return true
		}
	}
	return false
}

// onInterim passes a 1xx response on. There are no retries after it: the next
// attempt would send it again.
func (f *filter) onInterim(u *upstreamRequest, status int) {
	f.countResponse(status, u.host, u.fromCanary())
	f.startResponse(u)
	f.cb.EncodeInterim(&u.response)
}

// startResponse says that the response of u goes to the client now.
func (f *filter) startResponse(u *upstreamRequest) {
	f.choose(u)
	if f.responseStarted {
		return
	}
	f.responseStarted = true
	f.endRetries()
	for range f.downstreamHigh {
		u.pause(true)
	}
}

// onHeaders receives the headers of a response.
func (f *filter) onHeaders(u *upstreamRequest, endStream bool) {
	d := f.retryResponse(u)
	if d.again || f.redirected(u) {
		return
	}
	if d.refused && f.answerExpected(u) {
		f.failed(u, "response", d)
		u.recordOutcome(u.status)
		u.reset()
		return
	}
	h := &u.response
	if f.complete && !f.cfg.suppressEnvoyHeaders {
		h.Set(httpmsg.XEnvoyUpstreamServiceTime, f.millis(h, f.sinceComplete()))
	}
	f.addAttemptCount(h)
	u.canary = u.fromCanary()
	f.countResponse(u.status, u.host, u.canary)
	u.headersOutcome(u.status, endStream)
	for _, cookie := range f.cookies {
		h.AddID(httpmsg.SetCookie, cookie)
	}
	f.startResponse(u)
	if endStream {
		f.responseComplete(u)
	}
	f.cb.StartResponse(h, endStream, "via_upstream")
}

// responseComplete ends the exchange with the upstream. A request that is still
// being sent is of no use any more.
func (f *filter) responseComplete(u *upstreamRequest) {
	f.countTime(u)
	u.reset()
	f.stop()
}

// onReset: the stream of an attempt ended early, or there was none to be had.
func (f *filter) onReset(u *upstreamRequest, reason httpmsg.ResetReason, outcome, transportFailure string) {
	if f.retryReset(u, reason, outcome, false) {
		return
	}
	x := upstreamReset(reason, transportFailure, f.attempts > 1, f.responseStarted)
	f.countAbort(u, x.status)
	if f.responseStarted || !f.answerExpected(u) {
		f.fail(x)
	}
}
