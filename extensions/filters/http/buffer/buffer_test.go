package buffer

import (
	"strings"
	"testing"

	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func limit(n uint32) *bufferv3.Buffer {
	return &bufferv3.Buffer{MaxRequestBytes: wrapperspb.UInt32(n)}
}

func perRoute(n uint32) *bufferv3.BufferPerRoute {
	return &bufferv3.BufferPerRoute{Override: &bufferv3.BufferPerRoute_Buffer{Buffer: limit(n)}}
}

func disabled(on bool) *bufferv3.BufferPerRoute {
	return &bufferv3.BufferPerRoute{Override: &bufferv3.BufferPerRoute_Disabled{Disabled: on}}
}

// newStream returns a stream with a filter of 10 bytes; on is its route's
// configuration, nil for none.
func newStream(t testing.TB, on *bufferv3.BufferPerRoute) *filtertest.Stream {
	t.Helper()
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(limit(10), extension.HTTPContext{}, conf.Path{}, &errs)
	r := &route.Route{}
	if on != nil {
		r.FilterConfigs = []route.FilterConfig{{Filter: "filter", Config: Factory{}.BuildRouteConfig(on, extension.HTTPContext{}, conf.Path{}, &errs)}}
	}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	s.DecodeLimit = 1 << 20
	s.Build(build)
	t.Cleanup(func() {
		if !s.Destroyed {
			s.Leave()
		}
	})
	return s
}

func TestBuffer(t *testing.T) {
	for _, tc := range []struct {
		name     string
		route    *bufferv3.BufferPerRoute
		headers  []string
		body     []string // the last piece ends it, unless there are trailers
		trailers bool
		waits    bool   // nothing goes on before the end
		length   string // content-length that goes on
		tooLarge bool
	}{
		{name: "no body"},
		{name: "one piece", body: []string{"abc"}, waits: true, length: "3"},
		{name: "pieces", body: []string{"abc", "", "defgh"}, waits: true, length: "8"},
		{name: "as much as may be", body: []string{"01234", "56789"}, waits: true, length: "10"},
		{name: "too much at once", body: []string{"0123456789a"}, waits: true, tooLarge: true},
		{name: "too much with the last piece", body: []string{"0123456789", "a"}, waits: true, tooLarge: true},
		{name: "too much before the last piece", body: []string{"012345", "678901", "x"}, waits: true, tooLarge: true},
		{name: "length known", headers: []string{"content-length", "3"}, body: []string{"abc"}, waits: true, length: "3"},
		{name: "trailers", body: []string{"abc"}, trailers: true, waits: true, length: "3"},
		{name: "disabled", route: disabled(true), body: []string{"0123456789", "abc"}},
		{name: "more for the route", route: perRoute(20), body: []string{"0123456789", "abc"}, waits: true, length: "13"},
		{name: "less for the route", route: perRoute(2), body: []string{"abc"}, waits: true, tooLarge: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, tc.route)
			for range 2 { // the second time recycled
				s.Request(len(tc.body) == 0, append([]string{":method", "POST"}, tc.headers...)...)
				for i, piece := range tc.body {
					if waits := s.In.Headers == nil; waits != tc.waits {
						t.Fatalf("before piece %d: waits %v", i, waits)
					}
					s.Body(piece, i == len(tc.body)-1 && !tc.trailers)
				}
				if tc.trailers {
					s.Trailers("x", "y")
				}
				if (s.Local != nil) != tc.tooLarge {
					t.Fatalf("local reply %v", s.Local)
				}
				if tc.tooLarge {
					if s.Local.Status != 413 || s.Details != "request_payload_too_large" || s.In.Headers != nil {
						t.Errorf("%d %s", s.Local.Status, s.Details)
					}
				} else {
					if got := s.In.Headers.Get(httpmsg.ContentLength); got != tc.length {
						t.Errorf("content-length %q, want %q", got, tc.length)
					}
					if got, want := s.In.Body.String(), strings.Join(tc.body, ""); got != want || !s.In.Ended {
						t.Errorf("body %q, want %q; ended %v", got, want, s.In.Ended)
					}
					s.Leave()
				}
				s.Recycle()
				s.DecodeLimit = 1 << 20
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		msg  proto.Message
		want string
	}{
		{&bufferv3.Buffer{}, "p.max_request_bytes: must be greater than 0"},
		{limit(0), "p.max_request_bytes: must be greater than 0"},
		{disabled(false), "p.disabled: must be true"},
		{&bufferv3.BufferPerRoute{}, "p: one of disabled and buffer must be set"},
		{perRoute(0), "p.buffer.max_request_bytes: must be greater than 0"},
	} {
		var errs conf.Errors
		var built any
		if m, ok := tc.msg.(*bufferv3.Buffer); ok {
			if b := (Factory{}).BuildHTTPFilter(m, extension.HTTPContext{}, conf.Path{}.Field("p"), &errs); b != nil {
				built = b
			}
		} else {
			built = Factory{}.BuildRouteConfig(tc.msg, extension.HTTPContext{}, conf.Path{}.Field("p"), &errs)
		}
		if built != nil || errs.Error() != tc.want {
			t.Errorf("got %v, %s; want %s", built, errs.Error(), tc.want)
		}
	}
	for i, msg := range []proto.Message{Factory{}.Config(), Factory{}.RouteConfig()} {
		if _, missing, err := (Factory{}).Fields()[i].Split(msg.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
			t.Error(missing, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	s := newStream(t, nil)
	s.Headers().Add(":method", "GET")
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
