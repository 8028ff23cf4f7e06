package e2e

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// A logService is an access log service of grpc-go. It passes on what it is told.
type logService struct {
	servicev3.UnimplementedAccessLogServiceServer
	addr     string
	server   *grpc.Server
	headers  chan metadata.MD
	messages chan *servicev3.StreamAccessLogsMessage
}

func (s *logService) StreamAccessLogs(stream servicev3.AccessLogService_StreamAccessLogsServer) error {
	headers, _ := metadata.FromIncomingContext(stream.Context())
	s.headers <- headers
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		s.messages <- m
	}
}

// serve starts the service on its address, any at first.
func (s *logService) serve(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr, s.server = l.Addr().String(), grpc.NewServer()
	servicev3.RegisterAccessLogServiceServer(s.server, s)
	go func() { _ = s.server.Serve(l) }()
}

// next returns the next of what the service is told.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("the service was told nothing")
		panic("not reached")
	}
}

// TestGRPCAccessLogs logs requests and connections to a service of grpc-go, which goes
// away and comes back.
func TestGRPCAccessLogs(t *testing.T) {
	t.Parallel()
	s := &logService{addr: "127.0.0.1:0", headers: make(chan metadata.MD, 10), messages: make(chan *servicev3.StreamAccessLogsMessage, 10)}
	s.serve(t)
	_, port, _ := net.SplitHostPort(s.addr)
	logger := func(kind, name string) string {
		return `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.` + kind +
			`GrpcAccessLogConfig, common_config: {log_name: ` + name + `, transport_api_version: V3, buffer_size_bytes: 0, buffer_flush_interval: 0.02s,` +
			` grpc_service: {envoy_grpc: {cluster_name: logs}, initial_metadata: [{key: x-token, value: secret}]}}}}]`
	}
	p := run(t, setup{
		listeners: []listener{
			{name: "http", filters: []string{`{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, ` +
				logger("Http", "requests") + `, http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],` +
				` route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{name: r, match: {prefix: /}, direct_response: {status: 418}}]}]}}}`}},
			{name: "tcp", filters: []string{`{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: none, ` +
				logger("Tcp", "connections") + `}}`}},
		},
		clusters: []cluster{{name: "none"}, {name: "logs", dead: []string{port}, fields: `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: ` +
			`{"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}, http_filters: [` +
			`{name: mutation, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, ` +
			`mutations: {request_mutations: [{append: {header: {key: x-filtered, value: "%UPSTREAM_CLUSTER% %UPSTREAM_HOST%"}}}]}}}, ` +
			`{name: codec, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}}]}}`}},
		fields: "node: {id: here, cluster: c}",
	})
	t.Cleanup(func() { s.server.Stop() })

	ask := func(listener, request string) {
		t.Helper()
		c, err := net.Dial("tcp", p.addr(listener))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(c)
	}
	const request = "GET /path HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\nConnection: close\r\n\r\n"
	wantRequest := func() {
		t.Helper()
		m := next(t, s.messages)
		if id := m.GetIdentifier(); id.GetLogName() != "requests" || id.GetNode().GetId() != "here" {
			t.Errorf("identifier %v", id)
		}
		entries := m.GetHttpLogs().GetLogEntry()
		if len(entries) != 1 {
			t.Fatalf("%d entries", len(entries))
		}
		e := entries[0]
		if e.GetRequest().GetPath() != "/path" || e.GetResponse().GetResponseCode().GetValue() != 418 || e.GetCommonProperties().GetRouteName() != "r" {
			t.Errorf("entry %v", e)
		}
	}

	ask("http", request)
	wantRequest()
	headers := next(t, s.headers)
	for name, want := range map[string]string{
		"x-token": "secret", "x-envoy-internal": "true", ":authority": "logs", "content-type": "application/grpc", "grpc-timeout": "",
		"x-filtered": "logs " + s.addr, // by a filter of the cluster
	} {
		if got := strings.Join(headers.Get(name), ","); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	ask("tcp", "")
	m := next(t, s.messages)
	if m.GetIdentifier().GetLogName() != "connections" || len(m.GetTcpLogs().GetLogEntry()) != 1 ||
		!m.GetTcpLogs().GetLogEntry()[0].GetCommonProperties().GetResponseFlags().GetNoHealthyUpstream() {
		t.Errorf("message %v", m)
	}

	s.server.Stop()
	p.wantStats(map[string]int64{"cluster.logs.upstream_rq_active": 0})
	s.serve(t)
	ask("http", request) // another worker may have it, with a stream of its own
	wantRequest()
	p.wantStats(map[string]int64{
		"access_logs.grpc_access_log.logs_written": 3, "access_logs.grpc_access_log.logs_dropped": 0,
		"access_logs.grpc_access_log.grpc_entries_flushed": 3,
	})
}
