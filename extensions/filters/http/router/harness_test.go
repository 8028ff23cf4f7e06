package router

import (
	"strings"
	"testing"
	"time"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A bench is a router with its surroundings: one stream, one route to cluster a.
type bench struct {
	t       testing.TB
	loop    *loop.Fake
	stats   *metrics.Scope
	cluster *filtertest.Cluster
	ctx     extension.HTTPContext
	log     *filtertest.Log
	route   *route.Route
	stream  *filtertest.Stream
	filter  httpfilter.Filter
}

// noRewrite is a RequestRewrite that notes that it was called.
type noRewrite struct{ called int }

func (n *noRewrite) RewriteRequest(h *httpmsg.Headers, e *format.Entry, keepOriginal bool) {
	n.called++
	if e.Request != h || e.Stream == nil {
		panic("the entry does not belong to the request")
	}
	if keepOriginal {
		h.Set(httpmsg.XEnvoyOriginalPath, h.Get(httpmsg.Path))
	}
}

// newBench returns a bench; change may alter anything before the filter is built.
func newBench(t testing.TB, m *routerv3.Router, change func(b *bench)) *bench {
	t.Helper()
	b := &bench{t: t, loop: loop.New(1), stats: metrics.New(1)}
	b.cluster = filtertest.NewCluster(b.loop, b.stats, "a", 3)
	b.ctx = filtertest.Context(b.stats, filtertest.Clusters{"a": b.cluster})
	b.log = b.ctx.Log.(*filtertest.Log)
	b.route = &route.Route{
		VirtualHost: &route.VirtualHost{Name: "v"},
		Forward:     &route.Forward{Cluster: "a", Timeout: 15 * time.Second, Request: &noRewrite{}},
	}
	b.stream = filtertest.New(b.loop)
	b.stream.DecodeLimit = 100
	b.stream.Table = func(*httpmsg.Headers) *route.Route { return b.route }
	if change != nil {
		change(b)
	}
	if m == nil {
		m = &routerv3.Router{}
	}
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(m, b.ctx, conf.Path{}, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	b.filter = b.stream.Build(build)
	t.Cleanup(b.checkLeaks)
	return b
}

// checkLeaks ends the stream if the test did not, and looks for what is left.
func (b *bench) checkLeaks() {
	if !b.stream.Destroyed {
		b.stream.Leave()
	}
	if n := b.loop.ArmedTimers(); n != 0 {
		b.t.Errorf("%d timers are armed in the end", n)
	}
	for i, a := range b.cluster.Attempts {
		if a.Open() {
			b.t.Errorf("stream %d is open in the end", i)
		}
	}
	if n := b.cluster.Resources(0).Retries.Current(); n != 0 {
		b.t.Errorf("%d retries are counted in the end", n)
	}
	if b.stream.Paused != 0 {
		b.t.Errorf("the request is paused %d times in the end", b.stream.Paused)
	}
	b.cluster.Forget()
	b.stream.Recycle()
	if n := b.loop.Buffers().InUse(); n != 0 {
		b.t.Errorf("%d blocks are in use in the end", n)
	}
}

// get sends a request without a body, with more fields.
func (b *bench) get(more ...string) {
	b.stream.Request(true, append([]string{":method", "GET", ":path", "/", ":authority", "host", ":scheme", "http"}, more...)...)
}

// post sends the headers of a request with a body.
func (b *bench) post(more ...string) {
	b.stream.Request(false, append([]string{":method", "POST", ":path", "/", ":authority", "host", ":scheme", "http"}, more...)...)
}

// last returns the last attempt, which must be there.
func (b *bench) last() *filtertest.Attempt {
	b.t.Helper()
	a := b.cluster.Last()
	if a == nil {
		b.t.Fatalf("no attempt; the client has %q", b.stream.Reply())
	}
	return a
}

// ready gives the last attempt its stream.
func (b *bench) ready() *filtertest.Attempt {
	b.t.Helper()
	a := b.last()
	a.Ready()
	return a
}

// wantReply compares what the client got.
func (b *bench) wantReply(want string) {
	b.t.Helper()
	if got := strings.TrimSpace(b.stream.Reply()); got != strings.TrimSpace(want) {
		b.t.Errorf("reply:\n%s\nwant:\n%s", got, want)
	}
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// wantStats checks values, given as name=value.
func (b *bench) wantStats(want ...string) {
	b.t.Helper()
	have := b.stats.String()
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		if line := name + ": " + value + "\n"; value == "0" {
			if strings.Contains("\n"+have, "\n"+name+": ") {
				b.t.Errorf("%s is not zero in\n%s", name, have)
			}
		} else if !strings.Contains("\n"+have, "\n"+line) {
			b.t.Errorf("no %s in\n%s", w, have)
		}
	}
}

// retryPolicy makes the route retry.
func retryPolicy(p route.RetryPolicy) func(b *bench) {
	return func(b *bench) { b.route.Forward.Retry = &p }
}
