package asyncclient

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A bench holds one call, and notes what its receiver is told.
type bench struct {
	loop    *loop.Fake
	stats   *metrics.Scope
	cluster *filtertest.Cluster
	call    grpcclient.Call
	told    []string
	// onMessage is called for each message, if it is not nil.
	onMessage func()
}

func (b *bench) OnMessage(m []byte) {
	b.told = append(b.told, fmt.Sprintf("message %q", m))
	if b.onMessage != nil {
		b.onMessage()
	}
}
func (b *bench) OnSent() { b.told = append(b.told, "sent") }
func (b *bench) OnStatus(code int, message string) {
	b.told = append(b.told, fmt.Sprintf("%d %s", code, message))
}

const service = `{"envoy_grpc":{"cluster_name":"a"}}`

// newBench starts a call on a service, which the cluster has not answered yet.
func newBench(t testing.TB, config string, o grpcclient.Options, change func(*bench)) *bench {
	t.Helper()
	b := &bench{loop: loop.New(1), stats: metrics.New(1)}
	b.cluster = filtertest.NewCluster(b.loop, b.stats, "a", 10)
	if change != nil {
		change(b)
	}
	b.call = b.client(t, config).Start(b.loop, "/s/m", o, b)
	t.Cleanup(func() {
		b.call.Cancel()
		if n := b.loop.Buffers().InUse(); n != 0 {
			// What was sent is the fake stream's.
			for _, a := range b.cluster.Attempts {
				a.Body.Drain(a.Body.Len())
			}
			if n = b.loop.Buffers().InUse(); n != 0 {
				t.Errorf("%d buffers are in use", n)
			}
		}
		if n := b.loop.ArmedTimers(); n != 0 {
			t.Errorf("%d timers are armed", n)
		}
	})
	return b
}

func (b *bench) client(t testing.TB, config string) grpcclient.Client {
	t.Helper()
	msg := &corev3.GrpcService{}
	if err := protojson.Unmarshal([]byte(config), msg); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	clients := Clients{Clusters: filtertest.Clusters{"a": b.cluster}, Formats: filtertest.Formats{}, LocalAddress: "192.0.2.1"}
	c := clients.Client(msg, conf.Path{}, &errs)
	if errs != nil {
		t.Fatal(errs)
	}
	return c
}

// stream gives the call its stream.
func (b *bench) stream() *filtertest.Attempt {
	a := b.cluster.Last()
	a.Ready()
	return a
}

func frame(text string) string {
	return string([]byte{0, 0, 0, byte(len(text) >> 8), byte(len(text))}) + text
}

func TestRequest(t *testing.T) {
	const first = ":method: POST\n:path: /s/m\n:authority: a\n:scheme: http\nte: trailers\n"
	for _, tc := range []struct {
		name, config string
		options      grpcclient.Options
		want         string
	}{
		{"a stream", service, grpcclient.Options{},
			first + "content-type: application/grpc\nx-envoy-internal: true\nx-forwarded-for: 192.0.2.1\n"},
		{"a call with a timeout", service, grpcclient.Options{Timeout: 250 * time.Millisecond},
			first + "grpc-timeout: 250m\ncontent-type: application/grpc\nx-envoy-internal: true\nx-forwarded-for: 192.0.2.1\nx-envoy-expected-rq-timeout-ms: 250\n"},
		{"no headers that say what the proxy is", `{"envoy_grpc":{"cluster_name":"a","authority":"b","skip_envoy_headers":true}}`, grpcclient.Options{},
			strings.Replace(first, ": a\n", ": b\n", 1) + "content-type: application/grpc\n"},
		{"metadata", `{"envoy_grpc":{"cluster_name":"a"},"initial_metadata":[{"key":"X-A","value":"v"},{"key":"x-b-bin","raw_value":"AAE="},{"key":"x-c"}]}`, grpcclient.Options{},
			first + "content-type: application/grpc\nx-a: v\nx-b-bin: AAE=\nx-envoy-internal: true\nx-forwarded-for: 192.0.2.1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.config, tc.options, nil)
			b.call.Send([]byte("hello"), false)
			a := b.stream()
			b.call.Send([]byte("you"), true)
			b.call.Send([]byte("late"), true)
			if got, want := a.SentText(), tc.want+"\n"+frame("hello")+frame("you")+"\n"; got != want {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
		})
	}
}

// grpcHeaders is the beginning of an ordinary response.
var grpcHeaders = []string{":status", "200", "content-type", "application/grpc"}

