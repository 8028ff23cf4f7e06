package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// timers are those of a filter. Each is made when it is first needed, and stays with
// the filter.
type timers struct{ response, retry event.Timer }

// attemptTimers are those of an attempt.
type attemptTimers struct{ perTry, perTryIdle, maxDuration, logFlush event.Timer }

func (t *attemptTimers) disarmPerTry() {
	disarm(t.perTry)
	disarm(t.perTryIdle)
}

func (t *attemptTimers) disarm() {
	t.disarmPerTry()
	disarm(t.maxDuration)
	disarm(t.logFlush)
}

// arm arms the timer at t, which calls do on of. (A method value instead of a method
// expression would be an allocation each time.)
func arm[T any](dispatcher event.Dispatcher, t *event.Timer, of T, do func(T), after time.Duration) {
	if *t == nil {
		*t = dispatcher.NewTimer(func() { do(of) })
	}
	(*t).Enable(after)
}

func disarm(t event.Timer) {
	if t != nil {
		t.Disable()
	}
}

func (f *filter) armResponseTimeout() {
	if f.timeouts.response > 0 {
		arm(f.d, &f.timers.response, f, (*filter).onResponseTimeout, f.timeouts.response)
	}
}

// armPerTry starts the timeouts of the attempt once it has its stream and the
// request is complete.
func (u *upstreamRequest) armPerTry() {
	if u.f.complete && u.phase == open && u.upgrade != websocketUpgrade {
		u.armPerTryNow()
	}
}

func (u *upstreamRequest) armPerTryNow() {
	t := &u.f.timeouts
	if t.perTry > 0 {
		arm(u.f.d, &u.timers.perTry, u, (*upstreamRequest).onPerTryTimeout, t.perTry)
	}
	if t.perTryIdle > 0 {
		arm(u.f.d, &u.timers.perTryIdle, u, (*upstreamRequest).onPerTryIdleTimeout, t.perTryIdle)
	}
}

// touch puts the idle timeout of the attempt off.
func (u *upstreamRequest) touch() {
	if t := u.timers.perTryIdle; t != nil && t.Enabled() {
		t.Enable(u.f.timeouts.perTryIdle)
	}
}

// armMaxDuration starts the clock of the upstream stream: as long as the request
// says, or else the cluster.
func (u *upstreamRequest) armMaxDuration() {
	d := u.f.timeouts.maxDuration
	if !u.f.timeouts.hasMaxDuration {
		d = u.f.cluster.Info().MaxStreamDuration
	}
	if d > 0 {
		arm(u.f.d, &u.timers.maxDuration, u, (*upstreamRequest).onMaxDuration, d)
	}
}

func (u *upstreamRequest) armLogFlush() {
	if d := u.f.cfg.logFlushInterval; d > 0 {
		arm(u.f.d, &u.timers.logFlush, u, (*upstreamRequest).onLogFlush, d)
	}
}

func (u *upstreamRequest) onLogFlush() {
	u.log(format.UpstreamPeriodic)
	u.armLogFlush()
}

// onResponseTimeout: the response is not complete in time. It may be on its way.
func (f *filter) onResponseTimeout() {
	for _, u := range f.pool {
		if !u.pending() {
			continue
		}
		f.cluster.Stats().UpstreamRqTimeout.Inc(f.shard)
		f.named.countTimeout(f.shard)
		u.recordTimeout()
		awaiting := !u.gotHeaders
		f.failed(u, "no whole response within the timeout of "+f.timeouts.response.String(), decision{why: "the time of the request is over"})
		u.reset()
		if awaiting {
			f.countAbort(u, f.timeouts.status)
		}
	}
	f.fail(timedOut(f.timeouts.status, "response_timeout"))
}

// onPerTryTimeout: the attempt has no response in time. One that has begun is
// left alone.
func (u *upstreamRequest) onPerTryTimeout() {
	disarm(u.timers.perTryIdle)
	f := u.f
	if f.responseStarted {
		return
	}
	u.flags |= streaminfo.UpstreamRequestTimeout
	if f.timeouts.hedge {
		f.hedge(u)
		return
	}
	f.cluster.Stats().UpstreamRqPerTryTimeout.Inc(f.shard)
	u.onTimeout("upstream_per_try_timeout", "no response within per_try_timeout of "+f.timeouts.perTry.String())
}

// onPerTryIdleTimeout: nothing was received from the upstream for too long.
func (u *upstreamRequest) onPerTryIdleTimeout() {
	disarm(u.timers.perTry)
	f := u.f
	u.flags |= streaminfo.StreamIdleTimeout
	if f.timeouts.hedge {
		f.hedge(u)
		return
	}
	f.cluster.Stats().UpstreamRqPerTryIdleTimeout.Inc(f.shard)
	u.onTimeout("upstream_per_try_idle_timeout", "nothing received within per_try_idle_timeout of "+f.timeouts.perTryIdle.String())
}

// onTimeout ends an attempt that is late.
func (u *upstreamRequest) onTimeout(details, outcome string) {
	f := u.f
	u.recordTimeout()
	u.reset()
	if f.retryReset(u, httpmsg.ResetLocalReset, outcome, true) {
		return
	}
	f.countAbort(u, f.timeouts.status)
	f.fail(timedOut(f.timeouts.status, details))
}

// onMaxDuration: the upstream stream lives for too long, whatever it does.
func (u *upstreamRequest) onMaxDuration() {
	f := u.f
	f.cluster.Stats().UpstreamRqMaxDurationReached.Inc(f.shard)
	u.reset()
	if f.retryReset(u, httpmsg.ResetLocalReset, "max_stream_duration is reached", false) {
		return
	}
	f.fail(maxStreamDuration(f.complete))
}
