package router

import (
	"strings"
	"testing"
	"time"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// breaks makes the upstream end the stream before a response.
func breaks(reason httpmsg.ResetReason) func(b *bench) {
	return func(b *bench) { b.get(); b.ready().Break(reason, "") }
}

// fails makes the pool give no stream.
func fails(f upstream.PoolFailure, reason string) func(b *bench) {
	return func(b *bench) { b.get(); b.last().Fail(f, reason) }
}

// TestLocalReplies has every answer that the router makes itself. Status, body,
// flags, details and statistics were read from Envoy.
func TestLocalReplies(t *testing.T) {
	const early = "upstream connect error or disconnect/reset before headers. "
	tests := []struct {
		name   string
		config *routerv3.Router
		setUp  func(b *bench)
		do     func(b *bench)
		want   string
		stats  []string
	}{
		{
			name:  "no route",
			setUp: func(b *bench) { b.route = nil },
			want:  "404 [NR] route_not_found",
			stats: []string{"http.in.no_route=1", "http.in.rq_total=1"},
		},
		{
			name: "direct response",
			setUp: func(b *bench) {
				b.route = &route.Route{Direct: &route.Direct{Status: 200, Body: fixed("hi"), Details: "direct_response"}}
			},
			want:  "200 [-] direct_response\n\nhi",
			stats: []string{"http.in.rq_direct_response=1", "http.in.rq_redirect=0"},
		},
		{
			name: "redirect",
			setUp: func(b *bench) {
				b.route = &route.Route{Direct: &route.Direct{
					Status: 301, Location: func(h *httpmsg.Headers, _ *streaminfo.Stream) string { return "http://x" + h.Get(httpmsg.Path) },
				}}
			},
			want:  "301 [-] direct_response\nlocation: http://x/",
			stats: []string{"http.in.rq_direct_response=1", "http.in.rq_redirect=0"},
		},
		{
			name:  "unknown cluster",
			setUp: func(b *bench) { b.route.Forward.Cluster = "b" },
			want:  "503 [NC] cluster_not_found",
			stats: []string{"http.in.no_cluster=1"},
		},
		{
			name:  "unknown cluster, another status",
			setUp: func(b *bench) { b.route.Forward.Cluster, b.route.Forward.ClusterNotFoundStatus = "b", 404 },
			want:  "404 [NC] cluster_not_found",
			stats: []string{"http.in.no_cluster=1"},
		},
		{
			name:  "cluster header missing",
			setUp: func(b *bench) { b.route.Forward.Cluster, b.route.Forward.ClusterHeader = "", "x-cluster" },
			want:  "503 [NC] cluster_not_found",
			stats: []string{"http.in.no_cluster=1"},
		},
		{
			name:  "maintenance",
			setUp: func(b *bench) { b.ctx.Runtime = filtertest.Runtime{"upstream.maintenance_mode.a": "100"} },
			want:  "503 [UO] maintenance_mode\nx-envoy-overloaded: true\n\nmaintenance mode",
			stats: []string{
				"cluster.a.upstream_rq_maintenance_mode=1", "cluster.a.upstream_rq_503=1", "cluster.a.external.upstream_rq_503=1",
			},
		},
		{
			name:   "maintenance, headers suppressed",
			config: &routerv3.Router{SuppressEnvoyHeaders: true},
			setUp:  func(b *bench) { b.ctx.Runtime = filtertest.Runtime{"upstream.maintenance_mode.a": "100"} },
			want:   "503 [UO] maintenance_mode\n\nmaintenance mode",
		},
		{
			name:   "strict check of headers",
			config: &routerv3.Router{StrictCheckHeaders: []string{"x-envoy-max-retries"}},
			do:     func(b *bench) { b.get("x-envoy-max-retries", "abc") },
			want: "400 [IH] request_headers_failed_strict_check{x-envoy-max-retries}\n\n" +
				"invalid header 'x-envoy-max-retries' with value 'abc'",
			stats: []string{"cluster.a.upstream_rq_completed=0"},
		},
		{
			name:  "no host",
			setUp: func(b *bench) { b.cluster.Hosts = nil },
			want:  "503 [UH] no_healthy_upstream\n\nno healthy upstream",
			stats: []string{"cluster.a.upstream_rq_503=1", "cluster.a.upstream_rq_5xx=1", "cluster.a.upstream_rq_completed=1"},
		},
		{
			name:  "overflow",
			do:    fails(upstream.Overflow, "max_pending_requests"),
			want:  "503 [UO] upstream_reset_before_response_started{overflow}\nx-envoy-overloaded: true\n\n" + early + "reset reason: overflow",
			stats: []string{"cluster.a.upstream_rq_503=1"},
		},
		{
			name: "connection refused",
			do:   fails(upstream.RemoteConnectionFailure, "delayed connect error: Connection refused"),
			want: "503 [UF] upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}\n\n" +
				early + "reset reason: remote connection failure",
			stats: []string{"cluster.a.upstream_rq_503=1", "cluster.a.upstream_rq_completed=1"},
		},
		{
			name: "connect timeout",
			do:   fails(upstream.ConnectTimeout, ""),
			want: "503 [UF] upstream_reset_before_response_started{connection_timeout}\n\n" + early + "reset reason: connection timeout",
		},
		{
			name: "local connection failure",
			do:   fails(upstream.LocalConnectionFailure, ""),
			want: "503 [UF] upstream_reset_before_response_started{local_connection_failure}\n\n" + early + "reset reason: local connection failure",
		},
		{
			name:  "connection terminated",
			do:    breaks(httpmsg.ResetConnectionTermination),
			want:  "503 [UC] upstream_reset_before_response_started{connection_termination}\n\n" + early + "reset reason: connection termination",
			stats: []string{"cluster.a.upstream_rq_503=1"},
		},
		{
			name: "remote reset",
			do:   breaks(httpmsg.ResetRemoteReset),
			want: "503 [UR] upstream_reset_before_response_started{remote_reset}\n\n" + early + "reset reason: remote reset",
		},
		{
			name: "stream refused",
			do:   breaks(httpmsg.ResetRemoteRefusedStream),
			want: "503 [UR] upstream_reset_before_response_started{remote_refused_stream_reset}\n\n" + early + "reset reason: remote refused stream reset",
		},
		{
			name: "local reset",
			do:   breaks(httpmsg.ResetLocalReset),
			want: "503 [LR] upstream_reset_before_response_started{local_reset}\n\n" + early + "reset reason: local reset",
		},
		{
			name:  "protocol error",
			do:    breaks(httpmsg.ResetProtocolError),
			want:  "502 [UPE] upstream_reset_before_response_started{protocol_error}\n\n" + early + "reset reason: protocol error",
			stats: []string{"cluster.a.upstream_rq_502=1", "cluster.a.upstream_rq_5xx=1"},
		},
		{
			name: "upstream dies in the body",
			do: func(b *bench) {
				b.get()
				a := b.ready()
				a.Respond(false, ":status", "200")
				a.Send("half", false)
				a.Break(httpmsg.ResetProtocolError, "")
			},
			want:  "reset: local reset [UPE] upstream_reset_after_response_started{protocol_error}\nx-envoy-upstream-service-time: 0\n\nhalf",
			stats: []string{"cluster.a.upstream_rq_200=1", "cluster.a.upstream_rq_502=0"},
		},
		{
			name:  "route timeout",
			do:    func(b *bench) { b.get(); b.ready(); b.loop.Advance(15 * time.Second) },
			want:  "504 [UT] response_timeout\n\nupstream request timeout",
			stats: []string{"cluster.a.upstream_rq_timeout=1", "cluster.a.upstream_rq_504=1"},
		},
		{
			name: "route timeout, another status",
			do: func(b *bench) {
				b.get("x-envoy-upstream-rq-timeout-alt-response", "1")
				b.ready()
				b.loop.Advance(15 * time.Second)
			},
			want:  "204 [UT] response_timeout",
			stats: []string{"cluster.a.upstream_rq_timeout=1", "cluster.a.upstream_rq_204=1"},
		},
		{
			name: "per try timeout",
			setUp: retryPolicy(route.RetryPolicy{
				On: route.RetryConnectFailure, PerTryTimeout: time.Second,
			}),
			do:    func(b *bench) { b.get(); b.ready(); b.loop.Advance(time.Second) },
			want:  "504 [UT] upstream_per_try_timeout\n\nupstream request timeout",
			stats: []string{"cluster.a.upstream_rq_per_try_timeout=1", "cluster.a.upstream_rq_504=1", "cluster.a.upstream_rq_timeout=0"},
		},
		{
			name:  "per try idle timeout",
			setUp: retryPolicy(route.RetryPolicy{PerTryIdleTimeout: time.Second}),
			do:    func(b *bench) { b.get(); b.ready(); b.loop.Advance(time.Second) },
			want:  "504 [UT] upstream_per_try_idle_timeout\n\nupstream request timeout",
			stats: []string{"cluster.a.upstream_rq_per_try_idle_timeout=1", "cluster.a.upstream_rq_504=1"},
		},
		{
			name: "maximal stream duration",
			do: func(b *bench) {
				b.get("x-envoy-upstream-stream-duration-ms", "120")
				b.ready()
				b.loop.Advance(120 * time.Millisecond)
			},
			want:  "504 [UMSDR] upstream_max_stream_duration_reached\n\nupstream max stream duration reached",
			stats: []string{"cluster.a.upstream_rq_max_duration_reached=1", "cluster.a.upstream_rq_504=0"},
		},
		{
			name: "maximal stream duration, request not complete",
			do: func(b *bench) {
				b.post("x-envoy-upstream-stream-duration-ms", "120")
				b.ready()
				b.loop.Advance(120 * time.Millisecond)
			},
			want:  "408 [UMSDR] upstream_max_stream_duration_reached\n\nupstream max stream duration reached",
			stats: []string{"cluster.a.upstream_rq_max_duration_reached=1"},
		},
		{
			name: "headers that cannot be sent",
			do: func(b *bench) {
				b.get()
				b.last().RefuseHeaders = "missing required header: :path"
				b.last().Ready()
			},
			want: "503 [DPE] filter_removed_required_request_headers{missing_required_header:_:path}\n\nmissing required header: :path",
		},
		{
			name:   "early data of CONNECT",
			config: &routerv3.Router{RejectConnectRequestEarlyData: wrap(true)},
			do: func(b *bench) {
				b.stream.Request(false, ":method", "CONNECT", ":authority", "host:443")
				b.ready()
				b.stream.Body("EARLY", false)
			},
			want: "400 [-] early_connect_data",
		},
		{
			name: "attempt count asked for",
			setUp: func(b *bench) {
				b.route.VirtualHost.IncludeAttemptCountInResponse = true
				b.cluster.Hosts = nil
			},
			want: "503 [UH] no_healthy_upstream\nx-envoy-attempt-count: 1\n\nno healthy upstream",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.config, tt.setUp)
			if tt.do == nil {
				tt.do = func(b *bench) { b.get() }
			}
			tt.do(b)
			b.wantReply(tt.want)
			b.wantStats(tt.stats...)
			if !b.stream.Destroyed {
				t.Error("the stream goes on")
			}
		})
	}
}

