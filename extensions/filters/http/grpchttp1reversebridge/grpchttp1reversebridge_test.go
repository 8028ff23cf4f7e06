package grpchttp1reversebridge

import (
	"strings"
	"testing"

	bridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_reverse_bridge/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

const protobuf = "application/x-protobuf"

func newStream(t testing.TB, cfg *bridgev3.FilterConfig, disabled bool) *filtertest.Stream {
	t.Helper()
	var errs conf.Errors
	cfg.ContentType = protobuf
	build := Factory{}.BuildHTTPFilter(cfg, extension.HTTPContext{}, conf.Path{}, &errs)
	perRoute := Factory{}.BuildRouteConfig(&bridgev3.FilterConfigPerRoute{Disabled: disabled}, extension.HTTPContext{}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	r := &route.Route{FilterConfigs: []route.FilterConfig{{Filter: "filter", Config: perRoute}}}
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
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

// The expectations are recorded from Envoy 1.40, save for what HTTP/1 does not show.
func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		name                 string
		keepFrames, disabled bool
		contentType, length  string
		body                 []string
		want, goes, details  string
	}{
		{
			name: "a call", contentType: "application/grpc", length: "8", body: []string{frame("xyz")},
			want: "content-type: " + protobuf + ", content-length: 3, accept: " + protobuf, goes: "xyz",
		},
		{
			name: "in pieces", contentType: "application/grpc+proto", length: "0", body: []string{frame("xy")[:6], frame("xy")[6:], ""},
			want: "content-type: " + protobuf + ", content-length: 0, accept: " + protobuf, goes: "xy",
		},
		{
			name: "frames stay", keepFrames: true, contentType: "application/grpc", length: "6", body: []string{frame("x")},
			want: "content-type: " + protobuf + ", content-length: 6, accept: " + protobuf, goes: frame("x"),
		},
		// The reply that says so is itself no response of the upstream's type.
		{name: "no frame", contentType: "application/grpc", length: "3", body: []string{"abc"}, details: "grpc_bridge_content_type_wrong"},
		{name: "no body", contentType: "application/grpc", length: "0", want: "content-type: application/grpc, content-length: 0"},
		{name: "no gRPC", contentType: "a/b", length: "3", body: []string{"abc"}, want: "content-type: a/b, content-length: 3", goes: "abc"},
		{
			name: "disabled", disabled: true, contentType: "application/grpc", length: "6", body: []string{frame("x")},
			want: "content-type: application/grpc, content-length: 6", goes: frame("x"),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, &bridgev3.FilterConfig{WithholdGrpcFrames: !tc.keepFrames}, tc.disabled)
			for range 2 {
				s.Request(len(tc.body) == 0, ":path", "/a.B/C", "content-type", tc.contentType, "content-length", tc.length)
				for i, p := range tc.body {
					s.Body(p, i == len(tc.body)-1)
				}
				if tc.details != "" {
					if s.Details != tc.details {
						t.Errorf("%s", s.Reply())
					}
					s.Recycle()
					continue
				}
				if got := strings.TrimPrefix(show(s.In.Headers), ":path: /a.B/C, "); got != tc.want {
					t.Errorf("got %s", got)
				}
				if got := s.In.Body.String(); got != tc.goes || !s.In.Ended {
					t.Errorf("got %q", got)
				}
				s.Leave()
				s.Recycle()
			}
		})
	}
}

