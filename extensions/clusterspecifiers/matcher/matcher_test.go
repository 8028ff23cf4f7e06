package matcher

import (
	"testing"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// headerInput stands for the matching input of request headers.
type headerInput struct{}

func (headerInput) Name() string          { return "header" }
func (headerInput) Category() string      { return extension.MatchInputs }
func (headerInput) Config() proto.Message { return &inputv3.HttpRequestHeaderMatchInput{} }
func (headerInput) Fields() []conf.Fields { return nil }

func (headerInput) BuildMatchInput(msg proto.Message, _ extension.Context, _ conf.Path, _ *conf.Errors) matcher.Input {
	name := msg.(*inputv3.HttpRequestHeaderMatchInput).GetHeaderName()
	return matcher.TextInput(func(d matcher.Data) matcher.Value { return matcher.TextValue(d.Request.Find(name)) })
}

func context(t *testing.T) extension.ClusterSpecifierContext {
	t.Helper()
	var ctx extension.ClusterSpecifierContext
	ctx.Registry, ctx.Root = &extension.Registry{}, metrics.New(1)
	if err := ctx.Registry.Add(headerInput{}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestSpecifyCluster(t *testing.T) {
	m := &xdsmatcher.Matcher{}
	err := protojson.Unmarshal([]byte(`{"matcher_list": {"matchers": [{
	  "predicate": {"single_predicate": {
	    "input": {"name": "i", "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": "env"}},
	    "value_match": {"exact": "prod"}}},
	  "on_match": {"action": {"name": "a", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction", "cluster": "p"}}}}]}}`), m)
	if err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	s := Factory{}.BuildClusterSpecifier(&matcherv3.MatcherClusterSpecifier{ClusterMatcher: m}, context(t), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	for env, want := range map[string]string{"prod": "p", "test": ""} {
		h := new(httpmsg.Headers)
		h.Add("env", env)
		if got := s.SpecifyCluster(nil, h, nil, 0); got != want {
			t.Errorf("%s: %q, want %q", env, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { s.SpecifyCluster(nil, h, nil, 0) }); n > 1 { // the Data
			t.Errorf("%v allocations", n)
		}
	}
}

func TestErrors(t *testing.T) {
	for json, want := range map[string]string{
		`{}`: "cluster_matcher: is required",
		`{"cluster_matcher": {"on_no_match": {"action": {"name": "a", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction"}}}}}`: "cluster_matcher.on_no_match.action.typed_config.cluster: must not be empty",
		`{"cluster_matcher": {"on_no_match": {"action": {"name": "a", "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"}}}}}`: "cluster_matcher.on_no_match.action.typed_config: the action must be of type " +
			"envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction, not envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
	} {
		m := &matcherv3.MatcherClusterSpecifier{}
		if err := protojson.Unmarshal([]byte(json), m); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		Factory{}.BuildClusterSpecifier(m, context(t), conf.Path{}, &errs)
		if errs.Error() != want {
			t.Errorf("%s:\n%s\nwant\n%s", json, errs, want)
		}
	}
}
