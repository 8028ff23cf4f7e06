package grpcaccesslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

type server struct{ extension.Server }

func (server) Node() *corev3.Node { return &corev3.Node{Id: "node"} }

// A service is grpcclient.Clients, its client and each of its calls. It notes what
// happens, a word each.
type service struct {
	t        testing.TB
	events   []string
	receiver grpcclient.Receiver
	refuse   bool // calls end at once
	above    bool
}

func (s *service) Client(msg *corev3.GrpcService, path conf.Path, errs *conf.Errors) grpcclient.Client {
	if msg.GetEnvoyGrpc().GetClusterName() == "" {
		errs.Add(path, "bad service")
		return nil
	}
	return s
}

func (s *service) Start(_ event.Dispatcher, name string, o grpcclient.Options, r grpcclient.Receiver) grpcclient.Call {
	if name != method || o != (grpcclient.Options{}) {
		s.t.Errorf("call of %s with %v", name, o)
	}
	s.events, s.receiver = append(s.events, "start"), r
	if s.refuse {
		r.OnStatus(grpcclient.Unavailable, "no")
	}
	return s
}

func (s *service) Send(message []byte, end bool) {
	m := &servicev3.StreamAccessLogsMessage{}
	if err := proto.Unmarshal(message, m); err != nil || end {
		s.t.Errorf("message %v, end %v", err, end)
	}
	text := ""
	if id := m.GetIdentifier(); id != nil {
		text = id.GetNode().GetId() + "/" + id.GetLogName() + ":"
	}
	for _, e := range m.GetHttpLogs().GetLogEntry() {
		text += e.GetCommonProperties().GetRouteName()
	}
	for _, e := range m.GetTcpLogs().GetLogEntry() {
		text += "tcp-" + e.GetCommonProperties().GetRouteName()
	}
	s.events = append(s.events, text)
}
func (s *service) AboveHighWatermark() bool { return s.above }
func (s *service) Cancel()                  { s.events = append(s.events, "cancel") }

// A bench is a logger with its loop and service.
type bench struct {
	service
	loop   *loop.Fake
	stats  *metrics.Scope
	logger accesslog.Logger
}

func newBench(t testing.TB, config string, build func(*grpcv3.CommonGrpcAccessLogConfig, extension.Context, *conf.Errors) accesslog.Logger) *bench {
	t.Helper()
	b := &bench{service: service{t: t}, loop: loop.New(1), stats: metrics.New(1)}
	msg := &grpcv3.CommonGrpcAccessLogConfig{}
	if err := protojson.Unmarshal([]byte(config), msg); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	b.logger = build(msg, extension.Context{
		Stats: b.stats, Server: server{}, GRPC: &b.service, Workers: []event.Dispatcher{b.loop}, Formats: filtertest.Formats{},
	}, &errs)
	if errs != nil {
		t.Fatal(errs)
	}
	return b
}

func http(cfg *grpcv3.CommonGrpcAccessLogConfig, ctx extension.Context, errs *conf.Errors) accesslog.Logger {
	return NewHTTP(cfg, HTTPHeaders{}, ctx, conf.Path{}, errs)
}

func tcp(cfg *grpcv3.CommonGrpcAccessLogConfig, ctx extension.Context, errs *conf.Errors) accesslog.Logger {
	return NewTCP(cfg, ctx, conf.Path{}, errs)
}

// log logs entries with these names.
func (b *bench) log(names ...string) {
	for _, name := range names {
		b.logger.Log(&format.Entry{Stream: &streaminfo.Stream{RouteName: name, Start: b.loop.Now()}})
	}
}

func (b *bench) expect(t *testing.T, events string) {
	t.Helper()
	if got := strings.Join(b.events, " "); got != events {
		t.Errorf("got %q, want %q", got, events)
	}
	b.events = nil
}

func (b *bench) counts(t *testing.T, written, dropped, flushed, failed int) {
	t.Helper()
	const prefix = "access_logs.grpc_access_log."
	got := fmt.Sprint(b.stats.Value(prefix+"logs_written"), b.stats.Value(prefix+"logs_dropped"),
		b.stats.Value(prefix+"grpc_entries_flushed"), b.stats.Value(prefix+"grpc_entries_flush_failed"))
	if want := fmt.Sprint(written, dropped, flushed, failed); got != want {
		t.Errorf("written, dropped, flushed, failed: %s, want %s", got, want)
	}
}

const base = `"log_name":"log","transport_api_version":"V3","grpc_service":{"envoy_grpc":{"cluster_name":"a"}}`

func TestFlushes(t *testing.T) {
	b := newBench(t, `{`+base+`}`, http)
	b.log("a", "b")
	b.expect(t, "")
	b.loop.Advance(time.Second)
	b.expect(t, "start node/log:ab")
	b.log("c")
	b.loop.Advance(time.Second)
	b.expect(t, "c")
	for range 1000 {
		b.log("d")
	}
	if n := len(b.events); n != 1 {
		t.Errorf("%d messages because of their size", n)
	}
	b.events = nil
	b.logger.Log(&format.Entry{Stream: &streaminfo.Stream{RouteName: "main"}, Shard: -1}) // not on a worker
	b.loop.Advance(time.Second)
	if len(b.events) != 1 || !strings.HasSuffix(b.events[0], "dmain") {
		t.Errorf("%q", b.events)
	}
	b.counts(t, 1004, 0, 1004, 0)
	b.events = nil
	b.loop.Advance(maxIdle)
	b.expect(t, "cancel")
	if b.loop.ArmedTimers() != 0 {
		t.Error("a timer is left")
	}
	b.log("e")
	b.loop.Advance(time.Second)
	b.expect(t, "start node/log:e")
}