func TestResponse(t *testing.T) {
	hold, keep := &bridgev3.FilterConfig{WithholdGrpcFrames: true}, &bridgev3.FilterConfig{}
	size := &bridgev3.FilterConfig{WithholdGrpcFrames: true, ResponseSizeHeader: "X-Size"}
	const ok = ":status: 200, content-type: application/grpc"
	for _, tc := range []struct {
		name                 string
		cfg                  *bridgev3.FilterConfig
		headers              []string
		body, trailers       []string
		want, goes, trailing string
		details, message     string
	}{
		{name: "in pieces", cfg: hold, body: []string{"abc", "def"}, want: ok, goes: frame("abcdef"), trailing: "grpc-status: 0"},
		{
			name: "an error", cfg: hold, headers: []string{":status", "503", "content-length", "3"}, body: []string{"abc"},
			want: ok + ", content-length: 8", goes: frame("abc"), trailing: "grpc-status: 14",
		},
		{name: "no body", cfg: hold, headers: []string{"content-length", "0"}, want: ok + ", content-length: 5", goes: frame(""), trailing: "grpc-status: 0"},
		{name: "trailers", cfg: hold, body: []string{"abc"}, trailers: []string{"x", "y"}, want: ok, goes: frame("abc"), trailing: "x: y, grpc-status: 0"},
		{name: "only trailers", cfg: hold, trailers: []string{"x", "y"}, want: ok, goes: frame(""), trailing: "x: y, grpc-status: 0"},
		{
			name: "another type", cfg: hold, headers: []string{"content-type", "text/plain"}, body: []string{"abc"}, details: "grpc_bridge_content_type_wrong",
			message: "envoy reverse bridge: upstream responded with unsupported content-type text/plain, status code 200",
		},
		{
			name: "no type", cfg: hold, headers: []string{"content-type", ""}, details: "grpc_bridge_content_type_wrong",
			message: "envoy reverse bridge: upstream responded with no content-type header, status code 200",
		},
		{
			name: "a size", cfg: size, headers: []string{"x-size", "6,7"}, body: []string{"abc", "def"},
			want: ok + ", x-size: 6,7, content-length: 11", goes: frame("abcdef"), trailing: "grpc-status: 0",
		},
		{
			name: "a size and trailers", cfg: size, headers: []string{"x-size", "6"}, body: []string{"abcdef"}, trailers: []string{"x", "y"},
			want: ok + ", x-size: 6, content-length: 11", goes: frame("abcdef"), trailing: "x: y, grpc-status: 0",
		},
		{
			name: "size 0", cfg: size, headers: []string{"x-size", "0"},
			want: ok + ", x-size: 0, content-length: 5", goes: frame(""), trailing: "grpc-status: 0",
		},
		{
			name: "no size", cfg: size, body: []string{"abc"}, details: "grpc_bridge_content_length_missing",
			message: "envoy reverse bridge: upstream did not set content length",
		},
		{name: "a wrong size", cfg: size, headers: []string{"x-size", "5"}, body: []string{"abc", "def"}, details: "grpc_bridge_content_length_wrong"},
		{name: "frames stay", cfg: keep, body: []string{"abc", "def"}, want: ok, goes: "abcdef", trailing: "grpc-status: 0"},
		{name: "frames stay, no body", cfg: keep, want: ok},
		{name: "frames stay, trailers", cfg: keep, body: []string{"abc"}, trailers: []string{"x", "y"}, want: ok, goes: "abc", trailing: "x: y, grpc-status: 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, tc.cfg, false)
			for range 2 {
				s.Request(false, ":path", "/a.B/C", "content-type", "application/grpc")
				s.Body(frame("x"), true)
				var h httpmsg.Headers
				h.Add(":status", "200")
				h.Add("content-type", protobuf)
				for i := 0; i < len(tc.headers); i += 2 {
					if h.SetName(tc.headers[i], tc.headers[i+1]); tc.headers[i+1] == "" {
						h.RemoveName(tc.headers[i])
					}
				}
				var fields []string
				for _, f := range h.Fields() {
					fields = append(fields, f.Name, f.Value)
				}
				s.Respond(len(tc.body) == 0 && tc.trailers == nil, fields...)
				for i, p := range tc.body {
					s.RespondBody(p, i == len(tc.body)-1 && tc.trailers == nil)
				}
				if tc.trailers != nil && !s.Destroyed {
					s.RespondTrailers(tc.trailers...)
				}
				checkResponse(t, s, tc.details, tc.message, tc.want, tc.goes, tc.trailing)
				s.Recycle()
			}
			if n := s.Loop.Buffers().InUse(); n != 0 {
				t.Errorf("%d blocks left", n)
			}
		})
	}
}

func checkResponse(t *testing.T, s *filtertest.Stream, details, message, want, goes, trailing string) {
	t.Helper()
	if details != "" {
		if s.Details != details || message != "" && (s.Local == nil || s.Local.Body != message || !s.Local.HasGRPCStatus) || message == "" && !s.WasReset {
			t.Errorf("%s", s.Reply())
		}
		return
	}
	if got := show(s.Out.Headers); got != want {
		t.Errorf("got %s", got)
	}
	if got := s.Out.Body.String(); got != goes || !s.Out.Ended {
		t.Errorf("got %q, ended %v", got, s.Out.Ended)
	}
	got := ""
	if s.Out.Trailers != nil {
		got = show(s.Out.Trailers)
	}
	if got != trailing {
		t.Errorf("trailers %s", got)
	}
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	if b := (Factory{}).BuildHTTPFilter(&bridgev3.FilterConfig{}, extension.HTTPContext{}, conf.Path{}, &errs); b != nil || errs.Error() != "content_type: must not be empty" {
		t.Error(errs)
	}
	f := Factory{}
	if _, missing, err := f.Fields()[0].Split(f.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
	if _, missing, err := f.Fields()[1].Split(f.RouteConfig().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	s := newStream(t, &bridgev3.FilterConfig{WithholdGrpcFrames: true}, false)
	s.Headers().Add(":path", "/a.B/C?x")
	s.Headers().Add("content-type", "text/plain")
	run := func() {
		s.RequestMap(false)
		s.Leave()
		s.Recycle()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
