package route

import (
	"slices"
	"testing"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// corsFactory takes the policy that the deprecated one becomes; of that it keeps the text.
type corsFactory struct{ bufferFactory }

func (corsFactory) Name() string               { return "envoy.filters.http.cors" }
func (corsFactory) Config() proto.Message      { return new(corsv3.Cors) }
func (corsFactory) RouteConfig() proto.Message { return new(corsv3.CorsPolicy) }

func (corsFactory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, _ conf.Path, _ *conf.Errors) any {
	p := msg.(*corsv3.CorsPolicy)
	return p.GetAllowMethods() + p.GetAllowHeaders() + p.GetExposeHeaders() + p.GetMaxAge()
}

func TestDeprecatedCORS(t *testing.T) {
	cfg, err := parse(`
virtual_hosts:
- name: v
  domains: ['*']
  cors: {allow_methods: a, allow_headers: b, expose_headers: c, max_age: d}
  routes:
  - match: {prefix: /own}
    route: {cluster: c, cors: {allow_methods: own}}
  - match: {prefix: /weighted}
    route: {weighted_clusters: {clusters: [{name: c, weight: 1}]}}
  - match: {prefix: /}
    direct_response: {status: 200}
`)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	if err := ctx.Registry.Add(corsFactory{}); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	table := Build(cfg, ctx, conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	for path, want := range map[string][]route.FilterConfig{
		"/own":      {{Config: "own"}, {Config: "abcd"}},
		"/weighted": {{Config: "abcd"}},
		"/direct":   nil,
	} {
		if got := table.Match(headers(path), nil, 0).FilterConfigs; !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}
