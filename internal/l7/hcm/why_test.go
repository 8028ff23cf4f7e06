package hcm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/why"
)

// answers is a recorder that keeps what it is told as lines.
type answers []string

// Record implements why.Recorder.
func (r *answers) Record(shard int, a *why.Answer) {
	path := "none"
	if a.Request != nil {
		path = a.Request.Get(httpmsg.Path)
	}
	*r = append(*r, fmt.Sprintf("%s %d %s %q routed=%v %s %s", path, a.Stream.ResponseCode, a.Stream.Flags.Append(nil), a.Body,
		a.Routes != nil, a.Connection, a.CloseReason))
}

// byPath answers some paths by itself.
func byPath(cb httpfilter.Callbacks) httpfilter.Filter {
	return &scripted{cb: cb, name: "p", log: new([]string), decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
		switch f.cb.RequestHeaders().Get(httpmsg.Path) {
		case "/reply":
			f.cb.SendLocalReply(httpfilter.LocalReply{Status: 503, Body: "no", Details: "d"})
		case "/health":
			f.cb.Stream().HealthCheck = true
			f.cb.SendLocalReply(httpfilter.LocalReply{Status: 200, Details: "d"})
		case "/reset":
			f.cb.ResetStream(httpmsg.ResetLocalReset, "d")
		case "/wait":
		default:
			return 0
		}
		return 1
	}}}
}

func TestExplain(t *testing.T) {
	const delayed = "closed by the proxy deferred_close_on_drained_connection"
	for _, tc := range []struct {
		name, send string
		then       func(*harness)
		want       answers
	}{
		{"upstream's response", "GET / HTTP/1.1\r\nhost: a\r\n\r\n", nil, nil},
		{"reply", "GET /reply HTTP/1.1\r\nhost: a\r\n\r\n", nil, answers{`/reply 503 - "no" routed=true kept open `}},
		{"reply and close", "GET /reply HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", nil, answers{`/reply 503 - "no" routed=true ` + delayed}},
		{"health check", "GET /health HTTP/1.1\r\nhost: a\r\n\r\n", nil, nil},
		{"reset", "GET /reset HTTP/1.1\r\nhost: a\r\n\r\n", nil, answers{`/reset 0 - "" routed=true ` + delayed}},
		{"bad request", "GET / HTTP/9\r\n\r\n", nil, answers{`none 400 DPE "Bad Request" routed=false closed by the proxy codec error`}},
		{"client closes", "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n", (*harness).clientCloses, answers{`/wait 0 DC "" routed=true closed by the client `}},
		{"proxy closes", "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n", func(h *harness) { h.conn.Close(network.NoFlush, "why_not") },
			answers{`/wait 0 DC "" routed=true closed by the proxy why_not`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got answers
			h := newHarness(t, func(c *config) { c.why = &got }, byPath, newBackend(false, nil))
			h.conn.receive(tc.send)
			if tc.then != nil {
				tc.then(h)
				h.loop.Run()
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("recorded %q, want %q", got, tc.want)
			}
		})
	}
}

func (h *harness) clientCloses() { h.conn.remoteClose() }

// TestExplainRecreated: a request that goes on in another stream has its answer there.
func TestExplainRecreated(t *testing.T) {
	var got answers
	h := newHarness(t, func(c *config) { c.why = &got }, newRedirector(new([]string), false))
	h.conn.receive("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	if len(h.log) != 2 || got != nil {
		t.Errorf("%d streams, recorded %q", len(h.log), got)
	}
}

type deaf struct{}

func (deaf) Record(int, *why.Answer) {}

func TestExplainAllocatesNothing(t *testing.T) {
	h := newHarness(t, func(c *config) { c.why = deaf{} }, byPath, newBackend(false, nil))
	h.conn.receive("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
	s := h.conn.reader.(*manager).streams
	if n := testing.AllocsPerRun(100, s.explain); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
