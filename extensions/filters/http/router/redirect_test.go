package router

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// redirecting makes the route follow redirects.
func redirecting(p route.InternalRedirect) func(b *bench) {
	return func(b *bench) {
		b.cluster.Immediate = true
		if p.Codes == nil {
			p.Codes = []int{302}
		}
		b.route.Forward.Redirect = &p
	}
}

// predicate is a route.RedirectPredicate that notes what it was asked.
type predicate struct {
	accept         bool
	from, to       *route.Route
	fromTLS, toTLS bool
}

func (p *predicate) Accept(_ *streaminfo.Stream, from, to *route.Route, fromTLS, toTLS bool) bool {
	p.from, p.to, p.fromTLS, p.toTLS = from, to, fromTLS, toTLS
	return p.accept
}

func (b *bench) requestText() string {
	text := ""
	for _, f := range b.stream.Headers().Fields() {
		text += f.Name + ": " + f.Value + "\n"
	}
	return text
}

func TestInternalRedirect(t *testing.T) {
	t.Run("followed", func(t *testing.T) {
		p := &predicate{accept: true}
		b := newBench(t, nil, redirecting(route.InternalRedirect{
			MaxRedirects: 1, Predicates: []route.RedirectPredicate{p}, CopyHeaders: []string{"x-copy", "x-gone"},
		}))
		b.get("x-copy", "old", "x-gone", "1")
		b.last().Respond(false, ":status", "302", "location", "http://other:81/a?b=c#d", "x-copy", "1", "x-copy", "2")
		if b.stream.Recreated != 1 || b.stream.Info.ResponseCode != 302 || b.stream.Info.FilterState[redirectCount] != uint32(1) {
			t.Fatalf("recreated %d times, code %d, %v", b.stream.Recreated, b.stream.Info.ResponseCode, b.stream.Info.FilterState)
		}
		if got := b.stream.Info.ResponseDetails; got != "internal_redirect" {
			t.Errorf("details %q", got)
		}
		if !b.last().WasReset {
			t.Error("the rest of the response is awaited")
		}
		want := ":method: GET\n:path: /a?b=c\n:authority: other:81\n:scheme: http\nx-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\n" +
			"x-copy: 1\nx-copy: 2\nx-envoy-original-url: http://host/\n"
		if got := b.requestText(); got != want {
			t.Errorf("request\n%s\nwant\n%s", got, want)
		}
		if p.from != b.route || p.to != b.route || p.fromTLS || p.toTLS {
			t.Errorf("asked %+v", p)
		}
		b.wantStats("cluster.a.upstream_internal_redirect_succeeded_total=1", "cluster.a.upstream_internal_redirect_failed_total=0",
			"cluster.a.upstream_rq_completed=0")
	})
	t.Run("complete", func(t *testing.T) {
		b := newBench(t, nil, redirecting(route.InternalRedirect{MaxRedirects: 1}))
		b.get()
		b.last().Respond(true, ":status", "302", "location", "https-is-not://other/")
		b.stream.Recycle()
		b.cluster.Forget()
		b.get()
		b.last().Respond(true, ":status", "302", "location", "http://other")
		if b.last().WasReset || b.stream.Headers().Get(httpmsg.Path) != "/" {
			t.Error("a connection that can be used again is lost")
		}
	})
	for _, tc := range []struct {
		method, code, wantMethod, wantBody string
		length                             bool
	}{
		{"POST", "302", "POST", "body", true},
		{"POST", "303", "GET", "", false},
		{"HEAD", "303", "HEAD", "body", true},
	} {
		t.Run(tc.method+tc.code, func(t *testing.T) {
			b := newBench(t, nil, redirecting(route.InternalRedirect{MaxRedirects: 1, Codes: []int{302, 303}}))
			b.stream.Request(false, ":method", tc.method, ":path", "/", ":authority", "h", ":scheme", "http", "content-length", "4")
			b.stream.Body("bo", false)
			b.stream.Body("dy", true)
			if got := b.last().Body.String(); got != "body" {
				t.Errorf("sent %q", got)
			}
			b.last().Respond(true, ":status", tc.code, "location", "http://h/x")
			if b.stream.Recreated != 1 || b.stream.RecreatedBody != tc.wantBody || b.stream.Headers().Get(httpmsg.Method) != tc.wantMethod ||
				b.stream.Headers().Has(httpmsg.ContentLength) != tc.length {
				t.Errorf("recreated %d times with %q:\n%s", b.stream.Recreated, b.stream.RecreatedBody, b.requestText())
			}
		})
	}
}

