package grpchttp1bridge

import (
	"strings"
	"testing"

	bridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func newStream(t testing.TB, on bool) *filtertest.Stream {
	t.Helper()
	var errs conf.Errors
	cfg := &bridgev3.Config{UpgradeProtobufToGrpc: on, IgnoreQueryParameters: on}
	build := Factory{}.BuildHTTPFilter(cfg, extension.HTTPContext{}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Build(build)
	return s
}

func frame(text string) string {
	h := grpc.NewHeader(0, len(text))
	return string(h[:]) + text
}

func show(h *httpmsg.Headers) string {
	var out []string
	for _, f := range h.Fields() {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, ", ")
}

// The expectations are recorded from Envoy 1.40.
func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		name        string
		off         bool
		contentType string
		body        []string
		trailers    bool
		want, goes  string
	}{
		{name: "gRPC", contentType: "application/grpc", body: []string{frame("x")}, want: ":path: /a.B/C, content-type: application/grpc, content-length: 3", goes: frame("x")},
		{name: "a message", contentType: "application/x-protobuf", body: []string{"xyz"}, want: ":path: /a.B/C, content-type: application/grpc", goes: frame("xyz")},
		{name: "a message in pieces", contentType: "application/x-protobuf", body: []string{"xyz", "", "abc"}, want: ":path: /a.B/C, content-type: application/grpc", goes: frame("xyzabc")},
		{name: "and trailers", contentType: "application/x-protobuf", body: []string{"xyz"}, trailers: true, want: ":path: /a.B/C, content-type: application/grpc", goes: frame("xyz")},
		{name: "no message", contentType: "application/x-protobuf", want: ":path: /a.B/C, content-type: application/grpc"},
		{name: "something else", contentType: "text/x", body: []string{"xyz"}, want: ":path: /a.B/C?q, content-type: text/x, content-length: 3", goes: "xyz"},
		{name: "off", off: true, contentType: "application/x-protobuf", body: []string{"xyz"}, want: ":path: /a.B/C?q, content-type: application/x-protobuf, content-length: 3", goes: "xyz"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, !tc.off)
			for range 2 {
				s.Request(len(tc.body) == 0, ":path", "/a.B/C?q", "content-type", tc.contentType, "content-length", "3")
				for i, p := range tc.body {
					s.Body(p, i == len(tc.body)-1 && !tc.trailers)
				}
				if tc.trailers {
					s.Trailers("x", "y")
				}
				if got := show(s.In.Headers); got != tc.want {
					t.Errorf("got %s", got)
				}
				if got := s.In.Body.String(); got != tc.goes || !s.In.Ended {
					t.Errorf("got %q, ended %v", got, s.In.Ended)
				}
				s.Leave()
				s.Recycle()
			}
		})
	}
}

func TestResponse(t *testing.T) {
	const gRPC = ":status: 200, content-type: application/grpc"
	for _, tc := range []struct {
		name        string
		contentType string
		version     httpmsg.Version
		status      string // in the headers
		body        []string
		trailers    []string
		want, goes  string
	}{
		{
			name: "success", body: []string{frame("abc"), frame("de")}, trailers: []string{"grpc-status", "0", "grpc-message", "m%20x"},
			want: gRPC + ", grpc-status: 0, grpc-message: m%20x, content-length: 15", goes: frame("abc") + frame("de"),
		},
		{
			name: "an error", body: []string{frame("abc")}, trailers: []string{"grpc-status", "7", "grpc-message", "no"},
			want: ":status: 503, content-type: application/grpc, grpc-status: 7, grpc-message: no, content-length: 8", goes: frame("abc"),
		},
		{
			name: "an odd status", trailers: []string{"grpc-status", "x"},
			want: ":status: 503, content-type: application/grpc, grpc-status: x, content-length: 0",
		},
		{name: "only headers", status: "7", want: gRPC + ", grpc-status: 7"},
		{name: "no trailers", body: []string{frame("abc")}, want: gRPC, goes: frame("abc")},
		{name: "other trailers", body: []string{frame("abc")}, trailers: []string{"x", "7"}, want: gRPC + ", content-length: 8", goes: frame("abc")},
		{
			name: "a message", contentType: "application/x-protobuf", body: []string{frame("abc")[:2], frame("abc")[2:] + "d"}, trailers: []string{"grpc-status", "0"},
			want: gRPC + ", grpc-status: 0, content-length: 4", goes: "abcd",
		},
		{name: "another request", contentType: "text/plain", body: []string{"abc"}, trailers: []string{"grpc-status", "7"}, want: gRPC, goes: "abc"},
		{name: "HTTP/2", version: httpmsg.HTTP2, body: []string{"abc"}, trailers: []string{"grpc-status", "7"}, want: gRPC, goes: "abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, true)
			for range 2 {
				s.Info.Version = max(tc.version, httpmsg.HTTP11)
				contentType := tc.contentType
				if contentType == "" {
					contentType = "application/grpc+proto"
				}
				s.Request(true, ":path", "/a.B/C", "content-type", contentType)
				h := []string{":status", "200", "content-type", "application/grpc"}
				if tc.status != "" {
					h = append(h, "grpc-status", tc.status)
				}
				s.Respond(len(tc.body) == 0 && tc.trailers == nil, h...)
				for i, p := range tc.body {
					s.RespondBody(p, i == len(tc.body)-1 && tc.trailers == nil)
				}
				if tc.trailers != nil {
					s.RespondTrailers(tc.trailers...)
				}
				if got := show(s.Out.Headers); got != tc.want {
					t.Errorf("got %s", got)
				}
				if got := s.Out.Body.String(); got != tc.goes || !s.Out.Ended {
					t.Errorf("got %q, ended %v", got, s.Out.Ended)
				}
				s.Recycle()
			}
		})
	}
}

func TestFields(t *testing.T) {
	f := Factory{}
	if _, missing, err := f.Fields()[0].Split(f.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	s := newStream(t, true)
	s.Headers().Add(":path", "/a.B/C?x")
	s.Headers().Add("content-type", "text/plain")
	run := func() {
		s.RequestMap(true)
		s.Leave()
		s.Recycle()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
