package tcpproxy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A bench is a filter between two fake connections.
type bench struct {
	t       *testing.T
	loop    *loop.Fake
	stats   *metrics.Scope
	cluster *cluster
	build   network.FilterBuilder
	down    *connection.Fake
	drain   drain // of the listener
	logs    []string
}

// A cluster gives connections when the test says so; those that answers lists, at
// once.
type cluster struct {
	*httpfilter.Cluster
	answers []upstream.PoolFailure // at once, in order
	asked   int
	waiting upstream.ConnectionPoolCallbacks
	up      *connection.Fake
	gone    int // cancelled
	pick    upstream.Pick
}

func (c *cluster) NewConnection(_ event.Dispatcher, p *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	c.asked++
	c.pick = *p
	if len(c.answers) == 0 {
		c.waiting = cb
		return c
	}
	why := c.answers[0]
	c.answers = c.answers[1:]
	c.fail(cb, why)
	return nil
}

func (c *cluster) fail(cb upstream.ConnectionPoolCallbacks, why upstream.PoolFailure) {
	var host upstream.Host
	if why != upstream.NoHealthyHost {
		host = c.Hosts[0]
	}
	reason := ""
	if why == upstream.RemoteConnectionFailure {
		reason = "delayed connect error: Connection refused"
	}
	cb.OnConnectionFailure(why, reason, host)
}

func (c *cluster) Cancel() { c.gone++; c.waiting = nil }

type clusters map[string]*cluster

func (c clusters) Known(name string) bool { return c[name] != nil }

func (c clusters) Get(name string) upstream.Cluster {
	if found := c[name]; found != nil {
		return found
	}
	return nil
}

func newBench(t *testing.T, text string) *bench {
	t.Helper()
	return newBenchAnswering(t, text, nil, false)
}

// newBenchAnswering makes a bench whose cluster answers as listed: at once, or one
// call after the other.
func newBenchAnswering(t *testing.T, text string, answers []upstream.PoolFailure, later bool) *bench {
	t.Helper()
	msg := &tcpv3.TcpProxy{}
	if err := prototext.Unmarshal([]byte(text), msg); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, loop: loop.New(1), stats: metrics.New(1)}
	b.cluster = &cluster{Cluster: httpfilter.NewCluster(b.loop, b.stats, "c", 10)}
	if !later {
		b.cluster.answers = answers
	}
	var errs conf.Errors
	b.build = Factory{}.BuildNetworkFilter(msg, extension.NetworkContext{Context: extension.Context{
		Stats: b.stats, Clusters: clusters{"c": b.cluster}, AccessLogs: httpfilter.Loggers{b}, Formats: httpfilter.Formats{}},
		Listener: extension.Listener{Drain: &b.drain}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	b.down = connection.New(b.loop)
	b.build(b.down, b.down)
	b.down.Start()
	for i := 0; later && i < len(answers) && b.cluster.waiting != nil; i++ {
		cb := b.cluster.waiting
		b.cluster.waiting = nil
		b.cluster.fail(cb, answers[i])
	}
	t.Cleanup(func() {
		b.down.Raise(network.RemoteClose)
		if up := b.cluster.up; up != nil {
			up.Raise(network.LocalClose)
		}
		if n := b.loop.ArmedTimers(); n != 0 {
			t.Errorf("%d timers are armed", n)
		}
		if n := b.loop.Buffers().InUse(); n != 0 {
			t.Errorf("%d blocks are in use", n)
		}
		if n := b.stats.Value("tcp.p.upstream_flush_active"); n != 0 {
			t.Errorf("upstream_flush_active is %d", n)
		}
	})
	return b
}

// TestFilterStateObjects: what earlier filters left changes cluster and idle timeout.
func TestFilterStateObjects(t *testing.T) {
	for _, tc := range []struct {
		key    string
		object any
		closed time.Duration // when; 0 for not
		asked  int
	}{
		{"none", 1, 0, 1},
		{filterstate.TCPProxyCluster, filterstate.Text("nowhere"), time.Nanosecond, 0},
		{filterstate.TCPProxyCluster, "of another type", 0, 1},
		{filterstate.TCPProxyIdleTimeout, filterstate.Uint64(100), 100 * time.Millisecond, 1},
		{filterstate.TCPProxyIdleTimeout, filterstate.Uint64(math.MaxUint64), 0, 1},
	} {
		b := newBench(t, `stat_prefix: "p" cluster: "c" idle_timeout {seconds: 60}`)
		down := connection.New(b.loop)
		down.Info().SetFilterState(tc.key, tc.object)
		b.cluster.asked = 0
		b.build(down, down)
		down.Start()
		if b.cluster.asked != tc.asked {
			t.Errorf("%s %v: asked %d times", tc.key, tc.object, b.cluster.asked)
		}
		if tc.asked > 0 {
			b.connect()
		}
		b.loop.Advance(30 * time.Second)
		if down.WasClosed != (tc.closed > 0) {
			t.Errorf("%s %v: closed %v", tc.key, tc.object, down.WasClosed)
		}
		down.Raise(network.RemoteClose)
	}
}

// connect makes the upstream connection.
func (b *bench) connect() *connection.Fake {
	b.t.Helper()
	if b.cluster.waiting == nil {
		b.t.Fatal("no upstream connection is asked for")
	}
	up := connection.New(b.loop)
	b.cluster.up = up
	b.cluster.waiting.OnConnectionReady(up, b.cluster.Hosts[0])
	b.cluster.waiting = nil
	up.Start()
	b.loop.Run()
	return up
}

func (b *bench) Log(e *format.Entry) {
	s := e.Stream
	b.logs = append(b.logs, fmt.Sprintf("%s flags=%s attempts=%d cluster=%s host=%s failure=%s reason=%s upstream_reason=%s rx=%d tx=%d up=%d/%d",
		e.Type, s.Flags.Append(nil), s.AttemptCount, s.Upstream.Cluster, s.Upstream.Host, s.Upstream.FailureReason,
		s.Downstream.LocalCloseReason, s.Upstream.LocalCloseReason, s.BytesReceived, s.BytesSent,
		s.Upstream.Bytes.Received, s.Upstream.Bytes.Sent))
}

func (b *bench) wantLog(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.logs, want) {
		b.t.Errorf("logged\n%s\nwant\n%s", strings.Join(b.logs, "\n"), strings.Join(want, "\n"))
	}
}

