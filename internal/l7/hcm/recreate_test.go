package hcm

import (
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// redirector is a terminal filter that holds the body of a request and, when it is
// complete, runs it again as a request for /again, once.
type redirector struct {
	cb       httpfilter.Callbacks
	response httpmsg.Headers
	body     buffer.Buffer
	seen     *[]string
	early    bool // try before the request is complete
}

func newRedirector(seen *[]string, early bool) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		r := &redirector{cb: cb, seen: seen, early: early}
		r.body.Init(cb.Dispatcher().Buffers())
		return r
	}
}

func (r *redirector) note(s string) { *r.seen = append(*r.seen, s) }

func (r *redirector) DecodeHeaders(h *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	r.note(h.Get(httpmsg.Path) + " id=" + h.Get(httpmsg.XRequestID))
	if r.early && !end && r.cb.RecreateStream(nil) {
		r.note("recreated too early")
	}
	if end {
		r.complete()
	}
	return httpfilter.StopIteration
}

func (r *redirector) DecodeData(_ *buffer.Buffer, end bool) httpfilter.DataStatus {
	if end {
		r.cb.Dispatcher().Post(r.complete) // when the body is held
	}
	return httpfilter.DataStopAndBuffer
}

func (r *redirector) DecodeTrailers(t *httpmsg.Headers) httpfilter.TrailersStatus {
	v, _ := t.Find("x-t")
	r.note("trailer " + v)
	r.complete()
	return httpfilter.TrailersStop
}

// complete answers, with a redirect that is not sent the first time.
func (r *redirector) complete() {
	if held := r.cb.DecodingBuffer(); held != nil {
		r.note("body " + held.String())
	}
	h := r.cb.RequestHeaders()
	if h.Get(httpmsg.Path) != "/again" {
		r.response.Reset()
		r.response.SetStatusCode(302)
		h.Set(httpmsg.Path, "/again")
		r.cb.Stream().ResponseDetails = "internal_redirect"
		r.cb.Stream().SetRequestState("kept", r)
		r.cb.Stream().SetFilterState("dropped", r)
		if r.cb.RecreateStream(&r.response) {
			return
		}
	}
	r.response.Reset()
	r.response.SetStatusCode(200)
	if r.cb.Stream().FilterState["kept"] == nil {
		r.note("filter state lost")
	}
	if r.cb.Stream().FilterState["dropped"] != nil {
		r.note("filter state kept")
	}
	r.cb.StartResponse(&r.response, true, "via_upstream")
}

func (r *redirector) OnDestroy() { r.note("destroyed") }

// TestRecreateStream shows what runs again and what is logged.
func TestRecreateStream(t *testing.T) {
	const bare = "/a id=ID, destroyed, /again id=ID, destroyed"
	tests := []struct {
		name, in, want string
		early          bool
	}{
		{"no body", get, strings.ReplaceAll(bare, "/a ", "/ "), false},
		{"trailers", "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
			"/a id=ID, trailer 1, body abc, destroyed, /again id=ID, trailer 1, body abc, destroyed", false},
		{"body", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
			"/a id=ID, body abc, destroyed, /again id=ID, body abc, destroyed", false},
		{"too early", "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: 1\r\n\r\n",
			"/a id=ID, trailer 1, destroyed, /again id=ID, trailer 1, destroyed", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var seen []string
			h := newHarness(t, func(c *config) { c.http1.EnableTrailers = true }, newRedirector(&seen, test.early))
			h.conn.receive(test.in)
			if got := strings.Join(seen, ", "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if got := strings.Join(h.log, ", "); got != "302 - internal_redirect, 200 - via_upstream" {
				t.Errorf("log %s", got)
			}
			if !strings.HasPrefix(h.sent(), "HTTP/1.1 200 OK\r\n") || strings.Count(h.sent(), "HTTP/1.1") != 1 || h.conn.closed != "" {
				t.Errorf("sent %q, closed %q", h.sent(), h.conn.closed)
			}
			st := h.cfg.stats
			if st.rqTotal.Value() != 2 || st.rqCompleted.Value() != 1 {
				t.Errorf("%d requests, %d completed", st.rqTotal.Value(), st.rqCompleted.Value())
			}
			h.conn.receive(get) // the connection goes on
			if strings.Count(h.sent(), "HTTP/1.1 200 OK") != 2 {
				t.Errorf("sent %q", h.sent())
			}
			h.conn.remoteClose()
			h.checkClean()
		})
	}
}

// TestRecreatedStreamIsTheCodecs: what the codec tells later is told to the new
// stream.
func TestRecreatedStreamIsTheCodecs(t *testing.T) {
	var seen []string
	count := 0
	h := newHarness(t, nil, func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &scripted{cb: cb, name: "s", log: &seen, decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
			if count++; count == 1 && !f.cb.RecreateStream(nil) {
				t.Error("not recreated")
			}
			return 1 // and wait
		}}}
	})
	h.conn.receive(get)
	h.loop.Advance(time.Second)
	if count != 2 || h.cfg.stats.rqActive.Value() != 1 {
		t.Fatalf("%d streams, %d active", count, h.cfg.stats.rqActive.Value())
	}
	h.conn.remoteClose()
	if got := strings.Join(h.log, ", "); got != "0 - , 0 DC downstream_remote_disconnect" {
		t.Errorf("log %s", got)
	}
	h.checkClean()
}
