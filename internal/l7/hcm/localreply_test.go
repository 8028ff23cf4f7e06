package hcm

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// replier is a terminal filter that answers by itself.
func replier(reply httpfilter.LocalReply, flags streaminfo.Flags) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &scripted{cb: cb, name: "r", log: new([]string), decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
			f.cb.Stream().Flags |= flags
			f.cb.SendLocalReply(reply)
			return 1
		}}}
	}
}

// fixed is a body that does not change.
type fixed string

func (f fixed) Text() string { return string(f) }

// wrap is a format that shows what a body format sees.
type wrap struct{ suffix string }

func (w wrap) Append(dst []byte, e *format.Entry) []byte {
	dst = append(dst, '<')
	dst = append(dst, e.LocalReplyBody...)
	dst = append(dst, '|')
	dst = append(dst, e.Response.Get(httpmsg.Status)...)
	dst = append(dst, '>')
	return append(dst, w.suffix...)
}

func (wrap) Literal() (string, bool) { return "", false }

func pathIs(path string) func(*format.Entry) bool {
	return func(e *format.Entry) bool { return e.Request != nil && e.Request.Get(httpmsg.Path) == path }
}

// TestLocalReplyConfig has the answers of a real Envoy.
func TestLocalReplyConfig(t *testing.T) {
	var errs conf.Errors
	header := func(key, value string) *headeroption.List {
		return headeroption.NewList([]*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: key, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}, nil, nil, conf.Path{}, conf.Path{}, &errs)
	}
	cfg := &localReply{
		body: bodyFormat{wrap{}, plainText},
		mappers: []replyMapper{
			{matches: pathIs("/gone"), status: 410, body: fixed("gone"), headers: header("x-a", "1")},
			{matches: pathIs("/gone"), status: 500}, // the first one counts
			{matches: pathIs("/json"), format: &bodyFormat{wrap{"\n"}, applicationJSON}},
			{matches: pathIs("/type"), headers: header("content-type", "x/y")},
			{matches: pathIs("/empty"), body: fixed(""), format: &bodyFormat{contentType: plainText}},
			{matches: pathIs("/asis"), format: &bodyFormat{contentType: plainText}},
		},
	}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	own := func(h *httpmsg.Headers) { h.AddID(httpmsg.ContentType, "own/type") }
	tests := []struct {
		name, path, headers string
		head                bool
		modify              func(*httpmsg.Headers)
		want                string // without date and server
		log                 string
	}{
		{"mapped", "/gone", "", false, nil, "410 Gone|x-a: 1|content-length: 10|content-type: text/plain||<gone|410>", "410 - d"},
		{"formatted", "/", "", false, nil, "503 Service Unavailable|content-length: 10|content-type: text/plain||<text|503>", "503 - d"},
		{"the type of a new body", "/", "", false, own, "503 Service Unavailable|content-type: text/plain|content-length: 10||<text|503>", "503 - d"},
		{"the type of the same body", "/asis", "", false, own, "503 Service Unavailable|content-type: own/type|content-length: 4||text", "503 - d"},
		{"the type of a mapper", "/type", "", false, nil, "503 Service Unavailable|content-type: x/y|content-length: 10||<text|503>", "503 - d"},
		{"JSON", "/json", "", false, nil, "503 Service Unavailable|content-length: 11|content-type: application/json||<text|503>\n", "503 - d"},
		{"no body", "/empty", "", false, own, "503 Service Unavailable|content-length: 0||", "503 - d"},
		{"HEAD", "/", "", true, nil, "503 Service Unavailable|content-length: 10|content-type: text/plain||", "503 - d"},
		{"gRPC", "/json", "content-type: application/grpc\r\n", false, nil,
			"200 OK|content-type: application/grpc|grpc-status: 14|grpc-message: <text|503>|content-length: 0||", "200 - d"},
		{"gRPC, mapped", "/gone", "content-type: application/grpc\r\n", false, nil,
			"200 OK|x-a: 1|content-type: application/grpc|grpc-status: 2|grpc-message: <gone|410>|content-length: 0||", "200 - d"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, func(c *config) { c.localReply = cfg },
				replier(httpfilter.LocalReply{Status: 503, Body: "text", Details: "d", Modify: test.modify}, 0))
			method := "GET "
			if test.head {
				method = "HEAD "
			}
			h.conn.receive(method + test.path + " HTTP/1.1\r\nhost: a\r\n" + test.headers + "\r\n")
			got := strings.NewReplacer("HTTP/1.1 ", "", "date: D\r\n", "", "server: envoy\r\n", "", "\r\n", "|").Replace(h.sent())
			if got != test.want || strings.Join(h.log, ",") != test.log {
				t.Errorf("got  %s, %s\nwant %s, %s", got, h.log, test.want, test.log)
			}
			h.checkClean()
		})
	}
}

