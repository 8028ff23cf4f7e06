package hcm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A scripted filter writes what it is shown into a transcript, and answers with
// what its script says for that element, "continue" if it says nothing.
type scripted struct {
	cb       httpfilter.Callbacks
	name     string
	log      *[]string
	decode   map[string]func(f *scripted) int
	encode   map[string]func(f *scripted) int
	data     *buffer.Buffer
	terminal bool
}

func (f *scripted) say(format string, args ...any) {
	*f.log = append(*f.log, f.name+" "+fmt.Sprintf(format, args...))
}

func ends(end bool) string {
	if end {
		return " end"
	}
	return ""
}

func (f *scripted) run(script map[string]func(*scripted) int, key string) int {
	if do := script[key]; do != nil {
		return do(f)
	}
	return 0
}

func (f *scripted) DecodeHeaders(_ *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	f.say("headers%s", ends(end))
	if f.terminal {
		return httpfilter.StopIteration
	}
	return httpfilter.HeadersStatus(f.run(f.decode, "headers"))
}

func (f *scripted) DecodeData(data *buffer.Buffer, end bool) httpfilter.DataStatus {
	f.say("data %q%s", data.String(), ends(end))
	if f.terminal {
		return httpfilter.DataStopNoBuffer
	}
	f.data = data
	return httpfilter.DataStatus(f.run(f.decode, "data"))
}

func (f *scripted) DecodeTrailers(t *httpmsg.Headers) httpfilter.TrailersStatus {
	f.say("trailers %d", t.Len())
	return httpfilter.TrailersStatus(f.run(f.decode, "trailers"))
}

func (f *scripted) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus {
	return httpfilter.Continue
}

func (f *scripted) EncodeHeaders(h *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	f.say("response headers %d%s", h.StatusCode(), ends(end))
	if code := f.cb.Stream().ResponseCode; code != h.StatusCode() {
		f.say("response code %d", code)
	}
	return httpfilter.HeadersStatus(f.run(f.encode, "headers"))
}

func (f *scripted) EncodeData(data *buffer.Buffer, end bool) httpfilter.DataStatus {
	f.say("response data %q%s", data.String(), ends(end))
	f.data = data
	return httpfilter.DataStatus(f.run(f.encode, "data"))
}

func (f *scripted) EncodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	f.say("response trailers")
	return httpfilter.TrailersStatus(f.run(f.encode, "trailers"))
}

func (f *scripted) OnDestroy() { f.say("destroy") }

func status(n int) func(*scripted) int { return func(*scripted) int { return n } }

func text(s string) *buffer.Buffer {
	b := new(buffer.Buffer)
	b.AppendString(s)
	return b
}

const (
	post  = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n"
	get   = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
	chunk = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
)