func TestResponses(t *testing.T) {
	begin := func(b *bench) *filtertest.Attempt {
		b.call.Send([]byte("m"), true)
		a := b.stream()
		a.Respond(false, grpcHeaders...)
		return a
	}
	for _, tc := range []struct {
		name   string
		do     func(b *bench)
		want   string
		counts string // of the cluster, besides what always is
		host   string // the statuses recorded, and how many failed
	}{
		{"messages and a status", func(b *bench) {
			a := begin(b)
			a.Send(frame("one")+frame("")+frame("three"), false)
			b.loop.Advance(7 * time.Millisecond)
			a.SendTrailers("grpc-status", "0")
		}, `message "one"; message ""; message "three"; 0 `, "internal.upstream_rq_200 upstream_rq_200", "[200] 0"},
		{"an error with a text", func(b *bench) { begin(b).SendTrailers("grpc-status", "5", "grpc-message", "not%20here") },
			"5 not here", "internal.upstream_rq_200 upstream_rq_200", "[404] 0"},
		{"a text that is not encoded right", func(b *bench) { begin(b).SendTrailers("grpc-status", "5", "grpc-message", "50%") },
			"5 50%", "internal.upstream_rq_200 upstream_rq_200", "[404] 0"},
		{"headers only", func(b *bench) { b.stream().Respond(true, ":status", "200", "grpc-status", "12") },
			"12 ", "internal.upstream_rq_200 upstream_rq_200", "[501] 0"},
		{"an HTTP error", func(b *bench) { b.stream().Respond(false, ":status", "404") },
			"12 HTTP status 404", "internal.upstream_rq_404 upstream_rq_404", "[] 0"},
		{"an HTTP error without a body", func(b *bench) { b.stream().Respond(true, ":status", "503") },
			"14 HTTP status 503", "internal.upstream_rq_503 upstream_rq_503", "[503] 0"},
		{"headers without a status", func(b *bench) { b.stream().Respond(true, ":status", "200") },
			"2 no status", "internal.upstream_rq_200 upstream_rq_200", "[500] 0"},
		{"a body without trailers", func(b *bench) { begin(b).Send(frame("x"), true) },
			`message "x"; 2 no status`, "internal.upstream_rq_200 upstream_rq_200", "[500] 0"},
		{"a bad status", func(b *bench) { begin(b).SendTrailers("grpc-status", "-1") },
			"2 invalid status", "internal.upstream_rq_200 upstream_rq_200", "[500] 0"},
		{"a compressed message", func(b *bench) { begin(b).Send("\x01\x00\x00\x00\x00", false) },
			"13 compressed message", "internal.upstream_rq_200 upstream_rq_200", "[] 0"},
		{"a message that is too large", func(b *bench) { begin(b).Send("\x00\xff\xff\xff\xff", false) },
			"8 message is too large", "internal.upstream_rq_200 upstream_rq_200", "[] 0"},
		{"an interim response", func(b *bench) {
			a := b.stream()
			a.Interim(":status", "103")
			a.Respond(true, ":status", "200", "grpc-status", "0")
		}, "0 ", "internal.upstream_rq_200 upstream_rq_200", "[200] 0"},
		{"a reset before the response", func(b *bench) { b.stream().Break(httpmsg.ResetConnectionTermination, "why") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: connection termination, transport failure reason: why",
			"internal.upstream_rq_503 upstream_rq_503", "[503] 1"},
		{"a reset amid the response", func(b *bench) { begin(b).Break(httpmsg.ResetProtocolError, "") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: protocol error",
			"internal.upstream_rq_200 upstream_rq_200", "[502] 1"},
		{"no connection", func(b *bench) { b.cluster.Last().Fail(upstream.ConnectTimeout, "") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
			"internal.upstream_rq_503 upstream_rq_503", "[503] 1"},
		{"a circuit breaker", func(b *bench) { b.cluster.Last().Overflow("max_requests") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: overflow, transport failure reason: max_requests",
			"internal.upstream_rq_503 upstream_rq_503", "[] 0"},
		{"headers that cannot be sent", func(b *bench) {
			b.cluster.Last().RefuseHeaders = "no"
			b.stream()
		}, "13 no", "", "[] 0"},
		{"the receiver leaves", func(b *bench) {
			b.onMessage = func() { b.call.Cancel() }
			begin(b).Send(frame("one")+frame("two"), false)
		}, `message "one"`, "internal.upstream_rq_200 upstream_rq_200", "[] 0"},
		{"cancelled while it waits", func(b *bench) {
			b.call.Send([]byte("m"), false)
			b.call.Cancel()
			if !b.cluster.Last().Cancelled {
				b.told = append(b.told, "it still waits")
			}
		}, "", "", "[] 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, service, grpcclient.Options{}, nil)
			tc.do(b)
			if got := strings.Join(b.told, "; "); got != tc.want {
				t.Errorf("told %s\nwant %s", got, tc.want)
			}
			if a := b.cluster.Last(); a.Open() {
				t.Error("the stream is open")
			}
			var counts []string
			for _, name := range b.stats.Names() {
				name = strings.TrimPrefix(name, "cluster.a.")
				last := name[strings.LastIndexByte(name, '_')+1:]
				if b.stats.Value("cluster.a."+name) == 1 && len(last) == 3 && !strings.HasSuffix(last, "xx") && last[0] <= '9' {
					counts = append(counts, name)
				}
			}
			if got := strings.Join(counts, " "); got != tc.counts {
				t.Errorf("counted %s, want %s", got, tc.counts)
			}
			if h := b.cluster.Hosts[0]; fmt.Sprint(h.Responses, h.Failures) != tc.host {
				t.Errorf("the host has %v %d, want %s", h.Responses, h.Failures, tc.host)
			}
		})
	}
}

func TestTime(t *testing.T) {
	b := newBench(t, service, grpcclient.Options{}, nil)
	b.call.Send([]byte("m"), true)
	b.loop.Advance(time.Second)
	a := b.stream()
	b.loop.Advance(7 * time.Millisecond)
	a.Respond(true, ":status", "200", "grpc-status", "0")
	for _, name := range []string{"upstream_rq_time", "internal.upstream_rq_time"} {
		if got := fmt.Sprint(b.stats.Recorded("cluster.a." + name)); got != "[7]" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestNoHost(t *testing.T) {
	b := newBench(t, service, grpcclient.Options{Timeout: time.Second}, func(b *bench) { b.cluster.Hosts = nil })
	if got := strings.Join(b.told, "; "); got != "14 no healthy upstream" {
		t.Error(got)
	}
	if b.call.AboveHighWatermark() {
		t.Error("a call that is over waits")
	}
}

func TestNoCluster(t *testing.T) {
	b := &bench{loop: loop.New(1), stats: metrics.New(1)}
	b.cluster = filtertest.NewCluster(b.loop, b.stats, "a", 10)
	clusters := filtertest.Clusters{"a": b.cluster}
	c, _ := (&Clients{Clusters: clusters, Formats: filtertest.Formats{}}).Client(
		&corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "a"}}}, conf.Path{}, new(conf.Errors)), 0
	delete(clusters, "a")
	call := c.Start(b.loop, "/s/m", grpcclient.Options{}, b)
	call.Send([]byte("x"), true)
	call.Cancel()
	if got := strings.Join(b.told, "; "); got != "14 Cluster not available" || call.AboveHighWatermark() {
		t.Error(got)
	}
}

func TestTimeouts(t *testing.T) {
	options := grpcclient.Options{Timeout: time.Second}
	for _, tc := range []struct {
		name      string
		prepare   func(b *bench)
		do        func(b *bench)
		want      string
		hostTimes int
	}{
		{"while it waits", nil, func(*bench) {}, "4 upstream request timeout", 0},
		{"before the response", nil, func(b *bench) { b.stream() }, "4 upstream request timeout", 1},
		{"amid the response", nil, func(b *bench) { b.stream().Respond(false, grpcHeaders...) }, "4 upstream request timeout", 1},
		{"after the end", nil, func(b *bench) { b.stream().Respond(true, ":status", "200", "grpc-status", "0") }, "0 ", 0},
		{"of the cluster", func(b *bench) { b.cluster.Info().MaxStreamDuration = time.Millisecond },
			func(b *bench) { b.stream() }, "4 upstream max stream duration reached", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, service, options, tc.prepare)
			tc.do(b)
			b.loop.Advance(time.Second)
			if got := strings.Join(b.told, "; "); got != tc.want {
				t.Errorf("told %s, want %s", got, tc.want)
			}
			if b.cluster.Last().Open() {
				t.Error("the stream is open")
			}
			if got := b.cluster.Hosts[0].Timeouts; got != tc.hostTimes {
				t.Errorf("%d timeouts of the host", got)
			}
		})
	}
}

