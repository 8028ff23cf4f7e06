package router

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// cookieHash is a route.HashPolicy that makes a cookie.
type cookieHash struct{ calls int }

func (p *cookieHash) HashRequest(h *httpmsg.Headers, _ *streaminfo.Stream, set func(route.Cookie)) (uint64, bool) {
	if p.calls++; h.Has(httpmsg.XEnvoyOriginalPath) {
		panic("the request was rewritten before")
	}
	set(route.Cookie{Name: "c", Value: "v"})
	return 42, true
}

func TestHash(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		p := &cookieHash{}
		b := newBench(t, nil, func(b *bench) {
			b.cluster.Immediate = true
			b.cluster.Info().PicksByHash = wanted
			b.route.Forward.Hash = p
			retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		})
		b.get()
		b.last().Respond(true, ":status", "500")
		b.loop.Advance(25 * time.Millisecond)
		b.last().Respond(true, ":status", "200", "x", "y")
		pick, h := b.filter.(*filter).pick, b.stream.Out.Headers
		cookie, has := h.Find("set-cookie")
		if pick.HasHash != wanted || has != wanted {
			t.Errorf("hash %v, cookie %v, want %v", pick.HasHash, has, wanted)
		}
		if wanted && (pick.Hash != 42 || cookie != `c="v"; HttpOnly` || p.calls != 1) {
			t.Errorf("hash %d, cookie %s, after %d calls", pick.Hash, cookie, p.calls)
		}
	}
}

// TestSetCookie: recorded from Envoy 1.40.
func TestSetCookie(t *testing.T) {
	got := setCookie(&route.Cookie{
		Name: "ck", Value: "4b", Path: "/p", MaxAge: time.Minute,
		Attributes: []route.CookieAttribute{{Name: "Secure"}, {Name: "SameSite", Value: "Strict"}},
	})
	if want := `ck="4b"; Max-Age=60; Path=/p; Secure; SameSite=Strict; HttpOnly`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNoCookieInLocalReplies: only responses of the upstream set it.
func TestNoCookieInLocalReplies(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.cluster.Info().PicksByHash = true
		b.route.Forward.Hash = &cookieHash{}
		b.cluster.Hosts = nil
	})
	b.get()
	b.wantReply("503 [UH] no_healthy_upstream\n\nno healthy upstream")
}