// TestOverflowIsLogged: operators want to know which circuit breaker it was.
func TestOverflowIsLogged(t *testing.T) {
	b := newBench(t, nil, nil)
	fails(upstream.Overflow, "max_requests")(b)
	want := "debug cluster a: circuit breaker max_requests of priority default is open"
	if got := strings.Join(b.log.Lines, "\n"); got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

// TestHostOutcomes: each attempt tells its host once how it went.
func TestHostOutcomes(t *testing.T) {
	grpc := []string{"content-type", "application/grpc"}
	tests := []struct {
		name     string
		do       func(b *bench)
		want     []int
		timeouts int
	}{
		{"ok", func(b *bench) { b.get(); b.ready().Respond(true, ":status", "200") }, []int{200}, 0},
		{"error", func(b *bench) { b.get(); b.ready().Respond(true, ":status", "500") }, []int{500}, 0},
		{"reset", breaks(httpmsg.ResetConnectionTermination), []int{503}, 0},
		{"timeout", func(b *bench) { b.get(); b.ready(); b.loop.Advance(time.Minute) }, []int{504}, 1},
		{"client leaves", func(b *bench) { b.get(); b.ready(); b.stream.Leave() }, nil, 0},
		{"grpc status in headers", func(b *bench) { b.get(grpc...); b.ready().Respond(true, ":status", "200", "grpc-status", "14") }, []int{503}, 0},
		{"grpc status in trailers", func(b *bench) {
			b.get(grpc...)
			a := b.ready()
			a.Respond(false, ":status", "200")
			a.Send("x", false)
			a.SendTrailers("grpc-status", "0")
		}, []int{200}, 0},
		{"grpc without status", func(b *bench) {
			b.get(grpc...)
			a := b.ready()
			a.Respond(false, ":status", "200")
			a.Send("x", true)
		}, []int{500}, 0},
		{"grpc reset in the body", func(b *bench) {
			b.get(grpc...)
			a := b.ready()
			a.Respond(false, ":status", "200")
			a.Break(httpmsg.ResetRemoteReset, "")
			b.wantStats("http.in.rq_reset_after_downstream_response_started=1")
		}, []int{503}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil, nil)
			tt.do(b)
			host := b.cluster.Hosts[0]
			if len(host.Responses) != len(tt.want) || len(tt.want) > 0 && host.Responses[0] != tt.want[0] || host.Timeouts != tt.timeouts {
				t.Errorf("outcomes %v and %d timeouts, want %v and %d", host.Responses, host.Timeouts, tt.want, tt.timeouts)
			}
		})
	}
}