func TestWatermarks(t *testing.T) {
	b := newBench(t, service, grpcclient.Options{}, func(b *bench) { b.cluster.Info().PerConnectionBufferLimit = 10 })
	expect := func(above bool, told string) {
		t.Helper()
		if got := strings.Join(b.told, "; "); b.call.AboveHighWatermark() != above || got != told {
			t.Errorf("above %v, told %q", !above, got)
		}
	}
	b.call.Send([]byte("12345"), false)
	expect(false, "")
	b.call.Send([]byte("1"), false)
	expect(true, "")
	a := b.stream()
	expect(false, "sent")
	a.High()
	expect(true, "sent")
	a.Low()
	expect(false, "sent; sent")
	a.High() // nobody asks
	a.Low()
	expect(false, "sent; sent")
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	b := newBench(t, service, grpcclient.Options{}, nil)
	a := b.stream()
	a.Respond(false, grpcHeaders...)
	b.call.(*call).receiver = silent{}
	message, answer := []byte("message"), frame("answer")
	if n := testing.AllocsPerRun(100, func() {
		b.call.Send(message, false)
		a.Body.Drain(a.Body.Len())
		a.Send(answer, false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type silent struct{}

func (silent) OnMessage([]byte)     {}
func (silent) OnSent()              {}
func (silent) OnStatus(int, string) {}