func (b *bench) wantStats(want map[string]uint64) {
	b.t.Helper()
	for name, v := range want {
		if got := b.stats.Value(name); got != v {
			b.t.Errorf("%s is %d, want %d", name, got, v)
		}
	}
}

const plain = `stat_prefix: "p" cluster: "c" `

func TestProxy(t *testing.T) {
	b := newBench(t, plain)
	b.down.Receive("early", false)
	if b.down.ReadDisabled != 1 || b.down.Unread() != "early" || !b.down.HalfClose {
		t.Errorf("before the upstream is up: disabled %d, unread %q", b.down.ReadDisabled, b.down.Unread())
	}
	up := b.connect()
	if up.Output != "early" || b.down.ReadDisabled != 0 || !up.HalfClose {
		t.Errorf("upstream got %q", up.Output)
	}
	up.Receive("answer", false)
	b.down.Receive(" and late", true)
	if b.down.Output != "answer" || up.Output != "early and late" || !up.OutputEnded || b.down.OutputEnded {
		t.Errorf("%q, %q", b.down.Output, up.Output)
	}
	up.Receive(" end", true)
	if b.down.Output != "answer end" || !b.down.OutputEnded {
		t.Errorf("%q, %v", b.down.Output, b.down.OutputEnded)
	}
	b.down.Raise(network.RemoteClose)
	if up.CloseType != network.FlushWrite || up.CloseDetails != remoteCloseDetails {
		t.Errorf("upstream closed %v, %s", up.CloseType, up.CloseDetails)
	}
	b.wantLog("TcpConnectionEnd flags=- attempts=1 cluster=c host=127.0.0.1:8001 failure= reason= upstream_reason= rx=14 tx=10 up=10/14")
	b.wantStats(map[string]uint64{"tcp.p.downstream_cx_total": 1})
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, config string
		answers      []upstream.PoolFailure
		log          string
		stat         string
	}{
		{"no cluster", `stat_prefix: "p" cluster: "none"`, nil,
			"flags=NC attempts=0 cluster= host= failure= reason=tcp_initializion_failure:3", "tcp.p.downstream_cx_no_route"},
		{"no host", plain, []upstream.PoolFailure{upstream.NoHealthyHost},
			"flags=UH attempts=0 cluster=c host= failure= reason=tcp_initializion_failure:1", ""},
		{"overflow", plain, []upstream.PoolFailure{upstream.Overflow},
			"flags=UO attempts=0 cluster=c host= failure= reason=tcp_initializion_failure:2", ""},
		{"refused", plain, []upstream.PoolFailure{upstream.RemoteConnectionFailure},
			"flags=UF,URX attempts=1 cluster=c host=127.0.0.1:8001 failure=delayed connect error: Connection refused reason=tcp_initializion_failure:0",
			"cluster.c.upstream_cx_connect_attempts_exceeded"},
		{"timeout", plain, []upstream.PoolFailure{upstream.ConnectTimeout},
			"flags=UF,URX attempts=1 cluster=c host=127.0.0.1:8001 failure= reason=tcp_initializion_failure:0",
			"cluster.c.upstream_cx_connect_attempts_exceeded"},
		{"retried", plain + "max_connect_attempts {value: 3}", []upstream.PoolFailure{
			upstream.ConnectTimeout, upstream.LocalConnectionFailure, upstream.ConnectTimeout},
			"flags=UF,URX attempts=3 cluster=c host=127.0.0.1:8001 failure= reason=tcp_initializion_failure:0",
			"cluster.c.upstream_cx_connect_attempts_exceeded"},
		{"retried, then none", plain + "max_connect_attempts {value: 3}", []upstream.PoolFailure{
			upstream.RemoteConnectionFailure, upstream.NoHealthyHost},
			"flags=UH,UF attempts=1 cluster=c host=127.0.0.1:8001 failure=delayed connect error: Connection refused reason=tcp_initializion_failure:1", ""},
	} {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s later=%v", c.name, later), func(t *testing.T) {
				b := newBenchAnswering(t, c.config, c.answers, later)
				if !b.down.WasClosed || b.down.CloseType != network.NoFlush || b.down.ReadDisabled != 1 {
					t.Errorf("%v, %v, disabled %d", b.down.WasClosed, b.down.CloseType, b.down.ReadDisabled)
				}
				b.wantLog("TcpConnectionEnd " + c.log + " upstream_reason= rx=0 tx=0 up=0/0")
				if c.stat != "" {
					b.wantStats(map[string]uint64{c.stat: 1})
				}
			})
		}
	}
}

