package grpcweb

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func newStream(t testing.TB) (*filtertest.Stream, *metrics.Scope) {
	t.Helper()
	l, scope := loop.New(1), metrics.New(1)
	clusters := filtertest.Clusters{"c": filtertest.NewCluster(l, scope, "c", 100)}
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(Factory{}.Config(), filtertest.Context(scope, clusters), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(l)
	r := &route.Route{Forward: &route.Forward{Cluster: "c"}}
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	s.Build(build)
	return s, scope
}

func frame(flags byte, text string) string {
	h := grpc.NewHeader(flags, len(text))
	return string(h[:]) + text
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func show(h *httpmsg.Headers) string {
	var out []string
	for _, f := range h.Fields() {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, ", ")
}

// The expectations of these tests are recorded from Envoy 1.40.
func TestRequest(t *testing.T) {
	const textType = "application/grpc-web-text"
	for _, tc := range []struct {
		name    string
		headers []string
		body    []string
		want    string // headers that go on
		goes    string // body that goes on
		details string
	}{
		{
			"binary", []string{"content-type", "application/grpc-web", "content-length", "6"}, []string{frame(0, "x")},
			"content-type: application/grpc, te: trailers, grpc-accept-encoding: identity", frame(0, "x"), "",
		},
		{
			"with an encoding", []string{"content-type", "application/grpc-web+proto", "grpc-accept-encoding", "gzip"}, []string{frame(0, "x")},
			"content-type: application/grpc, grpc-accept-encoding: gzip, te: trailers", frame(0, "x"), "",
		},
		{
			"text", []string{"content-type", textType}, []string{b64(frame(0, "x"))[:5], b64(frame(0, "x"))[5:]},
			"content-type: application/grpc, te: trailers, grpc-accept-encoding: identity", frame(0, "x"), "",
		},
		{
			"text in small pieces", []string{"content-type", textType + "+proto"}, strings.Split(b64(frame(0, "abcdefgh")), ""),
			"content-type: application/grpc, te: trailers, grpc-accept-encoding: identity", frame(0, "abcdefgh"), "",
		},
		{
			"empty text", []string{"content-type", textType}, []string{""},
			"content-type: application/grpc, te: trailers, grpc-accept-encoding: identity", "", "",
		},
		{"cut short", []string{"content-type", textType}, []string{"AAAAAAF"}, "", "", "grpc_base_64_decode_failed_bad_size"},
		{"no base64", []string{"content-type", textType}, []string{"AAAA!AAA"}, "", "", "grpc_base_64_decode_failed"},
		{"something else", []string{"content-type", "application/grpc-web+json"}, []string{"x"}, "content-type: application/grpc-web+json", "x", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newStream(t)
			for range 2 {
				s.Request(false, tc.headers...)
				for i, p := range tc.body {
					s.Body(p, i == len(tc.body)-1)
				}
				if tc.details != "" {
					if s.Details != tc.details || s.Local.Status != 400 {
						t.Errorf("%s", s.Reply())
					}
					if got, _ := s.Out.Headers.Find("grpc-message"); got != "Bad gRPC-web request, invalid base64 data." {
						t.Errorf("grpc-message %q", got)
					}
				} else {
					if got := show(s.In.Headers); got != tc.want {
						t.Errorf("got %s", got)
					}
					if got := s.In.Body.String(); got != tc.goes || !s.In.Ended {
						t.Errorf("got %q", got)
					}
					s.Leave()
				}
				s.Recycle()
			}
			if n := s.Loop.Buffers().InUse(); n != 0 {
				t.Errorf("%d blocks left", n)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	binary := []string{"content-type", "application/grpc-web"}
	text := []string{"content-type", "application/grpc-web", "accept", "application/grpc-web-text"}
	gRPC := []string{":status", "200", "content-type", "application/grpc", "content-length", "99"}
	trailers := []string{"grpc-status", "0", "grpc-message", "m%20x"}
	const lines = "grpc-status:0\r\ngrpc-message:m%20x\r\n"
	foreign := func(status string) []string { return []string{":status", status, "content-type", "text/plain"} }
	const becomes = ":status: 503, content-type: application/grpc-web+proto, grpc-message: "
	for _, tc := range []struct {
		name              string
		request, response []string
		body, trailers    []string
		want, goes        string
	}{
		{
			"binary", binary, gRPC, []string{frame(0, "abc"), frame(1, "de")}, trailers,
			":status: 200, content-type: application/grpc-web+proto", frame(0, "abc") + frame(1, "de") + frame(0x80, lines),
		},
		{
			"text", text, gRPC, []string{frame(0, "abc"), frame(1, "de")}, trailers,
			":status: 200, content-type: application/grpc-web-text+proto", "AAAAAANhYmM=" + b64(frame(1, "de")) + b64(frame(0x80, lines)),
		},
		{
			"text in small pieces", text, gRPC, strings.Split(frame(0, "")+frame(0, "abcd"), ""), trailers,
			":status: 200, content-type: application/grpc-web-text+proto", b64(frame(0, "")) + b64(frame(0, "abcd")) + b64(frame(0x80, lines)),
		},
		{
			"text with unknown flags", text, gRPC, []string{frame(0, "abc"), frame(4, "qq"), frame(1, "de")}, trailers,
			":status: 200, content-type: application/grpc-web-text+proto", "AAAAAANhYmM=AQAAAAJkZQ==" + b64(frame(0x80, lines)),
		},
		{
			"only headers", binary, []string{":status", "200", "content-type", "application/grpc", "grpc-status", "5"}, nil, nil,
			":status: 200, content-type: application/grpc-web+proto, grpc-status: 5", "",
		},
		{
			"an error", binary, foreign("503"), []string{"no \xff%\n luck"}, nil,
			becomes + "no %FF%25%0A luck, grpc-status: 14, content-length: 0", "",
		},
		{
			"an error in pieces", binary, foreign("503"), []string{"ab", "cd", ""}, nil,
			becomes + "abcd, grpc-status: 14, content-length: 0", "",
		},
		{
			"a long error", binary, foreign("503"), []string{strings.Repeat("a", 10000), strings.Repeat("b", 10000), "c"}, nil,
			becomes + strings.Repeat("a", 10000) + strings.Repeat("b", 6384) + ", grpc-status: 14, content-length: 0", "",
		},
		{
			"an error with trailers", binary, foreign("503"), []string{"abc"}, []string{"grpc-status", "3"},
			becomes + "abc, grpc-status: 14, content-length: 0", "",
		},
		{
			"an error without a body", binary, foreign("404"), nil, nil,
			":status: 404, content-type: application/grpc-web+proto", "",
		},
		{
			"gRPC-Web from upstream", binary, []string{":status", "200", "content-type", "Application/grpc-web+proto ; x"}, []string{"abc"}, nil,
			":status: 200, content-type: application/grpc-web+proto", "abc",
		},
		{
			"to another request", []string{"content-type", "text/plain"}, gRPC, []string{"abc"}, trailers,
			":status: 200, content-type: application/grpc, content-length: 99", "abc",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newStream(t)
			for range 2 {
				s.Request(true, tc.request...)
				s.Respond(len(tc.body) == 0 && tc.trailers == nil, tc.response...)
				for i, p := range tc.body {
					s.RespondBody(p, i == len(tc.body)-1 && tc.trailers == nil)
				}
				if tc.trailers != nil {
					s.RespondTrailers(tc.trailers...)
				}
				if got := show(s.Out.Headers); got != tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
				if got := s.Out.Body.String(); got != tc.goes || !s.Out.Ended {
					t.Errorf("got  %q\nwant %q, ended %v", got, tc.goes, s.Out.Ended)
				}
				s.Recycle()
			}
			if n := s.Loop.Buffers().InUse(); n != 0 {
				t.Errorf("%d blocks left", n)
			}
		})
	}
}

func TestStats(t *testing.T) {
	s, scope := newStream(t)
	for _, status := range []string{"0", "5"} {
		s.Request(true, ":path", "/a.B/C?x", "content-type", "application/grpc-web")
		s.Respond(false, ":status", "200", "content-type", "application/grpc")
		s.RespondTrailers("grpc-status", status)
		s.Recycle()
	}
	const at = "cluster.c.grpc-web.a.B.C."
	const want = at + "0: 1\n" + at + "5: 1\n" + at + "failure: 1\n" + at + "success: 1\n" + at + "total: 2\n"
	if got := scope.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

// FuzzText checks that a response in text is the same however it arrives, and that it can
// be read.
func FuzzText(f *testing.F) {
	f.Add([]byte(frame(0, "abc") + frame(1, "") + frame(0, "de")))
	f.Add([]byte{0, 0, 0, 0, 9, 'x'})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var frames []string
		for rest := stream; len(rest) >= grpc.HeaderSize; {
			h := grpc.Header(rest[:grpc.HeaderSize])
			if h.Flags() > 1 || len(rest) < grpc.HeaderSize+h.Len() {
				stream = stream[:len(stream)-len(rest)] // whole frames only
				break
			}
			frames = append(frames, b64(string(rest[:grpc.HeaderSize+h.Len()])))
			rest = rest[grpc.HeaderSize+h.Len():]
		}
		want := strings.Join(frames, "")
		for _, step := range []int{len(stream) + 1, 1} {
			var e textEncoder
			var got []byte
			for from := 0; from < len(stream); from += step {
				var b buffer.Buffer
				b.Append(stream[from:min(from+step, len(stream))])
				got = e.append(got, &b)
			}
			if !strings.HasPrefix(string(got), want) || len(got) > len(want)+8 {
				t.Fatalf("in steps of %d: %q, want %q", step, got, want)
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	s, _ := newStream(t)
	s.Headers().Add(":path", "/a.B/C")
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
