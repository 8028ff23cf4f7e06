package router

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// timers are the timers of a filter. Each is made when it is first needed, and
// stays with the filter.
type timers struct {
	response, perTry, perTryIdle, maxDuration, retry event.Timer
}

// arm arms the timer at t, which calls do. (A method value instead of a method
// expression would be an allocation each time.)
func (f *filter) arm(t *event.Timer, do func(*filter), d time.Duration) {
	if *t == nil {
		*t = f.d.NewTimer(func() { do(f) })
	}
	(*t).Enable(d)
}

func disarm(t event.Timer) {
	if t != nil {
		t.Disable()
	}
}

// timeouts are those of one request; 0 stands for none.
type timeouts struct {
	response, perTry, perTryIdle time.Duration
	maxDuration                  time.Duration // of the upstream stream
	status                       int           // of the answer to a timeout
}

// readTimeouts decides the timeouts by route and request headers, and removes
// those headers.
func (f *filter) readTimeouts() {
	h, t := f.headers, timeouts{status: 504}
	if !f.forward.HasMaxStreamDuration {
		// A route with a maximal stream duration has that instead.
		t.response = f.forward.Timeout
	}
	if p := f.forward.Retry; p != nil {
		t.perTry, t.perTryIdle = p.PerTryTimeout, p.PerTryIdleTimeout
	}
	if f.cfg.respectExpectedTimeout && h.Has(httpmsg.XEnvoyExpectedRQTimeoutMs) {
		setMillis(&t.response, h.Get(httpmsg.XEnvoyExpectedRQTimeoutMs))
	} else if h.Has(httpmsg.XEnvoyUpstreamRQTimeoutMs) {
		setMillis(&t.response, h.Get(httpmsg.XEnvoyUpstreamRQTimeoutMs))
		h.Remove(httpmsg.XEnvoyUpstreamRQTimeoutMs)
	}
	setMillis(&t.perTry, h.Get(httpmsg.XEnvoyUpstreamRQPerTryTimeoutMs))
	h.Remove(httpmsg.XEnvoyUpstreamRQPerTryTimeoutMs)
	if t.perTry >= t.response && t.response != 0 {
		t.perTry = 0
	}
	setMillis(&t.maxDuration, h.Get(httpmsg.XEnvoyUpstreamStreamDurationMs))
	h.Remove(httpmsg.XEnvoyUpstreamStreamDurationMs)
	if h.Remove(httpmsg.XEnvoyUpstreamRQTimeoutAltResponse) {
		t.status = 204
	}
	f.timeouts = t
}

// setMillis sets d to the milliseconds in text, if it is a number.
func setMillis(d *time.Duration, text string) {
	n, ok := parseUint(text)
	if !ok {
		return
	}
	*d = time.Duration(min(n, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// parseUint reads a number as Envoy does: space around it is allowed.
func parseUint(text string) (n uint64, ok bool) {
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// setExpectedTimeout tells the upstream how long the router will wait, from now.
func (f *filter) setExpectedTimeout() {
	t := &f.timeouts
	expected := t.perTry
	if expected == 0 {
		expected = t.response
	}
	if expected == 0 || f.cfg.suppressEnvoyHeaders {
		return
	}
	if t.response > 0 {
		// Zero would mean no timeout at all.
		expected = min(expected, max(t.response-f.sinceComplete(), time.Millisecond))
	}
	f.headers.Set(httpmsg.XEnvoyExpectedRQTimeoutMs, f.millis(f.headers, expected))
}

// millis returns d in milliseconds as text, in the memory of h if it has room.
func (f *filter) millis(h *httpmsg.Headers, d time.Duration) string {
	return h.String(strconv.AppendInt(f.digits[:0], d.Milliseconds(), 10))
}

// sinceComplete is the time since the request is complete, 0 if it is not.
func (f *filter) sinceComplete() time.Duration {
	if !f.complete {
		return 0
	}
	return f.d.Now().Sub(f.completeAt)
}

func (f *filter) armResponseTimeout() {
	if f.timeouts.response > 0 {
		f.arm(&f.timers.response, (*filter).onResponseTimeout, f.timeouts.response)
	}
}

// onResponseTimeout: the response is not complete in time. It may be on its way.
func (f *filter) onResponseTimeout() {
	if u := &f.attempt; u.pending() {
		f.cluster.Stats().UpstreamRqTimeout.Inc(f.shard)
		u.recordTimeout()
		awaiting := !u.gotHeaders
		u.reset()
		if awaiting {
			f.countAbort(f.timeouts.status)
		}
	}
	f.fail(timedOut(f.timeouts.status, "response_timeout"))
}

// onPerTryTimeout: the attempt has no response in time. One that has begun is
// left alone.
func (f *filter) onPerTryTimeout() {
	disarm(f.timers.perTryIdle)
	if f.responseStarted {
		return
	}
	f.cluster.Stats().UpstreamRqPerTryTimeout.Inc(f.shard)
	f.onAttemptTimeout(streaminfo.UpstreamRequestTimeout, "upstream_per_try_timeout")
}

// onPerTryIdleTimeout: nothing was received from the upstream for too long.
func (f *filter) onPerTryIdleTimeout() {
	disarm(f.timers.perTry)
	f.cluster.Stats().UpstreamRqPerTryIdleTimeout.Inc(f.shard)
	f.onAttemptTimeout(streaminfo.StreamIdleTimeout, "upstream_per_try_idle_timeout")
}

// onAttemptTimeout ends an attempt that is late; flag is the attempt's own.
func (f *filter) onAttemptTimeout(flag streaminfo.Flags, details string) {
	u := &f.attempt
	u.flags = flag
	u.recordTimeout()
	u.reset()
	if f.retryReset(httpmsg.ResetLocalReset) {
		return
	}
	f.countAbort(f.timeouts.status)
	f.fail(timedOut(f.timeouts.status, details))
}

// onMaxDuration: the upstream stream lives for too long, whatever it does.
func (f *filter) onMaxDuration() {
	f.cluster.Stats().UpstreamRqMaxDurationReached.Inc(f.shard)
	f.attempt.reset()
	if f.retryReset(httpmsg.ResetLocalReset) {
		return
	}
	f.fail(maxStreamDuration(f.complete))
}
