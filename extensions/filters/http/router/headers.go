package router

import (
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// checkedHeaders are the headers that strict_check_headers may name.
var checkedHeaders = []httpmsg.ID{
	httpmsg.XEnvoyUpstreamRQTimeoutMs, httpmsg.XEnvoyUpstreamRQPerTryTimeoutMs, httpmsg.XEnvoyMaxRetries,
	httpmsg.XEnvoyRetryOn, httpmsg.XEnvoyRetryGRPCOn,
}

// invalidControlHeader returns the first of the headers to be checked whose value
// is wrong.
func (f *filter) invalidControlHeader() (id httpmsg.ID, found bool) {
	for _, id := range f.cfg.strictHeaders {
		if f.headers.Has(id) && !validControlHeader(id, f.headers.Get(id)) {
			return id, true
		}
	}
	return 0, false
}

func validControlHeader(id httpmsg.ID, value string) (ok bool) {
	switch id {
	case httpmsg.XEnvoyRetryOn:
		_, ok = parseRetryOn(value, ^route.RetryGRPC)
	case httpmsg.XEnvoyRetryGRPCOn:
		_, ok = parseRetryOn(value, route.RetryGRPC)
	default:
		_, ok = parseUint(value)
	}
	return ok
}

// finishRequestHeaders makes the request headers what the upstream gets.
func (f *filter) finishRequestHeaders() {
	h := f.headers
	f.readTimeouts()
	f.setExpectedTimeout()
	if f.route.VirtualHost != nil && f.route.VirtualHost.IncludeAttemptCount {
		f.setRequestAttemptCount()
	}
	f.entry = format.Entry{Request: h, Stream: f.info, Now: f.d.Now(), Shard: f.shard, Random: f.cb.StreamID()}
	f.forward.Request.RewriteRequest(h, &f.entry, !f.cfg.suppressEnvoyHeaders)
	switch {
	case f.info.MatchUpstreamScheme:
		h.Set(httpmsg.Scheme, "http") // until there is a connection
	case !h.Has(httpmsg.Scheme):
		scheme := h.Get(httpmsg.XForwardedProto)
		if scheme != "https" {
			scheme = "http"
		}
		h.AddID(httpmsg.Scheme, scheme)
	}
	f.retry.begin(f)
}

// matchScheme makes the scheme say what the attempt's connection is, if it is to.
func (u *upstreamRequest) matchScheme() {
	if u.f.info.MatchUpstreamScheme {
		scheme := "http"
		if u.conn.TLS != nil {
			scheme = "https"
		}
		u.f.headers.Set(httpmsg.Scheme, scheme)
	}
}

// refreshRequestHeaders brings the headers up to date for another attempt.
func (f *filter) refreshRequestHeaders() {
	if f.route.VirtualHost != nil && f.route.VirtualHost.IncludeAttemptCount {
		f.setRequestAttemptCount()
	}
	if f.route.VirtualHost != nil && f.route.VirtualHost.IncludeIsTimeoutRetry {
		f.headers.Set(httpmsg.XEnvoyIsTimeoutRetry, strconv.FormatBool(f.retry.late))
	}
	f.setExpectedTimeout()
}

func (f *filter) setRequestAttemptCount() {
	f.headers.Set(httpmsg.XEnvoyAttemptCount, strconv.Itoa(f.attempts))
}

// addAttemptCount tells the client how often the request was sent, if the route
// asks for that and it was.
func (f *filter) addAttemptCount(h *httpmsg.Headers) {
	if f.attempts > 0 && f.route.VirtualHost != nil && f.route.VirtualHost.IncludeAttemptCountInResponse {
		h.Set(httpmsg.XEnvoyAttemptCount, strconv.Itoa(f.attempts))
	}
}

// rewriteHost makes the name of the chosen host the request's host.
func (f *filter) rewriteHost(name string) {
	keepOriginal := f.attempts == 1 && !f.cfg.suppressEnvoyHeaders
	route.SetAuthority(f.headers, name, keepOriginal, f.forward.AppendXForwardedHost)
}

// An upgrade is a request that asks for a tunnel. Its body belongs to the new
// protocol and waits until the upstream has agreed.
type upgrade uint8

const (
	noUpgrade upgrade = iota
	connectUpgrade
	websocketUpgrade
	otherUpgrade
)

// requestedUpgrade returns what the request asks for.
func requestedUpgrade(h *httpmsg.Headers, endStream bool) upgrade {
	if h.Get(httpmsg.Method) == "CONNECT" {
		return connectUpgrade
	}
	if !h.Has(httpmsg.Upgrade) || !httpmsg.HasToken(h.Get(httpmsg.Connection), "upgrade") {
		return noUpgrade
	}
	if strings.EqualFold(h.Get(httpmsg.Upgrade), "websocket") {
		return websocketUpgrade
	}
	if endStream {
		return noUpgrade
	}
	return otherUpgrade
}

// accepts reports whether a response with that status opens the tunnel.
func (u upgrade) accepts(status int) bool {
	if u == connectUpgrade {
		return status/100 == 2
	}
	return status == 101
}

// passedOn reports whether a 1xx response goes on to the client.
func passedOn(status int) bool { return status == 100 || status >= 102 && status <= 104 }