// TestProxyStatus has the headers of a real Envoy.
func TestProxyStatus(t *testing.T) {
	all := proxyStatus{name: "envoy", details: true, terminationDetails: true, flags: true}
	tests := []struct {
		name   string
		change func(*proxyStatus)
		flags  streaminfo.Flags
		first  string
		want   string
	}{
		{"all", func(*proxyStatus) {}, streaminfo.NoRouteFound, "HTTP/1.1 503", `envoy; error=destination_not_found; details="it_failed; why; NR"`},
		{"no flags", func(p *proxyStatus) { p.flags = false }, streaminfo.NoRouteFound, "HTTP/1.1 503", `envoy; error=destination_not_found; details="it_failed; why"`},
		{"no termination", func(p *proxyStatus) { p.terminationDetails = false }, streaminfo.NoHealthyUpstream, "HTTP/1.1 503",
			`envoy; error=destination_unavailable; details="it_failed; UH"`},
		{"no details", func(p *proxyStatus) { p.details = false }, streaminfo.NoHealthyUpstream, "HTTP/1.1 503", `envoy; error=destination_unavailable`},
		{"recommended", func(p *proxyStatus) { p.setStatus, p.details = true, false }, streaminfo.UpstreamConnectionFailure, "HTTP/1.1 502",
			`envoy; error=connection_refused`},
		{"nothing recommended", func(p *proxyStatus) { p.setStatus, p.details = true, false }, streaminfo.InvalidEnvoyRequestHeaders, "HTTP/1.1 503",
			`envoy; error=http_request_error`},
		{"first flag", func(p *proxyStatus) { p.details = false }, streaminfo.UpstreamRetryLimitExceeded | streaminfo.UpstreamRemoteReset, "HTTP/1.1 503",
			`envoy; error=connection_terminated`},
		{"no error", func(*proxyStatus) {}, streaminfo.DelayInjected, "HTTP/1.1 503", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := all
			test.change(&p)
			h := newHarness(t, func(c *config) { c.status = &p }, func(cb httpfilter.Callbacks) httpfilter.Filter {
				return replier(httpfilter.LocalReply{Status: 503, Details: "it failed", Modify: func(*httpmsg.Headers) {
					cb.Stream().TerminationDetails = "why"
				}}, test.flags)(cb)
			})
			h.conn.receive(get)
			_, value, _ := strings.Cut(h.sent(), "\r\nproxy-status: ")
			value, _, _ = strings.Cut(value, "\r\n")
			if value != test.want || !strings.HasPrefix(h.sent(), test.first) {
				t.Errorf("got %s in\n%s", value, h.sent())
			}
			if code := test.first[len("HTTP/1.1 "):]; !strings.HasPrefix(h.log[0], code) {
				t.Errorf("log %s", h.log)
			}
		})
	}
	if got := escapeDetails.Replace("a\"\\'\r\nb"); got != `a\"\\\'\r\nb` {
		t.Errorf("escaped: %s", got)
	}
	h := new(httpmsg.Headers)
	h.Add("proxy-status", "x")
	all.apply(h, &streaminfo.Stream{Flags: streaminfo.NoRouteFound})
	if got, _ := h.Find("proxy-status"); got != "x, envoy; error=destination_not_found" {
		t.Errorf("appended: %s", got)
	}
}
