package grpcstats

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func all(on bool) *grpcstatsv3.FilterConfig {
	return &grpcstatsv3.FilterConfig{PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_StatsForAllMethods{
		StatsForAllMethods: wrapperspb.Bool(on),
	}}
}

func listed(service string, methods ...string) *grpcstatsv3.FilterConfig {
	return &grpcstatsv3.FilterConfig{PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_IndividualMethodStatsAllowlist{
		IndividualMethodStatsAllowlist: &corev3.GrpcMethodList{Services: []*corev3.GrpcMethodList_Service{{
			Name: service, MethodNames: methods,
		}}},
	}}
}

// newStream returns a stream on a route to the cluster c, and its statistics.
func newStream(t testing.TB, msg *grpcstatsv3.FilterConfig) (*filtertest.Stream, *metrics.Scope) {
	t.Helper()
	l, scope := loop.New(1), metrics.New(1)
	clusters := filtertest.Clusters{"c": filtertest.NewCluster(l, scope, "c", 100)}
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(msg, filtertest.Context(scope, clusters), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(l)
	r := &route.Route{Forward: &route.Forward{Cluster: "c"}}
	s.Table = func(h *httpmsg.Headers) *route.Route {
		if h.Get(httpmsg.Authority) == "nowhere" {
			return nil
		}
		return r
	}
	s.Build(build)
	return s, scope
}

func frame(flags byte, text string) string {
	h := grpc.NewHeader(flags, len(text))
	return string(h[:]) + text
}

// counted returns the counters below cluster.c.grpc, on one line.
func counted(scope *metrics.Scope) string {
	var out []string
	for line := range strings.Lines(scope.String()) {
		if name, ok := strings.CutPrefix(line, "cluster.c.grpc."); ok {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return strings.Join(out, ", ")
}

type call struct {
	path, contentType, connect string
	authority                  string
	request                    []string
	status, responseType       string
	grpcStatus                 string // in the headers
	response                   []string
	trailer                    string // grpc-status in trailers
}

func (c *call) run(s *filtertest.Stream) {
	h := []string{":method", "POST", ":path", c.path, ":authority", c.authority, "content-type", c.contentType}
	if c.connect != "" {
		h = append(h, "connect-protocol-version", c.connect)
	}
	s.Request(len(c.request) == 0, h...)
	for i, p := range c.request {
		s.Body(p, i == len(c.request)-1)
	}
	s.Info.Upstream.LastTxByte = s.Loop.Now()
	s.Info.Upstream.LastRxByte = s.Loop.Now().Add(7 * time.Millisecond)
	h = []string{":status", c.status, "content-type", c.responseType}
	if c.grpcStatus != "" {
		h = append(h, "grpc-status", c.grpcStatus)
	}
	s.Respond(len(c.response) == 0 && c.trailer == "", h...)
	for i, p := range c.response {
		s.RespondBody(p, i == len(c.response)-1 && c.trailer == "")
	}
	if c.trailer != "" {
		s.RespondTrailers("grpc-status", c.trailer)
	}
}

func TestCounts(t *testing.T) {
	const gType, connectType = "application/grpc", "application/connect+proto"
	ok := call{
		path: "/a.B/C", contentType: gType, request: []string{frame(0, "x") + frame(0, "y")[:3], frame(0, "y")[3:]},
		status: "200", responseType: gType, response: []string{frame(0, "abc"), frame(0, "de")}, trailer: "0",
	}
	with := func(change func(c *call)) call {
		c := ok
		change(&c)
		return c
	}
	dotted := all(true)
	dotted.ReplaceDotsInGrpcServiceName = true
	const sums = "0: 1, request_message_count: 2, response_message_count: 2, success: 1, total: 1"
	below := func(prefix string) string {
		return prefix + strings.ReplaceAll(sums, ", ", ", "+prefix)
	}
	for _, tc := range []struct {
		name string
		cfg  *grpcstatsv3.FilterConfig
		call call
		want string
	}{
		{"all methods", all(true), ok, below("a.B.C.")},
		{"no dots", dotted, ok, below("a_B.C.")},
		{"together", all(false), ok, sums},
		{"by default", &grpcstatsv3.FilterConfig{}, ok, sums},
		{"listed", listed("a.B", "X", "C"), ok, below("a.B.C.")},
		{"not listed", listed("a.B", "X"), ok, sums},
		{"no method", all(true), with(func(c *call) { c.path = "/nope" }), ""},
		{"no route", all(true), with(func(c *call) { c.authority = "nowhere" }), ""},
		{"no gRPC", all(true), with(func(c *call) { c.contentType = "application/grpc-web" }), ""},
		{
			"an error in the headers", all(false), call{path: "/a/b", contentType: gType, status: "200", responseType: gType, grpcStatus: "5"},
			"5: 1, failure: 1, total: 1",
		},
		{
			"an error of another kind", all(false), with(func(c *call) { c.status, c.responseType, c.trailer = "503", "text/plain", "" }),
			"request_message_count: 2",
		},
		{
			"a Connect call", all(false), call{
				path: "/a/b", contentType: "application/proto", connect: "1", request: []string{"x", "y"},
				status: "200", responseType: "application/proto", response: []string{"a", "b"},
			}, "request_message_count: 1, response_message_count: 1, success: 1, total: 1",
		},
		{
			"a Connect error", all(false), call{path: "/a/b", contentType: "application/json", connect: "1", status: "404", response: []string{"{}"}},
			"failure: 1, response_message_count: 1, total: 1",
		},
		{
			"a Connect stream", all(false), call{
				path: "/a/b", contentType: connectType, request: []string{frame(0, "x")},
				status: "200", responseType: connectType, response: []string{frame(0, "a") + frame(2, "{}")[:4], frame(2, "{}")[4:]},
			}, "request_message_count: 1, response_message_count: 1, success: 1, total: 1",
		},
		{
			"a Connect stream with an error", all(false), call{
				path: "/a/b", contentType: connectType, request: []string{frame(0, "x")},
				status: "200", responseType: connectType, response: []string{frame(2, `{"error":{"code":"internal"}}`)},
			}, "failure: 1, request_message_count: 1, total: 1",
		},
		{
			"a Connect stream cut short", all(false), call{
				path: "/a/b", contentType: connectType, status: "200", responseType: connectType, response: []string{frame(0, "a")},
			}, "failure: 1, response_message_count: 1, total: 1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.EnableUpstreamStats = true
			s, scope := newStream(t, tc.cfg)
			tc.call.run(s)
			if got := counted(scope); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if s.Info.FilterState != nil {
				t.Error("a filter state that nobody asked for")
			}
			if tc.name == "all methods" {
				if got := scope.Recorded("cluster.c.grpc.a.B.C.upstream_rq_time"); len(got) != 1 || got[0] != 7 {
					t.Errorf("times %v", got)
				}
			}
			s.Recycle()
		})
	}
}

func TestFilterState(t *testing.T) {
	s, _ := newStream(t, &grpcstatsv3.FilterConfig{EmitFilterState: true})
	for range 2 {
		s.Request(false, ":path", "/nope", "content-type", "application/grpc")
		if s.Info.FilterState != nil {
			t.Fatal("there before a message")
		}
		s.Body(frame(0, "a")+frame(0, "b"), false)
		m := s.Info.FilterState["envoy.filters.http.grpc_stats"].(*Messages)
		js, _ := m.MarshalJSON()
		if m.String() != "2,0" || string(js) != `{"requestMessageCount":"2"}` {
			t.Errorf("%s %s", m, js)
		}
		s.Respond(false, ":status", "200", "content-type", "application/grpc")
		s.RespondBody(frame(0, "a"), true)
		js, _ = m.MarshalJSON()
		if m.String() != "2,1" || string(js) != `{"requestMessageCount":"2","responseMessageCount":"1"}` {
			t.Errorf("%s %s", m, js)
		}
		s.Recycle()
	}
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	if b := (Factory{}).BuildHTTPFilter(listed(""), filtertest.Context(metrics.New(1), nil), conf.Path{}, &errs); b != nil {
		t.Error("built")
	}
	const at = "individual_method_stats_allowlist.services[0]."
	if got, want := errs.Error(), at+"name: must not be empty\n"+at+"method_names: must not be empty"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f := Factory{}
	if _, missing, err := f.Fields()[0].Split(f.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

// FuzzConnectEnd checks that a response is counted the same however it arrives.
func FuzzConnectEnd(f *testing.F) {
	f.Add([]byte(frame(0, "a") + frame(2, `{"metadata":{"a":["b"]},"error":{"message":"x"}}`)))
	f.Add([]byte(frame(2, `{"error":{"code":"c"}}`)))
	f.Add([]byte(frame(2, `{}x`) + "more"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var whole, bytewise responseCounter
		var b buffer.Buffer
		b.Append(stream)
		whole.count(&b)
		for _, c := range stream {
			b.Drain(b.Len())
			b.AppendByte(c)
			bytewise.count(&b)
		}
		if whole.frames != bytewise.frames || whole.success() != bytewise.success() {
			t.Fatalf("%d %v, in single bytes %d %v", whole.frames, whole.success(), bytewise.frames, bytewise.success())
		}
	})
}

func TestConnectSucceeded(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, ` {"a":[{"b":1}],"error":{"message":"m"}} `: true, `{"error":{"x":{},"code":"c"}}`: false,
		``: false, `[]`: false, `{`: false, `{"a":}`: false, `{}{}`: false, `{"error":1}`: false,
	} {
		if got := connectSucceeded([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for contentType, cfg := range map[string]*grpcstatsv3.FilterConfig{"text/plain": all(true), "application/grpc": all(true)} {
		s, _ := newStream(t, cfg)
		s.Headers().Add(":path", "/a.B/C")
		s.Headers().Add("content-type", contentType)
		run := func() {
			s.RequestMap(true)
			s.Leave()
			s.Recycle()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", contentType, n)
		}
	}
}
