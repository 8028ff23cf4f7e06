package httpinputs_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/matching/httpinputs"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const prefix = "envoy.type.matcher.v3."

func TestInputs(t *testing.T) {
	full := matcher.Data{Request: new(httpmsg.Headers), RequestTrailers: new(httpmsg.Headers), Response: new(httpmsg.Headers),
		ResponseTrailers: new(httpmsg.Headers), Stream: &streaminfo.Stream{ResponseDetails: "via_upstream"}}
	full.Request.Add(":authority", "host.example")
	full.Request.Add(":path", "/p?x=a%20b&x=c&y")
	full.Request.Add("n", "1")
	full.Request.Add("n", "2")
	full.RequestTrailers.Add("n", "3")
	full.Response.Add(":status", "404")
	full.Response.Add("n", "4")
	full.ResponseTrailers.Add("n", "5")
	local := matcher.Data{Stream: &streaminfo.Stream{ResponseDetails: "route_not_found"}}
	data := []matcher.Data{full, local, {}}
	for _, tc := range []struct {
		config string
		want   []string
	}{
		{prefix + `HttpRequestHeaderMatchInput","headerName":"N"`, []string{"1,2", "?", "?"}},
		{prefix + `HttpRequestHeaderMatchInput","headerName":"Host"`, []string{"host.example", "?", "?"}},
		{prefix + `HttpRequestHeaderMatchInput","headerName":"none"`, []string{"-", "?", "?"}},
		{prefix + `HttpRequestTrailerMatchInput","headerName":"n"`, []string{"3", "?", "?"}},
		{prefix + `HttpResponseHeaderMatchInput","headerName":"n"`, []string{"4", "?", "?"}},
		{prefix + `HttpResponseTrailerMatchInput","headerName":"n"`, []string{"5", "?", "?"}},
		{prefix + `HttpRequestQueryParamMatchInput","queryParam":"x"`, []string{"a b", "?", "?"}},
		{prefix + `HttpRequestQueryParamMatchInput","queryParam":"z"`, []string{"-", "?", "?"}},
		{prefix + `HttpResponseStatusCodeMatchInput"`, []string{"404", "?", "?"}},
		{prefix + `HttpResponseStatusCodeClassMatchInput"`, []string{"4xx", "?", "?"}},
		{prefix + `HttpResponseLocalReplyMatchInput"`, []string{"false", "true", "?"}},
	} {
		check(t, tc.config, httpinputs.Factories(), data, tc.want)
	}
	odd := matcher.Data{Response: new(httpmsg.Headers)}
	odd.Response.Add(":status", "600")
	check(t, prefix+`HttpResponseStatusCodeClassMatchInput"`, httpinputs.Factories(), []matcher.Data{odd}, []string{"-"})
}

// check compares what an input finds in each of the data: "-" for nothing, "?" for not
// yet.
func check(t *testing.T, config string, factories []extension.Factory, data []matcher.Data, want []string) {
	t.Helper()
	for i, d := range data {
		tree, err := matching.Build(t, `{"matcherTree":{"input":`+matching.Packed(config)+`,"exactMatchMap":{"map":{"`+want[i]+`":`+
			matching.Action("found")+`}}}}`, extension.Context{}, metrics.New(1), factories...)
		if err != nil {
			t.Fatal(config, err)
		}
		result := matcher.Result{Outcome: matcher.Matched, Action: "found"}
		switch want[i] {
		case "-":
			result = matcher.Result{}
		case "?":
			result = matcher.Result{Outcome: matcher.Unsure}
		}
		if got := tree.Match(d); got != result {
			t.Errorf("%s: %v, want %q", config, got, want[i])
		}
	}
}

func TestErrors(t *testing.T) {
	for config, want := range map[string]string{
		prefix + `HttpRequestHeaderMatchInput"`:     "header_name: must not be empty",
		prefix + `HttpRequestQueryParamMatchInput"`: "query_param: must not be empty",
	} {
		json := `{"matcherTree":{"input":` + matching.Packed(config) + `,"exactMatchMap":{"map":{"a":` + matching.Action("a") + `}}}}`
		_, err := matching.Build(t, json, extension.Context{}, metrics.New(1), httpinputs.Factories()...)
		if err == nil || err.Error() != "matcher_tree.input.typed_config."+want {
			t.Error(err)
		}
	}
}
