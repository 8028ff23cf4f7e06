package localratelimit

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// server is a node without a name.
type server struct{ extension.Server }

func (server) ServiceCluster() string { return "" }

// descriptorCase is a configuration and what requests got from a real Envoy with it:
// the status, and limit, remaining and reset of the x-ratelimit headers.
type descriptorCase struct {
	name        string
	rules       string // rate_limits of the filter
	route, host string // and of the route and its virtual host
	descriptors string
	extra       string // more fields
	requests    []string
	want        []string
	stats       [5]uint64 // enabled, enforced, ok, rate_limited, shadow_mode
}

const a, b = `{"actions": [{"generic_key": {"descriptor_value": "a"}}]}`, `{"actions": [{"generic_key": {"descriptor_value": "b"}}]}`

// tokens is a token bucket that gets one token a minute.
func tokens(n int) string {
	return fmt.Sprintf(`"token_bucket": {"max_tokens": %d, "tokens_per_fill": 1, "fill_interval": "60s"}`, n)
}

func descriptor(key, value string, n int) string {
	return fmt.Sprintf(`{"entries": [{"key": %q, "value": %q}], %s}`, key, value, tokens(n))
}

func generic(value string, n int) string { return descriptor("generic_key", value, n) }

const byHeader = `{"actions": [{"request_headers": {"header_name": "k", "descriptor_key": "k"}}]}`

