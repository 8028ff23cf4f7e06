package httpinspector

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// what Envoy 1.40 says of the first bytes; "" is that it waits for more.
var recorded = []struct{ data, want string }{
	{"GET / HTTP/1.1\r\n", "http11"}, {"GET / HTTP/1.0\r\n\r\n", "http10"}, {"GET /\r\n", "http10"},
	{"GET / \r\n", "http10"}, {"GET / HTTP/0.9\r\n", "http10"}, {"GET / HTTP/2.0\r\n", "http10"},
	{"GET / HTTP/1.2\r\n", "http10"}, {"GET / HTTP/11\r\n", "http_not"}, {"GET / HTP/1.1\r\n", "http_not"},
	{"\r\nGET / HTTP/1.1\r\n", "http_not"}, {" GET / HTTP/1.1\r\n", "http_not"}, {"get / HTTP/1.1\n", "http11"},
	{"FOO-BAR / HTTP/1.1\r\n", "http11"}, {"G@T / HTTP/1.1\r\n", "http_not"}, {"@T / HTTP/1.1\r\n", "http_not"},
	{"@", "http_not"}, {"G@T", "http_not"}, {"hello\n", "http_not"}, {"hello", ""}, {"GET  / HTTP/1.1\r\n", "http11"},
	{"GET / HTTP/1.1 \r\n", "http11"}, {"GET / x HTTP/1.1\r\n", "http_not"}, {"GET /\x80 HTTP/1.1\r\n", "http_not"},
	{"GET /\x80", ""}, {"GET /\x01 HTTP/1.1\r\n", "http11"}, {"GET a HTTP/1.1\r\n", "http_not"},
	{"GET / http/1.1\r\n", "http_not"}, {"GET / HTTP/1.1\rX: y\r\n", "http_not"}, {"GET / HTTP/3\r\n", "http_not"},
	{"\x16\x03\x01", "http_not"}, {"GET", ""}, {"P", ""}, {"PRI", ""}, {preface, "http2"}, {preface + "xx", "http2"},
	{"PRI * HTTP/2.0\r\n\r\n", ""}, {"PRI * HTTP/2.0\r\n\r\nXX", "http10"}, {"PRI * HTTP/1.1\r\n", "http11"},
	{"GET http://a/b HTTP/1.1\r\n", "http11"}, {"CONNECT a:1 HTTP/1.1\r\n", "http11"}, {"GET / HTTP/1.11\r\n", "http_not"},
	{"\tGET / HTTP/1.1\r\n", "http_not"}, {"GET\t/\tHTTP/1.1\r\n", "http11"}, {"GET /\x7f HTTP/1.1\r\n", "http_not"},
	{"GET / HTTP/1.1\r\r\n", "http11"}, {"GET\x00 / HTTP/1.1\r\n", "http_not"}, {"GE\x00T", "http_not"},
	{"GET  \r\n", "http_not"}, {"GET \r\n", "http_not"}, {"GET a:b HTTP/1.1\r\n", "http_not"},
	{"GET h-t://x HTTP/1.1\r\n", "http11"}, {"GET h1://x HTTP/1.1\r\n", "http11"}, {"GET ://x HTTP/1.1\r\n", "http_not"},
	{"GET http:// HTTP/1.1\r\n", "http11"}, {"GET http:///x HTTP/1.1\r\n", "http11"}, {"GET *x HTTP/1.1\r\n", "http11"},
	{"CONNECT / HTTP/1.1\r\n", "http11"}, {"CONNECT a HTTP/1.1\r\n", "http11"}, {"CONNECT http://a HTTP/1.1\r\n", "http11"},
	{"CONNECT a/b HTTP/1.1\r\n", "http11"}, {"GET http:/x HTTP/1.1\r\n", "http_not"}, {"GET http://a?b HTTP/1.1\r\n", "http11"},
	{"GET http://a<b HTTP/1.1\r\n", "http_not"}, {"GET /<>^`{|}\" HTTP/1.1\r\n", "http11"}, {"GET ?x HTTP/1.1\r\n", "http_not"},
	{"GET #x HTTP/1.1\r\n", "http_not"}, {"GET http://[::1]:8/ HTTP/1.1\r\n", "http11"}, {"connect a HTTP/1.1\r\n", "http_not"},
	{"GET http://u@h/ HTTP/1.1\r\n", "http11"}, {"CONNECT [::1]:1 HTTP/1.1\r\n", "http11"}, {"GET /\x00 HTTP/1.1\r\n", "http11"},
	{"GET / HTTP/1.1\x00\r\n", "http11"}, {"GET\x01/ HTTP/1.1\r\n", "http_not"},
	{"GET /" + strings.Repeat("a", 8200) + " HTTP/1.1\r\n", "http11"},
	{"GET /" + strings.Repeat("a", 65530), ""},
}

var alpn = map[string]string{"http10": "http/1.0", "http11": "http/1.1", "http2": "h2c"}

func newSocket(stats *metrics.Scope) *listenerfilter.Socket {
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(Factory{}.Config(), extension.NetworkContext{Context: extension.Context{Stats: stats}}, conf.Path{}, &errs)
	return listenerfilter.New(loop.New(1), build())
}

func TestRecorded(t *testing.T) {
	for _, tc := range recorded {
		for _, step := range []int{len(tc.data), 1} { // at once, and byte for byte
			if step == 1 && len(tc.data) > 100 {
				continue
			}
			stats := metrics.New(1)
			s := newSocket(stats)
			s.Accept()
			for at := 0; at < len(tc.data); at += step {
				s.Receive([]byte(tc.data[at : at+step]))
			}
			got := strings.Join(s.Connection.ApplicationProtocols, ",")
			if s.Done != (tc.want != "") || s.Closed || got != alpn[tc.want] || tc.want != "" && stats.Value("http_inspector."+tc.want+"_found") != 1 {
				t.Errorf("%.40q in steps of %d: %v, %q, want %q\n%s", tc.data, step, s.Done, got, tc.want, stats)
			}
			if string(s.Data) != tc.data {
				t.Error("bytes were taken away")
			}
		}
	}
}

func TestTooLong(t *testing.T) {
	stats := metrics.New(1)
	s := newSocket(stats)
	s.Accept()
	s.Receive([]byte("GET /" + strings.Repeat("a", 70000) + " HTTP/1.1\r\n"))
	if !s.Closed || stats.Value("http_inspector.read_error") != 1 {
		t.Errorf("%v, %s", s.Closed, stats)
	}
}

func TestTLS(t *testing.T) {
	for protocol, want := range map[string]bool{"": false, "raw_buffer": false, "tls": true} {
		s := newSocket(metrics.New(1))
		s.Connection.TransportProtocol = protocol
		if s.Accept(); s.Done != want {
			t.Errorf("%s: %v", protocol, s.Done)
		}
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}

func FuzzDetect(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is decided does not depend on how much came at once.
		want, decided := detect(data), undecided
		for n := 1; n <= len(data) && n <= 1000 && decided == undecided; n++ {
			decided = detect(data[:n])
		}
		if len(data) <= 1000 && decided != want {
			t.Fatalf("%d byte for byte, %d at once", decided, want)
		}
	})
}