func TestRetrySucceeds(t *testing.T) {
	b := newBench(t, plain+"max_connect_attempts {value: 2}")
	b.cluster.fail(b.cluster.waiting, upstream.RemoteConnectionFailure)
	b.down.Receive("x", false)
	if up := b.connect(); up.Output != "x" || b.cluster.asked != 2 {
		t.Errorf("%q after %d attempts", up.Output, b.cluster.asked)
	}
	b.down.Raise(network.RemoteClose)
	b.wantLog("TcpConnectionEnd flags=UF attempts=2 cluster=c host=127.0.0.1:8001 failure=delayed connect error: Connection refused " +
		"reason= upstream_reason= rx=1 tx=0 up=0/1")
}

func TestCancel(t *testing.T) {
	b := newBench(t, plain)
	b.down.Raise(network.RemoteClose)
	if b.cluster.gone != 1 {
		t.Errorf("cancelled %d times", b.cluster.gone)
	}
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		name      string
		end       func(b *bench)
		down, up  network.CloseType
		flags     string
		upDetails string
	}{
		{"upstream closes", func(b *bench) { b.cluster.up.Raise(network.RemoteClose) }, network.FlushWrite, 0, "-", ""},
		{"upstream resets", func(b *bench) {
			b.cluster.up.Info().CloseType = streaminfo.CloseRemoteReset
			b.cluster.up.Raise(network.RemoteClose)
		}, network.AbortReset, 0, "UR", ""},
		{"downstream closes", func(b *bench) { b.down.Raise(network.RemoteClose) }, 0, network.FlushWrite, "-", remoteCloseDetails},
		{"downstream resets", func(b *bench) {
			b.down.Info().CloseType = streaminfo.CloseRemoteReset
			b.down.Raise(network.RemoteClose)
		}, 0, network.AbortReset, "-", resetDetails},
		{"another filter closes", func(b *bench) { b.down.Close(network.FlushWrite, "x") }, network.FlushWrite, network.NoFlush, "-", localCloseDetails},
		{"idle", func(b *bench) { b.loop.Advance(time.Hour) }, network.NoFlush, network.NoFlush, "-", idleDetails},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, plain)
			up := b.connect()
			c.end(b)
			if b.down.CloseType != c.down || up.CloseType != c.up || up.CloseDetails != c.upDetails {
				t.Errorf("downstream %v, upstream %v, %s", b.down.CloseType, up.CloseType, up.CloseDetails)
			}
			if len(b.logs) != 1 || !strings.Contains(b.logs[0], "flags="+c.flags+" ") {
				t.Errorf("logged %q", b.logs)
			}
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	b := newBench(t, plain+"idle_timeout {seconds: 10}")
	b.loop.Advance(time.Minute) // it does not count before the upstream is up
	up := b.connect()
	for i := range 4 {
		b.loop.Advance(9 * time.Second)
		if i%2 == 0 {
			b.down.Receive("x", false)
		} else {
			up.Receive("y", false)
		}
	}
	b.loop.Advance(9 * time.Second)
	if b.down.WasClosed {
		t.Error("closed though active")
	}
	b.loop.Advance(time.Second)
	if !b.down.WasClosed || b.down.CloseDetails != idleDetails || up.CloseDetails != idleDetails {
		t.Errorf("%v, %s, %s", b.down.WasClosed, b.down.CloseDetails, up.CloseDetails)
	}
	b.wantStats(map[string]uint64{"tcp.p.idle_timeout": 1})
	b.wantLog("TcpConnectionEnd flags=- attempts=1 cluster=c host=127.0.0.1:8001 failure= reason=tcp_session_idle_timeout " +
		"upstream_reason=tcp_session_idle_timeout rx=2 tx=2 up=2/2")
}

