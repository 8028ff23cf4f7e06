package httpfilter

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// script is a filter that answers as told and notes what it sees.
type script struct {
	cb       httpfilter.Callbacks
	headers  httpfilter.HeadersStatus
	data     httpfilter.DataStatus
	trailers httpfilter.TrailersStatus
	seen     []string
}

func (f *script) see(what string, end bool) {
	if end {
		what += " end"
	}
	f.seen = append(f.seen, what)
}

func (f *script) DecodeHeaders(_ *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	f.see("headers", end)
	return f.headers
}

func (f *script) DecodeData(data *buffer.Buffer, end bool) httpfilter.DataStatus {
	f.see("data "+data.String(), end)
	return f.data
}

func (f *script) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	f.see("trailers", false)
	return f.trailers
}

func (f *script) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

func (f *script) EncodeHeaders(h *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	return f.DecodeHeaders(h, end)
}

func (f *script) EncodeData(data *buffer.Buffer, end bool) httpfilter.DataStatus {
	return f.DecodeData(data, end)
}

func (f *script) EncodeTrailers(t *httpmsg.Headers) httpfilter.TrailersStatus {
	return f.DecodeTrailers(t)
}

func (f *script) OnDestroy() { f.see("destroyed", false) }

func newScript(t *testing.T) (*Stream, *script) {
	t.Helper()
	s, f := New(loop.New(1)), &script{}
	s.Build(func(cb httpfilter.Callbacks) httpfilter.Filter { f.cb = cb; return f })
	return s, f
}

// passed returns what came out behind the filter.
func passed(f *Flow) string {
	out := ""
	if f.Headers != nil {
		out += "headers "
	}
	if f.Body.Len() > 0 {
		out += "body:" + f.Body.String() + " "
	}
	if f.Trailers != nil {
		out += "trailers "
	}
	if f.Ended {
		out += "end"
	}
	return strings.TrimSpace(out)
}

func TestStatuses(t *testing.T) {
	tests := []struct {
		name     string
		headers  httpfilter.HeadersStatus
		data     httpfilter.DataStatus
		trailers httpfilter.TrailersStatus
		before   string // what is passed after all was sent
		after    string // and after the filter continued
		seen     string
	}{
		{"continue", httpfilter.Continue, httpfilter.DataContinue, httpfilter.TrailersContinue,
			"headers body:abcd trailers end", "headers body:abcd trailers end", "headers, data ab, data cd, trailers"},
		{"stop", httpfilter.StopIteration, httpfilter.DataStopAndBuffer, httpfilter.TrailersStop,
			"", "headers body:abcd trailers end", "headers, data ab, data cd, trailers"},
		{"stop until the trailers", httpfilter.StopIteration, httpfilter.DataStopAndBuffer, httpfilter.TrailersContinue,
			"headers body:abcd trailers end", "headers body:abcd trailers end", "headers, data ab, data cd, trailers"},
		{"drop", httpfilter.Continue, httpfilter.DataStopNoBuffer, httpfilter.TrailersContinue,
			"headers trailers end", "headers trailers end", "headers, data ab, data cd, trailers"},
		{"stop all", httpfilter.StopAllIterationAndBuffer, httpfilter.DataContinue, httpfilter.TrailersContinue,
			"", "headers body:abcd trailers end", "headers, data abcd, trailers"},
	}
	for _, tt := range tests {
		for _, response := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				s, f := newScript(t)
				f.headers, f.data, f.trailers = tt.headers, tt.data, tt.trailers
				flow, resume := &s.In, s.ContinueDecoding
				if response {
					flow, resume = &s.Out, s.ContinueEncoding
					s.Respond(false, ":status", "200")
					s.RespondBody("ab", false)
					s.RespondBody("cd", false)
					s.RespondTrailers("t", "1")
				} else {
					s.Request(false, ":method", "POST")
					s.Body("ab", false)
					s.Body("cd", false)
					s.Trailers("t", "1")
				}
				if got := passed(flow); got != tt.before {
					t.Errorf("passed %q, want %q", got, tt.before)
				}
				resume()
				if got := passed(flow); got != tt.after {
					t.Errorf("after continue: passed %q, want %q", got, tt.after)
				}
				seen := strings.TrimSuffix(strings.Join(f.seen, ", "), ", destroyed")
				if seen != tt.seen {
					t.Errorf("seen %q, want %q", seen, tt.seen)
				}
				if s.Destroyed != response {
					t.Error("the end of the response, and only that, ends the stream")
				}
			})
		}
	}
}

func TestLimits(t *testing.T) {
	s, f := New(loop.New(1)), &script{data: httpfilter.DataStopAndBuffer}
	s.DecodeLimit = 3
	// The reply would be held, too, if the filter saw it.
	s.Build(func(httpfilter.Callbacks) httpfilter.Filter {
		return struct {
			httpfilter.DecoderFilter
			httpfilter.Filter
		}{f, f}
	})
	s.Request(false, ":method", "POST")
	s.Body("abcd", false)
	if want := "413 [-] request_payload_too_large\n\nPayload Too Large\n"; s.Reply() != want || !s.Destroyed {
		t.Errorf("reply %q, want %q", s.Reply(), want)
	}

	s, f = newScript(t)
	s.DecodeLimit, f.data = 3, httpfilter.DataStopAndWatermark
	s.Request(false, ":method", "POST")
	s.Body("abcd", false)
	if s.In.Paused != 1 {
		t.Error("a body over the limit does not pause its source")
	}
	s.ContinueDecoding()
	if s.In.Paused != 0 || passed(&s.In) != "headers body:abcd" {
		t.Errorf("paused %d times, passed %q", s.In.Paused, passed(&s.In))
	}
}

func TestClusterStatNames(t *testing.T) {
	l, scope := loop.New(1), metrics.New(1)
	c := NewCluster(l, scope, "a", 1)
	c.Stats().UpstreamCxHTTP1Total.Inc(0)
	c.Stats().UpstreamRqPerTryIdleTimeout.Inc(0)
	c.Stats().Responses.Record(0, 200)
	for _, name := range []string{"upstream_cx_http1_total", "upstream_rq_per_try_idle_timeout", "upstream_rq_200"} {
		if scope.Value("cluster.a."+name) != 1 {
			t.Errorf("no %s in\n%s", name, scope)
		}
	}
}