func descriptorCases() []descriptorCase {
	return []descriptorCase{
		{name: "a descriptor and the default bucket", rules: a, descriptors: generic("a", 5), extra: tokens(1),
			requests: []string{"", ""}, want: []string{"200 5 4 0", "429 1 0 60"}, stats: [5]uint64{2, 1, 1, 1}},
		{name: "the default bucket only for what matches nothing", rules: a, descriptors: generic("a", 2), extra: `"always_consume_default_token_bucket": false, ` + tokens(1),
			requests: []string{"", "", ""}, want: []string{"200 2 1 0", "200 2 0 60", "429 2 0 60"}, stats: [5]uint64{3, 1, 2, 1}},
		{name: "nothing matches", rules: b, descriptors: generic("a", 2), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "a default bucket of nothing", extra: tokens(0), requests: []string{""}, want: []string{"429"}, stats: [5]uint64{1, 1, 0, 1}},
		{name: "a descriptor of nothing", rules: a, descriptors: generic("a", 0), requests: []string{""}, want: []string{"429 0 0 60"}, stats: [5]uint64{1, 1, 0, 1}},
		{name: "no default bucket", rules: a, descriptors: generic("a", 2), extra: `"token_bucket": null`,
			requests: []string{"", ""}, want: []string{"200 2 1 0", "200 2 0 60"}, stats: [5]uint64{2, 0, 2, 0}},
		{name: "hits", rules: `{"hits_addend": {"number": "3"}, ` + a[1:], descriptors: generic("a", 5),
			requests: []string{"", ""}, want: []string{"200 5 2 0", "429 5 2 0"}, stats: [5]uint64{2, 1, 1, 1}},
		{name: "no hits", rules: `{"hits_addend": {"number": "0"}, ` + a[1:], descriptors: generic("a", 5),
			requests: []string{""}, want: []string{"429 5 5 0"}, stats: [5]uint64{1, 1, 0, 1}},
		{name: "refund", rules: a + `, {"hits_addend": {"number": "2", "is_negative_hits": true}, ` + a[1:], descriptors: generic("a", 5),
			requests: []string{"", ""}, want: []string{"200 5 5 0", "200 5 5 0"}, stats: [5]uint64{2, 0, 2, 0}},
		{name: "shadow mode", rules: a, descriptors: `{"shadow_mode": true, ` + generic("a", 1)[1:],
			requests: []string{"", "", ""}, want: []string{"200 1 0 60", "200 1 0 60", "200 1 0 60"}, stats: [5]uint64{3, 0, 1, 2, 2}},
		{name: "shadow mode ends nothing", rules: a + "," + b, descriptors: `{"shadow_mode": true, ` + generic("a", 1)[1:] + "," + generic("b", 2),
			requests: []string{"", "", ""}, want: []string{"200 1 0 60", "200 1 0 60", "429 2 0 60"}, stats: [5]uint64{3, 1, 1, 2, 1}},
		{name: "shadow mode and the default bucket", rules: a, descriptors: `{"shadow_mode": true, ` + generic("a", 1)[1:], extra: tokens(2),
			requests: []string{"", "", ""}, want: []string{"200 1 0 60", "200 1 0 60", "429 2 0 60"}, stats: [5]uint64{3, 1, 1, 2, 1}},
		{name: "the first in shadow mode", rules: a + "," + b, descriptors: `{"shadow_mode": true, ` + generic("a", 1)[1:] + `, {"shadow_mode": true, ` + generic("b", 0)[1:],
			requests: []string{"", "", ""}, want: []string{"200 0 0 60", "200 1 0 60", "200 1 0 60"}, stats: [5]uint64{3, 0, 0, 3, 3}},
		{name: "headers off", rules: `{"x_ratelimit_option": "OFF", ` + a[1:], descriptors: generic("a", 1),
			requests: []string{"", ""}, want: []string{"200", "429"}, stats: [5]uint64{2, 1, 1, 1}},
		{name: "slowest first", rules: a + "," + b,
			descriptors: generic("a", 3) + `, {"entries": [{"key": "generic_key", "value": "b"}], "token_bucket": {"max_tokens": 9, "fill_interval": "100s"}}`,
			requests:    []string{"", "", "", ""}, want: []string{"200 9 8 0", "200 9 7 0", "200 9 6 0", "429 3 0 60"}, stats: [5]uint64{4, 1, 3, 1}},
		{name: "wildcard", rules: byHeader, descriptors: descriptor("k", "", 3), extra: `"max_dynamic_descriptors": 2`,
			requests: []string{"a", "b", "b", "a", "c", "a", "b", "a"},
			want:     []string{"200 3 2 0", "200 3 2 0", "200 3 1 0", "200 3 1 0", "200 3 2 0", "200 3 0 60", "200 3 2 0", "429 3 0 60"}, stats: [5]uint64{8, 1, 7, 1}},
		{name: "no wildcard before a wildcard", rules: byHeader, descriptors: descriptor("k", "", 3) + "," + descriptor("k", "a", 7),
			requests: []string{"a", "b"}, want: []string{"200 7 6 0", "200 3 2 0"}, stats: [5]uint64{2, 0, 2, 0}},
		{name: "of a connection", rules: byHeader, descriptors: descriptor("k", "", 3), extra: `"local_rate_limit_per_downstream_connection": true`,
			requests: []string{"a", "a"}, want: []string{"200 3 2 0", "200 3 2 0"}, stats: [5]uint64{2, 0, 2, 0}},
		{name: "route", route: a, descriptors: generic("a", 5), requests: []string{""}, want: []string{"200 5 4 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "disabled for others", route: `{"disable_key": "x", ` + a[1:], descriptors: generic("a", 5), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "end of the stream, of the route", route: `{"apply_on_stream_done": true, ` + a[1:], descriptors: generic("a", 5), requests: []string{""}, want: []string{"200 5 4 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "end of the stream, of the filter", rules: `{"apply_on_stream_done": true, ` + a[1:], descriptors: generic("a", 5), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "the filter's instead of the route's", rules: b, route: a, descriptors: generic("a", 5), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "cluster", rules: `{"actions": [{"destination_cluster": {}}]}`, descriptors: descriptor("destination_cluster", "c", 3),
			requests: []string{""}, want: []string{"200 3 2 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "host overridden", route: a, host: b, descriptors: generic("b", 3), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "host", host: b, descriptors: generic("b", 3), requests: []string{""}, want: []string{"200 3 2 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "host included", route: a, host: b, descriptors: generic("b", 3), extra: `"vh_rate_limits": "INCLUDE"`, requests: []string{""}, want: []string{"200 3 2 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "host ignored", host: b, descriptors: generic("b", 3), extra: `"vh_rate_limits": "IGNORE"`, requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "stage", route: `{"stage": 1, ` + a[1:], descriptors: generic("a", 3), extra: `"stage": 1`, requests: []string{""}, want: []string{"200 3 2 0"}, stats: [5]uint64{1, 0, 1, 0}},
		{name: "another stage overrides the host too", route: `{"stage": 1, ` + a[1:], host: b, descriptors: generic("b", 3), requests: []string{""}, want: []string{"200 1000 999 0"}, stats: [5]uint64{1, 0, 1, 0}},
	}
}

func (tc *descriptorCase) bench(t testing.TB) *bench {
	t.Helper()
	m := &localv3.LocalRateLimit{}
	text := `{"stat_prefix": "p", "filter_enabled": {"default_value": {"numerator": 100}}, "filter_enforced": {"default_value": {"numerator": 100}},
		"enable_x_ratelimit_headers": "DRAFT_VERSION_03", "rate_limits": [` + tc.rules + `], "descriptors": [` + tc.descriptors + `]`
	if !strings.Contains(tc.extra, "token_bucket\": {") && !strings.Contains(tc.extra, "null") {
		text += ", " + tokens(1000)
	}
	if tc.extra != "" {
		text += ", " + tc.extra
	}
	if err := protojson.Unmarshal([]byte(text+"}"), m); err != nil {
		t.Fatal(err)
	}
	bench := &bench{t: t, loop: loop.New(1), stats: metrics.New(1)}
	ctx := filtertest.Context(bench.stats, nil)
	ctx.Formats, ctx.Server = filtertest.Formats{}, server{}
	var errs conf.Errors
	bench.build = (Factory{}).BuildHTTPFilter(m, ctx, conf.Path{}, &errs)
	policy := func(text string) *ratelimit.Policy {
		action := &routev3.RouteAction{}
		if err := protojson.Unmarshal([]byte(`{"rate_limits": [`+text+`]}`), action); err != nil {
			t.Fatal(err)
		}
		return ctx.RateLimits(action.GetRateLimits(), ratelimit.RouteFields(), conf.Path{}, &errs)
	}
	bench.route = &route.Route{
		Forward: &route.Forward{Cluster: "c", RateLimits: policy(tc.route)}, VirtualHost: &route.VirtualHost{RateLimits: policy(tc.host)},
	}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	return bench
}

// ask returns what a request with a header k gets.
func (b *bench) ask(k string) string {
	s := b.stream()
	s.Request(true, ":path", "/", "k", k)
	if s.Local == nil {
		s.Respond(true, ":status", "200")
	}
	out := []string{s.Out.Headers.Get(httpmsg.Status)}
	for _, name := range []string{"limit", "remaining", "reset"} {
		if v, ok := s.Out.Headers.Find("x-ratelimit-" + name); ok {
			out = append(out, v)
		}
	}
	return strings.Join(out, " ")
}

func TestDescriptors(t *testing.T) {
	for _, tc := range descriptorCases() {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.bench(t)
			for i, k := range tc.requests {
				if got := b.ask(k); got != tc.want[i] {
					t.Errorf("request %d: got %q, want %q", i, got, tc.want[i])
				}
			}
			b.wantStats(tc.stats[0], tc.stats[1], tc.stats[2], tc.stats[3])
			if n := b.stats.Value("p.http_local_rate_limit.shadow_mode"); n != tc.stats[4] {
				t.Errorf("shadow_mode %d", n)
			}
		})
	}
}

func TestIncludeHostRateLimits(t *testing.T) {
	tc := descriptorCase{route: a, host: b, descriptors: generic("b", 3), extra: `"vh_rate_limits": "IGNORE"`}
	bench := tc.bench(t)
	bench.route.Forward.IncludeHostRateLimits = true
	if got := bench.ask(""); got != "200 3 2 0" {
		t.Error(got)
	}
}

func TestDescriptorErrors(t *testing.T) {
	m := &localv3.LocalRateLimit{}
	text := `{"stat_prefix": "p", "stage": 11, "descriptors": [` + generic("a", 1) + "," + generic("a", 2) + "," + descriptor("k", "", 1) + "," + descriptor("k", "", 1) +
		`, {"entries": [{"key": "x", "value": "y"}], "token_bucket": {"max_tokens": 1, "fill_interval": "0.03s"}}]}`
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	(Factory{}).BuildHTTPFilter(m, filtertest.Context(metrics.New(1), nil), conf.Path{}, &errs)
	const want = "stage: must be at most 10\ndescriptors[1].entries: duplicate descriptor: generic_key=a\n" +
		"descriptors[3].entries: duplicate descriptor: k=\ndescriptors[4].token_bucket.fill_interval: must be at least 50ms, is 30ms"
	if errs.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", errs.Error(), want)
	}
	if _, _, err := descriptorFields().Split((&localv3.LocalRateLimit{}).ProtoReflect().Descriptor().Fields().ByName("descriptors").Message()); err != nil {
		t.Error(err)
	}
}

func TestDescriptorsDoNotAllocate(t *testing.T) {
	for _, d := range []string{generic("a", 1<<30), descriptor("generic_key", "", 1<<30)} {
		tc := descriptorCase{rules: a + "," + b, descriptors: d, extra: tokens(1 << 30)}
		b := tc.bench(t)
		s := b.stream()
		s.Headers().Add(":path", "/")
		run := func() {
			s.RequestMap(true)
			s.Leave()
			s.Recycle()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", d, n)
		}
	}
}

// TestDynamicBound has workers that see many values at once: there are never more
// buckets than the bound, each value has one, and the ones used last stay.
func TestDynamicBound(t *testing.T) {
	const most, workers = 50, 4
	l := &limits{seed: maphash.MakeSeed()}
	d := newDynamic(&rule{bucket: tokenbucket.Config{Max: 1, PerFill: 1, Interval: time.Second}}, most)
	entries := func(i int) []ratelimit.Entry { return []ratelimit.Entry{{Key: "k", Value: fmt.Sprint(i)}} }
	get := func(i int) *bucket { e := entries(i); return d.bucket(e, l.hash(e)) }
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range 2000 {
				get(i * (w + 1) % 300)
			}
		})
	}
	wg.Wait()
	inChains := 0
	for i := range d.chains {
		for b := d.chains[i].Load(); b != nil; b = b.next.Load() {
			inChains++
		}
	}
	if len(d.queue) != most || inChains != most {
		t.Errorf("%d in the queue, %d in the chains", len(d.queue), inChains)
	}
	kept := map[int]*bucket{}
	for i := 1000; i < 1000+most; i++ {
		kept[i] = get(i)
	}
	for i := range 10 { // used again, the oldest come last
		get(1000 + i)
	}
	for i := range most - 10 {
		get(2000 + i)
	}
	for i := range most {
		if same := get(1000+i) == kept[1000+i]; same != (i < 10) {
			t.Errorf("value %d: kept %v", i, same)
		}
	}
}
