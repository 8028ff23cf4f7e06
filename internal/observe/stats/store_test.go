package stats_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	api "github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
)

// show returns what admin answers.
func show(t testing.TB, store *stats.Store, target string) string {
	t.Helper()
	w := httptest.NewRecorder()
	serve(store.Endpoints()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w.Body.String()
}

func TestScopes(t *testing.T) {
	store := stats.NewStore(2, stats.Config{})
	root := store.Root()
	a, b := root.Scope("cluster.a:b."), root.Scope("cluster.a:b.")
	a.Counter("x").Add(0, 2)
	b.Counter("x").Add(1, 3)
	a.Counter("y")
	a.Scope("inner").Gauge("z").Set(4)
	root.Counter("bad\nname: 1").Inc(api.Any)
	step := func(want string) {
		t.Helper()
		if got := show(t, store, "/stats"); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	if x := a.Counter("x"); x != b.Counter("x") || x != a.Counter("x") {
		t.Error("one name is two counters")
	}
	step("bad_name_ 1: 1\ncluster.a_b.inner.z: 4\ncluster.a_b.x: 5\ncluster.a_b.y: 0\n")
	a.Close()
	a.Close()
	step("bad_name_ 1: 1\ncluster.a_b.inner.z: 4\ncluster.a_b.x: 5\n")
	a.Counter("late").Inc(0)
	b.Close()
	step("bad_name_ 1: 1\ncluster.a_b.inner.z: 4\n")
	root.Scope("cluster.a_b").Counter("x")
	step("bad_name_ 1: 1\ncluster.a_b.inner.z: 4\ncluster.a_b.x: 0\n")
}

// TestReuse checks that the memory of closed scopes is used again, but only once
// nobody can write to it.
func TestReuse(t *testing.T) {
	store := stats.NewStore(4, stats.Config{})
	held := store.Root().Scope("old").Counter("held")
	rounds := func(n int) uint64 {
		for range n {
			scope := store.Root().Scope("s")
			for i := range 400 {
				scope.Counter(fmt.Sprint(i)).Inc(1)
			}
			if fresh := scope.Gauge("fresh"); fresh.Value() != 0 || fresh.Used() {
				t.Fatal("a new gauge has a value")
			}
			scope.Close()
			held.Inc(0)
			store.Flush() // takes the list of metrics anew, without the closed ones
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := rounds(20)
	if after := rounds(200); after > before+before/2+1<<20 {
		t.Errorf("the heap grew from %d to %d", before, after)
	}
	if held.Value() != 220 {
		t.Errorf("a held counter has %d", held.Value())
	}
}

func TestUsed(t *testing.T) {
	store := stats.NewStore(1, stats.Config{})
	root := store.Root()
	root.Counter("c.unused")
	root.Counter("c.reset").Inc(0)
	root.Gauge("g.unused")
	root.Gauge("g.zero").Set(0)
	balanced := root.Gauge("g.balanced")
	balanced.Inc(0)
	balanced.Dec(api.Any)
	root.Histogram("h.unused", api.Milliseconds)
	root.Histogram("h.used", api.Milliseconds).Record(0, 1)
	root.TextReadout("t.unused")
	root.TextReadout("t.used").Set("")
	store.Flush()
	store.Flush()
	store.ResetCounters()
	const want = `t.used: ""
c.reset: 0
g.balanced: 0
g.zero: 0
h.used: P0(nan,1.05) P25(nan,1.05) P50(nan,1.05) P75(nan,1.05) P90(nan,1.05) P95(nan,1.05) P99(nan,1.05) P99.5(nan,1.05) P99.9(nan,1.05) P100(nan,1.05)
`
	if got := show(t, store, "/stats?usedonly"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFlushOnAdmin(t *testing.T) {
	store := stats.NewStore(1, stats.Config{FlushOnAdmin: true})
	store.Root().Histogram("h", api.Milliseconds).Record(api.Any, 0)
	if got := show(t, store, "/stats"); !strings.HasPrefix(got, "h: P0(0,0) ") {
		t.Error(got)
	}
}

func TestPercent(t *testing.T) {
	store := stats.NewStore(1, stats.Config{Buckets: []stats.BucketRule{
		{Match: func(name string) bool { return name == "h" }, Bounds: []float64{0.5, 1}}}})
	h := store.Root().Histogram("h", api.Percent)
	h.Record(0, 250_000)
	h.Record(0, 750_000)
	store.Flush()
	for target, want := range map[string]string{
		"/stats":                              "h: P0(0.255,0.255) P25(0.255,0.255) P50(0.255,0.255) P75(0.755,0.755) ",
		"/stats?histogram_buckets=cumulative": "h: B0.5(1,1) B1(2,2)\n",
		"/stats?histogram_buckets=detailed":   "h:\n  totals=0.25,0.01:1, 0.75,0.01:1\n",
	} {
		if got := show(t, store, target); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

func TestHTML(t *testing.T) {
	store := stats.NewStore(1, stats.Config{})
	store.Root().Counter("cluster.<script>.x").Inc(0)
	store.Root().TextReadout("t").Set("<b>")
	got := show(t, store, "/stats?format=active-html")
	if strings.Contains(got, "<script>") || strings.Contains(got, "<b>") || !strings.Contains(got, "&lt;script&gt;.x</td><td>1<") ||
		!strings.Contains(got, "refresh") {
		t.Error(got)
	}
}

func TestTextOnOneLine(t *testing.T) {
	store := stats.NewStore(1, stats.Config{})
	store.Root().TextReadout("t").Set("a\nserver.live: 0")
	if got := show(t, store, "/stats"); got != "t: \"a\\nserver.live: 0\"\n" {
		t.Errorf("%q", got)
	}
	const want = "# TYPE envoy_t gauge\nenvoy_t{text_value=\"a\\nserver.live: 0\"} 0\n"
	if got := show(t, store, "/stats/prometheus?text_readouts"); got != want {
		t.Errorf("%q", got)
	}
}

// TestConcurrency writes, flushes, renders, opens and closes scopes at once, and
// checks that nothing was lost.
func TestConcurrency(t *testing.T) {
	const workers, rounds = 4, 2000
	store := stats.NewStore(workers, stats.Config{})
	c, g := store.Root().Counter("c"), store.Root().Gauge("g")
	h := store.Root().Histogram("h", api.Milliseconds)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for shard := range workers {
		writers.Go(func() {
			for i := range rounds {
				c.Inc(shard)
				g.Inc(shard)
				h.Record(shard, uint64(i))
				h.Record(api.Any, uint64(i*i))
				g.Dec((shard + 1) % workers)
				if i%100 == 0 {
					scope := store.Root().Scope(fmt.Sprintf("s%d", shard))
					scope.Counter("x").Inc(api.Any)
					scope.Close()
				}
			}
		})
	}
	for _, target := range []string{"/stats", "/stats?format=json", "/stats/prometheus?filter=s"} {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					show(t, store, target)
					store.Flush()
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	store.Flush()
	if c.Value() != workers*rounds || g.Value() != 0 {
		t.Error(c.Value(), g.Value())
	}
	want := fmt.Sprintf("envoy_h_count{} %d\n", 2*workers*rounds)
	if got := show(t, store, "/stats/prometheus"); !strings.Contains(got, want) {
		t.Error(got)
	}
}

func TestWritingDoesNotAllocate(t *testing.T) {
	root := stats.NewStore(2, stats.Config{}).Root()
	c, g, h := root.Counter("c"), root.Gauge("g"), root.Histogram("h", api.Milliseconds)
	allocs := testing.AllocsPerRun(100, func() {
		c.Inc(0)
		c.Add(api.Any, 3)
		g.Inc(1)
		g.Dec(0)
		h.Record(1, 12345)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// full returns a store with 100 metrics per cluster.
func full(clusters int) *stats.Store {
	store := stats.NewStore(4, stats.Config{})
	for i := range clusters {
		scope := store.Root().Scope(fmt.Sprintf("cluster.backend_%d", i))
		for j := range 90 {
			scope.Counter(fmt.Sprintf("upstream_counter_%d", j)).Inc(j % 4)
		}
		for j := range 10 {
			scope.Gauge(fmt.Sprintf("upstream_gauge_%d", j))
		}
	}
	return store
}

// TestRenderingIsBounded checks that an answer is not built in memory, and that
// a metric costs no allocation: there are 10,000, in 100 families.
func TestRenderingIsBounded(t *testing.T) {
	store := full(100)
	for _, target := range []string{"/stats", "/stats?format=json", "/stats/prometheus"} {
		show(t, store, target) // sorts, and extracts tags
		w := discard{http.Header{}}
		handler, r := serve(store.Endpoints()), httptest.NewRequest(http.MethodGet, target, nil)
		if allocs := testing.AllocsPerRun(2, func() { handler.ServeHTTP(w, r) }); allocs > 500 {
			t.Errorf("%s: %v allocations", target, allocs)
		}
	}
}

// discard is a client that reads everything.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkInc(b *testing.B) {
	c := stats.NewStore(4, stats.Config{}).Root().Counter("c")
	b.ReportAllocs()
	for b.Loop() {
		c.Inc(1)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := stats.NewStore(4, stats.Config{}).Root().Histogram("h", api.Milliseconds)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		h.Record(1, i%1000)
	}
}

func BenchmarkRender100k(b *testing.B) {
	store := full(1000)
	for _, target := range []string{"/stats", "/stats?format=json", "/stats/prometheus"} {
		b.Run(strings.NewReplacer("/stats", "stats", "?format=", "_", "/", "_").Replace(target), func(b *testing.B) {
			handler, r := serve(store.Endpoints()), httptest.NewRequest(http.MethodGet, target, nil)
			handler.ServeHTTP(discard{http.Header{}}, r) // sorts, and extracts tags
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}
