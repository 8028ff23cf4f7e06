package router

import (
	"slices"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// redirectCount is the filter state that counts the redirects of a request that were
// followed here. It is Envoy's name.
const redirectCount = "num_internal_redirects"

// redirected follows a redirect of the upstream, if the route wants that: the request
// runs through the filters once more, and this filter is destroyed. It reports false
// if the response goes to the client.
func (f *filter) redirected(u *upstreamRequest) bool {
	p := f.forward.Redirect
	if p == nil || !slices.Contains(p.Codes, u.status) {
		return false
	}
	s := f.cluster.Stats() // f is gone afterwards
	shard := f.shard
	if f.complete && !f.bodyLost && u.response.Has(httpmsg.Location) && f.redirect(p, u) {
		s.UpstreamInternalRedirectSucceededTotal.Inc(shard)
		return true
	}
	s.UpstreamInternalRedirectFailedTotal.Inc(shard)
	return false
}

// redirect makes the request that the redirect asks for, and reports whether it took
// the place of this one. If not, the headers are as before.
func (f *filter) redirect(p *route.InternalRedirect, u *upstreamRequest) bool {
	to, ok := parseURL(u.response.Get(httpmsg.Location))
	fromTLS, done := f.fromTLS(), redirects(f.info)
	switch s := f.cfg.stats; {
	case !ok:
		return f.passRedirect(s.redirectBadLocation)
	case !p.AllowCrossScheme && fromTLS != to.tls():
		return f.passRedirect(s.redirectUnsafeScheme)
	case int(done) >= p.MaxRedirects:
		return f.passRedirect(s.redirectTooMany)
	}
	var before httpmsg.Headers
	before.CopyFrom(f.headers)
	f.retarget(p, u, to)
	if !f.acceptsTarget(p, fromTLS, to.tls()) {
		f.headers.CopyFrom(&before)
		return false
	}
	if method := f.headers.Get(httpmsg.Method); u.status == 303 && method != "GET" && method != "HEAD" {
		f.headers.Set(httpmsg.Method, "GET")
		f.headers.Remove(httpmsg.ContentLength)
		if body := f.cb.DecodingBuffer(); body != nil {
			body.Drain(body.Len())
		}
	}
	scheme := "http"
	if fromTLS {
		scheme = "https"
	}
	f.headers.SetName("x-envoy-original-url", requestURL(scheme, &before))
	f.info.SetRequestState(redirectCount, done+1)
	f.info.ResponseDetails = "internal_redirect" // StartResponse says otherwise if that fails
	if f.cb.RecreateStream(&u.response) {
		return true
	}
	f.headers.CopyFrom(&before)
	return false
}

// passRedirect counts why a redirect goes to the client.
func (f *filter) passRedirect(why *stats.Counter) bool {
	why.Inc(f.shard)
	return false
}

// retarget makes the request headers those of a request for another URL.
func (f *filter) retarget(p *route.InternalRedirect, u *upstreamRequest, to target) {
	for _, name := range p.CopyHeaders {
		f.headers.RemoveName(name)
		for _, value := range u.response.Values(nil, name) {
			f.headers.Add(name, value)
		}
	}
	f.headers.Set(httpmsg.Scheme, to.scheme)
	f.headers.Set(httpmsg.Authority, to.host)
	f.headers.Set(httpmsg.Path, to.path)
}

// acceptsTarget looks up the route of the new request, and asks the predicates.
func (f *filter) acceptsTarget(p *route.InternalRedirect, fromTLS, toTLS bool) bool {
	f.cb.ClearRoute()
	to := f.cb.Route()
	if to == nil {
		return f.passRedirect(f.cfg.stats.redirectNoRoute)
	}
	for _, predicate := range p.Predicates {
		if !predicate.Accept(f.info, f.route, to, fromTLS, toTLS) {
			return f.passRedirect(f.cfg.stats.redirectPredicate)
		}
	}
	return true
}

// fromTLS reports whether the request came over TLS. A scheme that another proxy
// passed on says nothing about the connection.
func (f *filter) fromTLS() bool {
	return f.headers.Get(httpmsg.Scheme) == "https" && f.info.Downstream.TransportProtocol == "tls"
}

func redirects(info *streaminfo.Stream) uint32 {
	n, _ := info.FilterState[redirectCount].(uint32)
	return n
}

// A target is an absolute URL.
type target struct{ scheme, host, path string }

func (t target) tls() bool { return t.scheme != "http" }

// parseURL reads an absolute URL of HTTP, without its fragment.
func parseURL(text string) (t target, ok bool) {
	scheme, rest, found := strings.Cut(text, "://")
	t.scheme = strings.ToLower(scheme)
	if !found || t.scheme != "http" && t.scheme != "https" {
		return t, false
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	t.host, t.path = rest[:end], rest[end:]
	if !strings.HasPrefix(t.path, "/") {
		t.path = "/" + t.path
	}
	return t, t.host != "" && !strings.ContainsFunc(rest, unprintable) && !strings.Contains(t.host, "@")
}

// unprintable reports whether a character cannot stand in a URL.
func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }
