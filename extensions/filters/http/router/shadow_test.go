package router

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// mirrored is a bench whose requests are mirrored to cluster s.
func mirrored(t *testing.T, change func(b *bench, m *route.Mirror)) (*bench, *filtertest.Cluster) {
	var shadows *filtertest.Cluster
	b := newBench(t, nil, func(b *bench) {
		shadows = filtertest.NewCluster(b.loop, b.stats, "s", 3)
		shadows.Immediate, b.cluster.Immediate = true, true
		b.ctx.Clusters.(filtertest.Clusters)["s"] = shadows
		b.ctx.LocalAddress = filtertest.NewHost("10.0.0.9:0", "").Address()
		b.route.Forward.Mirrors = []route.Mirror{{Cluster: "s"}}
		if change != nil {
			change(b, &b.route.Forward.Mirrors[0])
		}
	})
	t.Cleanup(func() {
		for i, a := range shadows.Attempts {
			if a.Open() {
				t.Errorf("shadow %d is open in the end", i)
			}
		}
		shadows.Forget()
	})
	return b, shadows
}

func TestMirror(t *testing.T) {
	t.Run("headers only", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.get("x-forwarded-for", "1.1.1.1", "x-envoy-retry-on", "5xx")
		b.last().Respond(true, ":status", "200")
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 0")
		want := ":method: GET\n:path: /\n:authority: host-shadow\n:scheme: http\nx-forwarded-for: 1.1.1.1,10.0.0.9\n" +
			"x-envoy-expected-rq-timeout-ms: 15000\nx-envoy-original-path: /\nx-envoy-internal: true\n"
		if got := shadows.Last().SentText(); got != want {
			t.Errorf("mirrored\n%s\nwant\n%s", got, want)
		}
		shadows.Last().Respond(false, ":status", "500")
		shadows.Last().Send("dropped", true)
		b.wantStats("cluster.s.upstream_rq_500=1", "cluster.s.internal.upstream_rq_500=1", "cluster.a.upstream_rq_200=1",
			"http.in.rq_total=1", "http.async-client.rq_total=1")
	})
	t.Run("streamed", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.post()
		b.stream.Body("one ", false)
		if got := shadows.Last().Body.String(); got != "one " {
			t.Errorf("the shadow has %q", got)
		}
		b.stream.Body("two", false)
		b.stream.Trailers("x-t", "1")
		b.last().Respond(true, ":status", "200")
		want := "\none two\ntrailers:\nx-t: 1\n"
		if got := shadows.Last().SentText(); !contains(got, want) || !shadows.Last().Open() {
			t.Errorf("the shadow has\n%s", got)
		}
		if got := b.last().SentText(); !contains(got, want) {
			t.Errorf("the request is\n%s", got)
		}
		shadows.Last().Respond(true, ":status", "200")
	})
	t.Run("it times out alone", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.get()
		b.last().Respond(true, ":status", "200")
		b.loop.Advance(15 * time.Second)
		if !shadows.Last().WasReset {
			t.Error("the shadow goes on")
		}
		b.wantStats("cluster.s.upstream_rq_timeout=1", "cluster.s.upstream_rq_504=1", "cluster.a.upstream_rq_timeout=0")
	})
	t.Run("the client leaves", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.post()
		b.stream.Body("x", false)
		b.stream.Leave()
		if !shadows.Last().WasReset {
			t.Error("the shadow waits for the rest of the request")
		}
	})
	t.Run("it answers before the request is complete", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.post()
		shadows.Last().Respond(true, ":status", "403")
		b.stream.Body("x", true)
		if got := shadows.Last().Body.String(); got != "" {
			t.Errorf("the shadow got %q after its answer", got)
		}
		b.last().Respond(true, ":status", "200")
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 0")
	})
	t.Run("its pool is full", func(t *testing.T) {
		b, shadows := mirrored(t, func(b *bench, _ *route.Mirror) { b.ctx.Clusters.(filtertest.Clusters)["s"].Immediate = false })
		b.get()
		shadows.Last().Fail(upstream.Overflow, "max_requests")
		b.last().Respond(true, ":status", "200")
		b.wantReply("200 [-] via_upstream\nx-envoy-upstream-service-time: 0")
		b.wantStats("cluster.s.upstream_rq_503=1")
	})
	t.Run("it breaks", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.post()
		shadows.Last().Break(httpmsg.ResetRemoteReset, "")
		b.stream.Body("x", true)
		b.last().Respond(true, ":status", "200")
		b.wantStats("cluster.s.upstream_rq_503=1", "cluster.a.upstream_rq_200=1")
	})
	t.Run("it is slow", func(t *testing.T) {
		b, shadows := mirrored(t, nil)
		b.post()
		shadows.Last().High()
		if b.stream.Paused != 1 {
			t.Errorf("the request is paused %d times", b.stream.Paused)
		}
		b.stream.Body("x", true)
		if b.stream.Paused != 0 {
			t.Errorf("the request is paused %d times when it is complete", b.stream.Paused)
		}
		shadows.Last().Low()
		shadows.Last().Respond(true, ":status", "200")
		b.last().Respond(true, ":status", "200")
	})
	t.Run("retries are not mirrored", func(t *testing.T) {
		b, shadows := mirrored(t, func(b *bench, _ *route.Mirror) {
			retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		})
		b.get()
		b.last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		b.last().Respond(true, ":status", "200")
		shadows.Last().Respond(true, ":status", "500")
		b.loop.Advance(time.Second)
		if len(b.cluster.Attempts) != 2 || len(shadows.Attempts) != 1 {
			t.Errorf("%d attempts, %d shadows", len(b.cluster.Attempts), len(shadows.Attempts))
		}
	})
}

// addHeader is a route.HeaderMutation.
type addHeader string

func (a addHeader) MutateHeaders(h *httpmsg.Headers, e *format.Entry) {
	if e.Request != h {
		panic("the entry is another request's")
	}
	h.Add(string(a), "1")
}

func TestMirrorPolicies(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(b *bench, m *route.Mirror)
		want   string // in what the shadow gets, "" for none
	}{
		{"host as it is", func(_ *bench, m *route.Mirror) { m.KeepHost = true }, ":authority: host\n"},
		{"another host", func(_ *bench, m *route.Mirror) { m.HostRewrite = "other:80" }, ":authority: other:80\n"},
		{"more headers", func(_ *bench, m *route.Mirror) { m.Request = addHeader("x-more") }, "x-more: 1\n"},
		{"by header", func(_ *bench, m *route.Mirror) { m.Cluster, m.ClusterHeader = "", "x-mirror" }, ":authority: host-shadow\n"},
		{"no such header", func(_ *bench, m *route.Mirror) { m.Cluster, m.ClusterHeader = "", "x-none" }, ""},
		{"no such cluster", func(_ *bench, m *route.Mirror) { m.Cluster = "none" }, ""},
		{"none of them", func(_ *bench, m *route.Mirror) { m.Fraction = &runtimeconf.Fraction{} }, ""},
		{"by runtime", func(b *bench, m *route.Mirror) {
			m.Fraction = &runtimeconf.Fraction{Key: "k"}
			b.ctx.Runtime = filtertest.Runtime{"k": "100"}
		}, "host-shadow"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, shadows := mirrored(t, tc.change)
			b.get("x-mirror", "s")
			b.last().Respond(true, ":status", "200")
			if contains(b.last().SentText(), "x-more") {
				t.Error("the request itself was changed")
			}
			a := shadows.Last()
			switch {
			case a == nil && tc.want == "":
			case a == nil || tc.want == "" || !contains(a.SentText(), tc.want):
				t.Errorf("mirrored %v", a != nil)
			}
			if a != nil {
				a.Respond(true, ":status", "200")
			}
		})
	}
}

func TestShadowHost(t *testing.T) {
	for host, want := range map[string]string{
		"a": "a-shadow", "a.b:80": "a.b-shadow:80", "[::1]:80": "[::1]:80-shadow", "a:": "a:-shadow", ":80": ":80-shadow", "": "-shadow",
	} {
		if got := shadowHost(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
