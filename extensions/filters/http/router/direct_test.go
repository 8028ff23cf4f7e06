package router

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// TestDirectResponse: bodies of a format, and where a response leads to. Recorded from
// Envoy 1.40.
func TestDirectResponse(t *testing.T) {
	body, err := filtertest.Formats{}.Compile(`{"path":"%REQ(:path)%"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		direct route.Direct
		want   string
	}{
		{route.Direct{Status: 200, Body: "x"}, "200 [-] direct_response\n\nx"},
		{route.Direct{Status: 201, Body: "x"}, "201 [-] direct_response\nlocation: http://host/\n\nx"},
		{route.Direct{Status: 302}, "302 [-] direct_response\nlocation: http://host/"},
		{route.Direct{Status: 404}, "404 [-] direct_response"},
		{route.Direct{Status: 200, Body: "x", BodyFormat: body, ContentType: "application/json"},
			"200 [-] direct_response\ncontent-type: application/json\n\n{\"path\":\"/\"}"},
	} {
		b := newBench(t, nil, func(b *bench) { b.route.Forward, b.route.Direct = nil, &tc.direct })
		b.get()
		b.wantReply(tc.want)
		b.wantStats("http.in.rq_direct_response=1")
	}
}