func TestMaxDuration(t *testing.T) {
	b := newBench(t, plain+"max_downstream_connection_duration {seconds: 10}")
	up := b.connect()
	b.loop.Advance(9 * time.Second)
	b.down.Receive("x", false)
	b.loop.Advance(time.Second)
	if b.down.CloseDetails != durationDetails || up.CloseDetails != durationDetails {
		t.Errorf("%s, %s", b.down.CloseDetails, up.CloseDetails)
	}
	if !strings.Contains(b.logs[0], "flags=DT ") {
		t.Error(b.logs)
	}
	b.wantStats(map[string]uint64{"tcp.p.max_downstream_connection_duration": 1})

	b = newBench(t, plain+`max_downstream_connection_duration {seconds: 10}
		max_downstream_connection_duration_jitter_percentage {value: 50}`)
	b.loop.Advance(10 * time.Second)
	if b.down.WasClosed {
		t.Error("no jitter")
	}
	b.loop.Advance(5 * time.Second)
	if !b.down.WasClosed {
		t.Error("too much jitter")
	}
}

func TestBackPressure(t *testing.T) {
	b := newBench(t, plain)
	up := b.connect()
	b.down.SetHigh(true)
	if up.ReadDisabled != 1 {
		t.Errorf("upstream disabled %d", up.ReadDisabled)
	}
	b.down.SetHigh(false)
	up.SetHigh(true)
	if up.ReadDisabled != 0 || b.down.ReadDisabled != 1 {
		t.Errorf("disabled %d, %d", up.ReadDisabled, b.down.ReadDisabled)
	}
	up.SetHigh(false)
	if b.down.ReadDisabled != 0 {
		t.Errorf("downstream disabled %d", b.down.ReadDisabled)
	}
	b.wantStats(map[string]uint64{"tcp.p.downstream_flow_control_paused_reading_total": 1,
		"tcp.p.downstream_flow_control_resumed_reading_total": 1, "cluster.c.upstream_flow_control_paused_reading_total": 1,
		"cluster.c.upstream_flow_control_resumed_reading_total": 1})
}

func TestAccessLogs(t *testing.T) {
	types := func(b *bench) string {
		var all []string
		for _, l := range b.logs {
			all = append(all, strings.Fields(l)[0])
		}
		return strings.Join(all, " ")
	}
	for config, want := range map[string]string{
		"": "TcpConnectionEnd",
		`access_log_options {flush_access_log_on_connected: true flush_access_log_on_start: true access_log_flush_interval {seconds: 2}}`: "TcpConnectionStart TcpUpstreamConnected TcpPeriodic TcpPeriodic TcpConnectionEnd",
		`flush_access_log_on_connected: true access_log_flush_interval {seconds: 4}`:                                                      "TcpUpstreamConnected TcpPeriodic TcpConnectionEnd",
		`flush_access_log_on_connected: true access_log_options {}`:                                                                       "TcpConnectionEnd",
	} {
		b := newBench(t, plain+config)
		b.connect()
		b.loop.Advance(5 * time.Second)
		b.down.Raise(network.RemoteClose)
		if got := types(b); got != want {
			t.Errorf("%s: %s", config, got)
		}
	}
}

func TestWeights(t *testing.T) {
	c := &config{routes: []route{{"a", 1}, {"b", 2}, {"c", 7}}, totalWeight: 10}
	got := ""
	for n := range uint64(20) {
		got += c.pick(n)
	}
	if got != "abbcccccccabbccccccc" {
		t.Error(got)
	}
}