// TestRequestPath shows each status of the filter "a" before a terminal filter "z".
// Steps are what the client sends, or "!" and what filter a does between calls.
func TestRequestPath(t *testing.T) {
	continueDecoding := "!continue"
	tests := []struct {
		name   string
		script map[string]func(*scripted) int
		steps  []string
		want   string
	}{
		{"continue", nil, []string{post, "abc", "def"}, `a headers; z headers; a data "abc"; z data "abc"; a data "def" end; z data "def" end`},
		{"headers end", nil, []string{get}, `a headers end; z headers end`},
		{"stop headers, data goes on", map[string]func(*scripted) int{"headers": status(1)}, []string{post, "abc", "def"},
			`a headers; a data "abc"; z headers; z data "abc"; a data "def" end; z data "def" end`},
		{"stop headers, continue later", map[string]func(*scripted) int{"headers": status(1)}, []string{get, continueDecoding},
			`a headers end; z headers end`},
		{"stop and buffer", map[string]func(*scripted) int{"headers": status(1), "data": status(1)},
			[]string{post, "abc", "def", continueDecoding},
			`a headers; a data "abc"; a data "def" end; z headers; z data "abcdef" end`},
		{"buffer, last piece goes on", map[string]func(*scripted) int{"headers": status(1), "data": func(f *scripted) int {
			if f.data.String() == "def" {
				return 0
			}
			return 1
		}}, []string{post, "abc", "def"}, `a headers; a data "abc"; a data "def" end; z headers; z data "abcdef" end`},
		{"stop without buffer", map[string]func(*scripted) int{"data": status(3)}, []string{post, "abcdef", continueDecoding},
			`a headers; z headers; a data "abcdef" end; z data "" end`},
		{"stop all", map[string]func(*scripted) int{"headers": status(3)}, []string{post, "abc", continueDecoding, "def"},
			`a headers; z headers; a data "abc"; z data "abc"; a data "def" end; z data "def" end`},
		{"stop all, whole body", map[string]func(*scripted) int{"headers": status(3)}, []string{post, "abcdef", continueDecoding},
			`a headers; z headers; a data "abcdef" end; z data "abcdef" end`},
		{"stop all, no body", map[string]func(*scripted) int{"headers": status(4)}, []string{get, continueDecoding},
			`a headers end; z headers end`},
		{"add a body", map[string]func(*scripted) int{"headers": func(f *scripted) int {
			f.cb.AddDecodedData(text("new"), false)
			return 0
		}}, []string{get}, `a headers end; z headers; z data "new" end`},
		{"add a body while stopped", map[string]func(*scripted) int{"headers": status(1)}, []string{get, "!add", continueDecoding},
			`a headers end; z headers; z data "more" end`},
		{"add trailers", map[string]func(*scripted) int{"data": func(f *scripted) int {
			f.cb.AddDecodedTrailers().Add("x", "y")
			return 0
		}}, []string{post, "abcdef"}, `a headers; z headers; a data "abcdef" end; z data "abcdef"; z trailers 1`},
		{"stop trailers", map[string]func(*scripted) int{"data": status(1), "trailers": status(1)},
			[]string{chunk, "1\r\na\r\n0\r\nx: y\r\n\r\n", continueDecoding},
			`a headers; z headers; a data "a"; a trailers 1; z data "a"; z trailers 1`},
		{"trailers flush what is stopped", map[string]func(*scripted) int{"headers": status(1), "data": status(1)},
			[]string{chunk, "1\r\na\r\n0\r\nx: y\r\n\r\n"},
			`a headers; a data "a"; a trailers 1; z headers; z data "a"; z trailers 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log []string
			var a *scripted
			h := newHarness(t, func(c *config) { c.http1.EnableTrailers = true },
				func(cb httpfilter.Callbacks) httpfilter.Filter {
					a = &scripted{cb: cb, name: "a", log: &log, decode: test.script}
					return a
				},
				func(cb httpfilter.Callbacks) httpfilter.Filter {
					return &scripted{cb: cb, name: "z", log: &log, terminal: true}
				})
			for _, step := range test.steps {
				switch step {
				case continueDecoding:
					a.cb.ContinueDecoding()
				case "!add":
					a.cb.AddDecodedData(text("more"), false)
				default:
					h.conn.receive(step)
				}
			}
			if got := strings.Join(log, "; "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			h.conn.remoteClose()
			h.checkClean()
		})
	}
}

// TestResponsePath does the same for responses: filter "a" encodes behind "z".
func TestResponsePath(t *testing.T) {
	tests := []struct {
		name   string
		script map[string]func(*scripted) int
		steps  []string
		want   string // transcript of a
		sent   string // body on the wire
	}{
		{"continue", nil, []string{"headers", "abc", "def."}, `a response headers 200; a response data "abc"; a response data "def" end`, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"},
		{"stop and buffer", map[string]func(*scripted) int{"headers": status(1), "data": status(1)},
			[]string{"headers", "abc", "def.", "!continue"},
			`a response headers 200; a response data "abc"; a response data "def" end`, "6\r\nabcdef\r\n0\r\n\r\n"},
		{"stop all", map[string]func(*scripted) int{"headers": status(3)}, []string{"headers", "abc", "!continue", "def."},
			`a response headers 200; a response data "abc"; a response data "def" end`, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"},
		{"add a body", map[string]func(*scripted) int{"headers": func(f *scripted) int {
			f.cb.AddEncodedData(text("new"), false)
			return 0
		}}, []string{"headers."}, `a response headers 200 end`, "3\r\nnew\r\n0\r\n\r\n"},
		{"pass the body on piece by piece", map[string]func(*scripted) int{"data": status(3), "trailers": status(1)},
			[]string{"headers", "abc", "!add", "!trailers", "!add", "!add", "!continue"},
			`a response headers 200; a response data "abc"; a response trailers`,
			"3\r\nnew\r\n3\r\nnew\r\n3\r\nnew\r\n0\r\n\r\n"},
		{"pass the end on later", map[string]func(*scripted) int{"data": status(3)},
			[]string{"headers", "abc.", "!add", "!add", "!continue"},
			`a response headers 200; a response data "abc" end`, "3\r\nnew\r\n3\r\nnew\r\n0\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log []string
			var a, z *scripted
			h := newHarness(t, nil,
				func(cb httpfilter.Callbacks) httpfilter.Filter {
					a = &scripted{cb: cb, name: "a", log: &log, encode: test.script}
					return a
				},
				func(cb httpfilter.Callbacks) httpfilter.Filter {
					z = &scripted{cb: cb, name: "z", log: new([]string), terminal: true}
					return z
				})
			h.conn.receive(get)
			log = log[:0]
			var headers httpmsg.Headers
			headers.SetStatusCode(200)
			for _, step := range test.steps {
				body, end := strings.CutSuffix(step, ".")
				switch body {
				case "headers":
					z.cb.StartResponse(&headers, end, "via_upstream")
				case "!continue":
					a.cb.ContinueEncoding()
				case "!add":
					a.cb.AddEncodedData(text("new"), true)
				case "!trailers":
					z.cb.SendResponseTrailers(new(httpmsg.Headers))
				default:
					z.cb.SendResponseData(text(body), end)
				}
			}
			if got := strings.TrimSuffix(strings.Join(log, "; "), "; a destroy"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if _, body, _ := strings.Cut(h.conn.sent.String(), "\r\n\r\n"); body != test.sent {
				t.Errorf("sent %q, want %q", body, test.sent)
			}
			h.checkClean()
		})
	}
}