// TestUpstreamLogs: an entry for each attempt, and one for each stream if asked for.
func TestUpstreamLogs(t *testing.T) {
	var lines []string
	logger := logFunc(func(e *format.Entry) {
		status := "-"
		if e.Response != nil {
			status = e.Response.Get(httpmsg.Status)
		}
		lines = append(lines, e.Type.String()+" "+status+" "+string(e.Stream.Flags.Append(nil)))
	})
	m := &routerv3.Router{
		UpstreamLog:        nil,
		UpstreamLogOptions: &routerv3.Router_UpstreamAccessLogOptions{FlushUpstreamLogOnUpstreamStream: true},
	}
	m.UpstreamLog = append(m.UpstreamLog, anyLog())
	b := newBench(t, m, func(b *bench) {
		retryPolicy(route.RetryPolicy{On: route.Retry5xx, NumRetries: 1})(b)
		b.ctx.AccessLogs = filtertest.Loggers{logger}
	})
	b.get()
	b.ready().Break(httpmsg.ResetConnectionTermination, "")
	b.loop.Advance(time.Second)
	b.ready().Respond(true, ":status", "200")
	want := "UpstreamPoolReady - -\nUpstreamEnd - UC\nUpstreamPoolReady - -\nUpstreamEnd 200 -"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
