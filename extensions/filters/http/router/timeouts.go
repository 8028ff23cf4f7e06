package router

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// timeouts are those of one request; 0 stands for none.
type timeouts struct {
	response, perTry, perTryIdle time.Duration
	// maxDuration is that of the upstream stream, if hasMaxDuration is set; otherwise
	// the cluster's counts.
	maxDuration    time.Duration
	hasMaxDuration bool
	// hedge leaves an attempt running whose time is over, beside another one.
	hedge bool
	// grpc asks for the timeout in grpc-timeout.
	grpc   bool
	status int // of the answer to a timeout
}

// readTimeouts decides the timeouts by route and request headers, and removes
// those headers.
func (f *filter) readTimeouts() {
	h, t := f.headers, timeouts{status: 504, hedge: f.hedges()}
	switch g := &f.forward.GRPC; {
	case f.forward.HasMaxStreamDuration || g.Stream:
		// A route with a maximal stream duration has that instead.
		f.limitGRPCTimeout()
	case f.grpc && g.Response:
		t.grpc, t.response = true, grpcTimeout(h.Get(httpmsg.GRPCTimeout), g)
	default:
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
	t.hasMaxDuration = setMillis(&t.maxDuration, h.Get(httpmsg.XEnvoyUpstreamStreamDurationMs))
	h.Remove(httpmsg.XEnvoyUpstreamStreamDurationMs)
	if h.Remove(httpmsg.XEnvoyUpstreamRQTimeoutAltResponse) {
		t.status = 204
	}
	f.timeouts = t
}

// limitGRPCTimeout tells the upstream what a route leaves of grpc-timeout.
func (f *filter) limitGRPCTimeout() {
	if !f.grpc || !f.forward.GRPC.Stream || !f.headers.Has(httpmsg.GRPCTimeout) {
		return
	}
	if _, ok := httpmsg.ParseGRPCTimeout(f.headers.Get(httpmsg.GRPCTimeout)); ok {
		d, _ := f.forward.StreamDuration(f.headers)
		f.headers.Set(httpmsg.GRPCTimeout, f.headers.String(httpmsg.AppendGRPCTimeout(f.digits[:0], d)))
	}
}

// hedges reports whether attempts that are late stay, and removes the header that
// says so.
func (f *filter) hedges() bool {
	hedge := f.forward.HedgeOnPerTryTimeout
	switch f.headers.Get(httpmsg.XEnvoyHedgeOnPerTryTimeout) {
	case "true":
		hedge = true
	case "false":
		hedge = false
	}
	f.headers.Remove(httpmsg.XEnvoyHedgeOnPerTryTimeout)
	return hedge
}

// setMillis sets d to the milliseconds in text, if it is a number.
func setMillis(d *time.Duration, text string) bool {
	n, ok := parseUint(text)
	if ok {
		*d = time.Duration(min(n, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
	}
	return ok
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
	if expected == 0 || t.hedge {
		expected = t.response
	}
	if expected == 0 {
		return
	}
	if t.response > 0 {
		// Zero would mean no timeout at all.
		expected = min(expected, max(t.response-f.sinceComplete(), time.Millisecond))
	}
	if !f.cfg.suppressEnvoyHeaders {
		f.headers.Set(httpmsg.XEnvoyExpectedRQTimeoutMs, f.millis(f.headers, expected))
	}
	if t.grpc {
		f.headers.Set(httpmsg.GRPCTimeout, f.headers.String(httpmsg.AppendGRPCTimeout(f.digits[:0], expected)))
	}
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