func TestEachForItself(t *testing.T) {
	b := newBench(t, `{`+base+`,"buffer_size_bytes":0}`, tcp)
	b.log("a", "b")
	b.expect(t, "start node/log:tcp-a tcp-b")
	b.loop.Advance(2 * maxIdle)
	b.expect(t, "cancel")
}

// TestServiceDown: what is kept is bounded, and the service is asked once an interval.
func TestServiceDown(t *testing.T) {
	b := newBench(t, `{`+base+`,"buffer_size_bytes":60,"buffer_flush_interval":"2s"}`, http)
	b.refuse = true
	b.log("a", "b", "c", "d", "e") // three of them are more than 60 bytes
	b.expect(t, "start")
	b.counts(t, 3, 2, 0, 3)
	b.loop.Advance(2 * time.Second)
	b.expect(t, "start")
	b.refuse = false
	b.loop.Advance(2 * time.Second)
	b.expect(t, "start node/log:abc")
	b.counts(t, 3, 2, 3, 6)
	b.receiver.OnStatus(grpcclient.Unavailable, "gone")
	b.log("f")
	b.loop.Advance(2 * time.Second)
	b.expect(t, "start node/log:f")
	b.receiver.OnStatus(grpcclient.OK, "")
	b.loop.Advance(2 * maxIdle)
	b.expect(t, "")
}

// TestServiceSlow: a stream that takes no more is waited for.
func TestServiceSlow(t *testing.T) {
	b := newBench(t, `{`+base+`,"buffer_size_bytes":60}`, http)
	b.above = true
	b.log("a", "b", "c", "d")
	b.expect(t, "start")
	b.above = false
	b.receiver.OnSent()
	b.expect(t, "node/log:abc")
	b.counts(t, 3, 1, 3, 6)
}

// TestServiceSlowWithoutSize: there is a bound without a configured one.
func TestServiceSlowWithoutSize(t *testing.T) {
	b := newBench(t, `{`+base+`,"buffer_size_bytes":0}`, http)
	b.above = true
	for range 5000 {
		b.log(strings.Repeat("x", 1000))
	}
	if n := len(b.logger.(*logger).senders[0].entries.b); n < hardLimit || n > hardLimit+2000 {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestNoWorkers(t *testing.T) {
	b := newBench(t, `{`+base+`}`, func(cfg *grpcv3.CommonGrpcAccessLogConfig, ctx extension.Context, errs *conf.Errors) accesslog.Logger {
		ctx.Workers = nil
		return http(cfg, ctx, errs)
	})
	b.log("a")
	b.counts(t, 0, 1, 0, 0)
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct{ config, want string }{
		{`{` + base + `}`, ""},
		{`{}`, "c.log_name: must not be empty\nc.transport_api_version: V2 (and AUTO) xDS transport protocol versions are deprecated\nc.grpc_service: must be set"},
		{`{` + base + `,"grpc_stream_retry_policy":{}}`, "c.grpc_stream_retry_policy: field grpc_stream_retry_policy is not implemented"},
		{`{` + base + `,"buffer_flush_interval":"0s"}`, "c.buffer_flush_interval: must be greater than zero"},
		{`{"log_name":"l","transport_api_version":"V3","grpc_service":{}}`, "c.grpc_service: bad service"},
		{`{` + base + `,"custom_tags":[{"tag":"t"}]}`, "c.custom_tags[0]: one of literal, environment, request_header, metadata and value must be set"},
		{`{` + base + `,"custom_tags":[{"literal":{"value":"x"}}]}`, "c.custom_tags[0].tag: must not be empty"},
		{`{` + base + `,"custom_tags":[{"tag":"t","metadata":{}}]}`, "c.custom_tags[0].metadata.kind: one of request, route, cluster and host must be set"},
		{`{` + base + `,"custom_tags":[{"tag":"t","value":"%X%"}]}`, "c.custom_tags[0].value: unknown operator X"},
	} {
		msg := &grpcv3.CommonGrpcAccessLogConfig{}
		if err := protojson.Unmarshal([]byte(tc.config), msg); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		l := NewTCP(msg, extension.Context{Stats: metrics.New(1), Server: server{}, GRPC: &service{t: t}, Formats: filtertest.Formats{}}, conf.Path{}.Field("c"), &errs)
		if got := errs.Error(); got != tc.want || (l == nil) != (got != "") {
			t.Errorf("%s: %v, %s", tc.config, l, got)
		}
	}
	var errs conf.Errors
	if NewHTTP(nil, HTTPHeaders{}, extension.Context{}, conf.Path{}.Field("c"), &errs); errs.Error() != "c: must be set" {
		t.Error(errs)
	}
}

func TestFields(t *testing.T) {
	_, missing, err := Fields().Split((&grpcv3.CommonGrpcAccessLogConfig{}).ProtoReflect().Descriptor())
	if err != nil || fmt.Sprint(missing) != "[grpc_stream_retry_policy]" {
		t.Errorf("%v, %v", missing, err)
	}
}