// TestRedirectPassesThrough: what is not followed, and how that is counted.
func TestRedirectPassesThrough(t *testing.T) {
	const prefix = "http.in.passthrough_internal_redirect_"
	tests := []struct {
		name, location, stat string
		change               func(b *bench)
	}{
		{"relative", "/b", prefix + "bad_location=1", nil},
		{"no host", "http:///b", prefix + "bad_location=1", nil},
		{"another scheme", "ftp://h/b", prefix + "bad_location=1", nil},
		{"user", "http://a@h/b", prefix + "bad_location=1", nil},
		{"space", "http://h/ b", prefix + "bad_location=1", nil},
		{"https", "https://h/b", prefix + "unsafe_scheme=1", nil},
		{"loop", "http://h/b", prefix + "too_many_redirects=1", func(b *bench) {
			b.stream.Info.SetFilterState(redirectCount, uint32(1))
		}},
		{"no route", "http://h/b", prefix + "no_route=1", func(b *bench) {
			b.stream.Table = func(h *httpmsg.Headers) *route.Route {
				if h.Get(httpmsg.Path) == "/b" {
					return nil
				}
				return b.route
			}
		}},
		{"predicate", "http://h/b", prefix + "predicate=1", func(b *bench) {
			b.route.Forward.Redirect.Predicates = []route.RedirectPredicate{&predicate{accept: true}, &predicate{}}
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil, func(b *bench) {
				redirecting(route.InternalRedirect{MaxRedirects: 1})(b)
				if tc.change != nil {
					tc.change(b)
				}
			})
			b.get()
			before := b.requestText()
			b.last().Respond(true, ":status", "302", "location", tc.location)
			b.wantReply("302 [-] via_upstream\nlocation: " + tc.location + "\nx-envoy-upstream-service-time: 0")
			b.wantStats(tc.stat, "cluster.a.upstream_internal_redirect_failed_total=1", "cluster.a.upstream_rq_302=1")
			if got := b.requestText(); got != before || b.stream.Recreated != 0 {
				t.Errorf("the request changed to\n%s", got)
			}
		})
	}
	t.Run("no location", func(t *testing.T) {
		b := newBench(t, nil, redirecting(route.InternalRedirect{MaxRedirects: 1}))
		b.get()
		b.last().Respond(true, ":status", "302")
		b.wantStats("cluster.a.upstream_internal_redirect_failed_total=1", prefix+"bad_location=0")
	})
	t.Run("another status", func(t *testing.T) {
		b := newBench(t, nil, redirecting(route.InternalRedirect{MaxRedirects: 1}))
		b.get()
		b.last().Respond(true, ":status", "301", "location", "http://h/")
		b.wantStats("cluster.a.upstream_internal_redirect_failed_total=0", "cluster.a.upstream_rq_301=1")
	})
	t.Run("request not complete", func(t *testing.T) {
		b := newBench(t, nil, redirecting(route.InternalRedirect{MaxRedirects: 1}))
		b.post()
		b.last().Respond(true, ":status", "302", "location", "http://h/")
		b.wantStats("cluster.a.upstream_internal_redirect_failed_total=1", "cluster.a.upstream_rq_302=1")
	})
	t.Run("body too long", func(t *testing.T) {
		b := newBench(t, nil, func(b *bench) {
			redirecting(route.InternalRedirect{MaxRedirects: 1})(b)
			b.stream.DecodeLimit = 3
		})
		b.post()
		b.stream.Body("1234", true)
		b.last().Respond(true, ":status", "302", "location", "http://h/")
		b.wantStats("cluster.a.retry_or_shadow_abandoned=1", "cluster.a.upstream_internal_redirect_failed_total=1")
	})
}

// TestRedirectAfterRetry: a retry comes first, and its target may redirect.
func TestRedirectAfterRetry(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		redirecting(route.InternalRedirect{MaxRedirects: 1})(b)
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
	})
	b.post()
	b.stream.Body("body", true)
	b.last().Respond(true, ":status", "500")
	b.loop.Advance(1e9)
	if got := b.last().Body.String(); len(b.cluster.Attempts) != 2 || got != "body" {
		t.Fatalf("%d attempts, the last with %q", len(b.cluster.Attempts), got)
	}
	b.last().Respond(true, ":status", "302", "location", "http://h/")
	if b.stream.Recreated != 1 || b.stream.RecreatedBody != "body" {
		t.Errorf("recreated %d times with %q", b.stream.Recreated, b.stream.RecreatedBody)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"http://h/p?q#f", "https://[::1]:8/", "HTTP://h?q", "//h/", "http://", "a b://c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, ok := parseURL(text)
		if !ok {
			return
		}
		again, ok := parseURL(u.scheme + "://" + u.host + u.path)
		if !ok || again != u {
			t.Errorf("%q: %v, then %v", text, u, again)
		}
	})
}
