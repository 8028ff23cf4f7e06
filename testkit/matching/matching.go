// Package matching builds matcher trees for the tests of the extensions that are
// used in them. In JSON, a google.protobuf.StringValue as an input is the request
// header with that name, and as an action it is that text.
package matching

import (
	"strings"
	"testing"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// Build makes a tree of a xds.type.matcher.v3.Matcher in JSON. The registry of ctx is
// made of the factories. It returns what is wrong with the configuration.
func Build(t testing.TB, json string, ctx extension.Context, stats *metrics.Scope, factories ...extension.Factory) (matcher.Tree, error) {
	t.Helper()
	ctx.Registry = new(extension.Registry)
	if err := ctx.Registry.Add(append(factories, header{})...); err != nil {
		t.Fatal(err)
	}
	cfg := new(xdsmatcher.Matcher)
	if err := protojson.Unmarshal([]byte(json), cfg); err != nil {
		t.Fatalf("%v\n%s", err, json)
	}
	var errs conf.Errors
	tree := matcher.Build(cfg, matcher.Config{Factories: ctx.Matching(stats), Action: text, KeepMatching: true}, conf.Path{}, &errs)
	return tree, errs.Err()
}

func text(msg proto.Message, path conf.Path, errs *conf.Errors) any {
	value, ok := msg.(*wrapperspb.StringValue)
	if !ok {
		errs.Add(path, "an action of a test must be a google.protobuf.StringValue")
	}
	return value.GetValue()
}

// Packed returns the JSON of an extension: of a type, and the fields after it, as in
// `a.B","field":1`.
func Packed(config string) string {
	return `{"name":"x","typedConfig":{"@type":"type.googleapis.com/` + config + `}}`
}

// Header returns the JSON of the input that is a request header.
func Header(name string) string { return Packed(`google.protobuf.StringValue","value":"` + name + `"`) }

// Action returns the JSON of a branch to an action.
func Action(text string) string { return `{"action":` + Header(text) + `}` }

// CustomTree returns the JSON of a custom tree that looks at the header x. It leads
// to "none" if no branch matches.
func CustomTree(config string) string {
	return `{"matcherTree":{"input":` + Header("x") + `,"customMatch":` + Packed(config) + `},"onNoMatch":` + Action("none") + `}`
}

// Single returns the JSON of a tree that leads to "yes" if a matcher takes the value
// of an input, else to "no".
func Single(input, config string) string {
	return `{"matcherList":{"matchers":[{"predicate":{"singlePredicate":{"input":` + input + `,"customMatch":` + Packed(config) +
		`}},"onMatch":` + Action("yes") + `}]},"onNoMatch":` + Action("no") + `}`
}

// Request makes data of request headers, as in "x=1 y=2".
func Request(headers string) matcher.Data {
	d := matcher.Data{Request: new(httpmsg.Headers)}
	for _, h := range strings.Fields(headers) {
		name, value, _ := strings.Cut(h, "=")
		d.Request.Add(name, value)
	}
	return d
}

// Check builds a tree of one factory and wants an action for each request. Matching
// must not allocate, except for a request with the header bad.
func Check(t *testing.T, json string, ctx extension.Context, factory extension.Factory, actions map[string]string) {
	t.Helper()
	tree, err := Build(t, json, ctx, metrics.New(1), factory)
	if err != nil {
		t.Fatalf("%v\n%s", err, json)
	}
	for request, want := range actions {
		d := Request(request)
		if got := tree.Match(d).Action; got != want {
			t.Errorf("%q: %v, want %s\n%s", request, got, want, json)
		}
		if n := testing.AllocsPerRun(10, func() { tree.Match(d) }); n != 0 && !strings.Contains(request, "bad=") {
			t.Errorf("%q: %v allocations", request, n)
		}
	}
}

// header makes the input that is a request header.
type header struct{}

func (header) Name() string          { return "testkit.header" }
func (header) Category() string      { return extension.MatchInputs }
func (header) Config() proto.Message { return new(wrapperspb.StringValue) }
func (header) Fields() []conf.Fields { return nil }

func (header) BuildMatchInput(msg proto.Message, _ extension.Context, _ conf.Path, _ *conf.Errors) matcher.Input {
	name := msg.(*wrapperspb.StringValue).GetValue()
	return matcher.TextInput(func(d matcher.Data) matcher.Value {
		if d.Request == nil {
			return matcher.Value{State: matcher.NotYet}
		}
		return matcher.TextValue(d.Request.Find(name))
	})
}
