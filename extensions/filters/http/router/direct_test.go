package router

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// TestDirectResponse: bodies of a format, and where a response leads to. Recorded from
// Envoy 1.40.
// fixed is a body that does not change.
type fixed string

func (f fixed) Text() string { return string(f) }

func TestDirectResponse(t *testing.T) {
	body, err := filtertest.Formats{}.Compile(`{"path":"%REQ(:path)%"}`)
	if err != nil {
		t.Fatal(err)
	}
	location := func(h *httpmsg.Headers, _ *streaminfo.Stream) string { return requestURL("http", h) }
	for _, tc := range []struct {
		direct route.Direct
		want   string
	}{
		{route.Direct{Status: 200, Body: fixed("x")}, "200 [-] direct_response\n\nx"},
		{route.Direct{Status: 302, Location: location}, "302 [-] direct_response\nlocation: http://host/"},
		{route.Direct{Status: 404}, "404 [-] direct_response"},
		{route.Direct{Status: 200, Body: fixed("x"), BodyFormat: body, ContentType: "application/json"},
			"200 [-] direct_response\ncontent-type: application/json\n\n{\"path\":\"/\"}"},
	} {
		b := newBench(t, nil, func(b *bench) { b.route.Forward, b.route.Direct = nil, &tc.direct })
		b.get()
		b.wantReply(tc.want)
		b.wantStats("http.in.rq_direct_response=1")
	}
}

// TestRedirectOfConnect: a request without a path leads nowhere else, as in Envoy.
func TestRedirectOfConnect(t *testing.T) {
	b := newBench(t, nil, func(b *bench) {
		b.route.Forward = nil
		b.route.Direct = &route.Direct{Status: 301, Location: func(*httpmsg.Headers, *streaminfo.Stream) string { return "x" }}
	})
	b.stream.Request(false, ":method", "CONNECT", ":authority", "host:80")
	b.wantReply("301 [-] direct_response")
}