func TestUpstreamChoice(t *testing.T) {
	b := newBench(t, `stat_prefix: "p" cluster: "none"`)
	down := connection.New(b.loop)
	down.AddReadFilter(chooser{})
	b.build(down, down)
	down.Start()
	if b.cluster.asked != 1 {
		t.Error("the cluster that a filter chose is not asked")
	}
	down.Raise(network.RemoteClose)
}

type chooser struct{ network.ReadFilter }

func (chooser) InitializeRead(cb network.ReadCallbacks) { cb.Upstream().Cluster = "c" }
func (chooser) OnNewConnection() network.FilterStatus   { return network.Continue }

func TestStatNames(t *testing.T) {
	b := newBench(t, plain)
	want := strings.Fields(`downstream_cx_drain_close downstream_cx_no_route downstream_cx_overload_close
		downstream_cx_rx_bytes_buffered downstream_cx_rx_bytes_total downstream_cx_total downstream_cx_tx_bytes_buffered
		downstream_cx_tx_bytes_total downstream_flow_control_paused_reading_total
		downstream_flow_control_resumed_reading_total early_data_received_count_total idle_timeout
		max_downstream_connection_duration route_delayed_total upstream_flush_active upstream_flush_total`)
	var got []string
	for _, name := range b.stats.Names() {
		if name, ok := strings.CutPrefix(name, "tcp.p."); ok {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{``, "stat_prefix: must not be empty\n: one of cluster and weighted_clusters must be set"},
		{`stat_prefix: "p" weighted_clusters {}`, "weighted_clusters.clusters: must not be empty"},
		{`stat_prefix: "p" weighted_clusters {clusters {}}`,
			"weighted_clusters.clusters[0].name: must not be empty\nweighted_clusters.clusters[0].weight: must be greater than 0"},
		{plain + `max_connect_attempts {value: 0}`, "max_connect_attempts: must be greater than 0"},
		{plain + `max_downstream_connection_duration {nanos: 1}`, "max_downstream_connection_duration: must be at least 1ms, is 1ns"},
		{plain + `proxy_protocol_tlvs {type: 256}`,
			"proxy_protocol_tlvs[0].type: must be less than 256\nproxy_protocol_tlvs[0]: one of value and format_string must be set"},
		{plain + `proxy_protocol_tlvs {value: "x" format_string {}}`, "proxy_protocol_tlvs[0]: only one of value and format_string may be set"},
		{plain + `on_demand {}`, "on_demand: field on_demand is not implemented"},
		{plain + `tunneling_config {post_path: "/"}`,
			"tunneling_config.hostname: must not be empty\ntunneling_config.post_path: Can't set a post path when POST method isn't used"},
		{plain + `tunneling_config {hostname: "%NONE%"}`, "tunneling_config.hostname: unknown operator NONE"},
		{plain + `tunneling_config {hostname: "a" headers_to_add {header {key: "host"}}}`,
			"tunneling_config.headers_to_add[0].header.key: :-prefixed or host headers may not be modified"},
		{plain + `upstream_connect_mode: ON_DOWNSTREAM_DATA`,
			"max_early_data_bytes: must be set when upstream_connect_mode is not IMMEDIATE"},
		{plain + `upstream_connect_mode: 9 max_early_data_bytes {}`, "upstream_connect_mode: 9 is not a mode"},
		{plain + `backoff_options {}`, "backoff_options.base_interval: must be set"},
		{plain + `backoff_options {base_interval {seconds: 2} max_interval {seconds: 1}}`,
			"backoff_options.max_interval: must not be less than base_interval"},
		{plain + `hash_policy {} hash_policy {}`, "hash_policy: must not have more than one policy\nhash_policy[0]: one of source_ip, filter_state is required"},
		{plain + `hash_policy {filter_state {}}`, "hash_policy[0].filter_state.key: must not be empty"},
	} {
		msg := &tcpv3.TcpProxy{}
		if err := prototext.Unmarshal([]byte(c.config), msg); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		build := Factory{}.BuildNetworkFilter(msg, extension.NetworkContext{Context: extension.Context{AccessLogs: httpfilter.Loggers{}, Formats: httpfilter.Formats{}}}, conf.Path{}, &errs)
		if build != nil || errs.Error() != strings.ReplaceAll(c.want, "\n: ", "\n") {
			t.Errorf("%s: got %s", c.config, errs)
		}
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
