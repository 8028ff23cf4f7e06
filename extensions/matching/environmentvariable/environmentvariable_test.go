package environmentvariable_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/extensions/matching/environmentvariable"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const config = `envoy.extensions.matching.common_inputs.environment_variable.v3.Config"`

func TestInput(t *testing.T) {
	set := func(name string) (string, bool) { return "value", name == "SET" }
	for _, tc := range []struct {
		name   string
		lookup func(string) (string, bool)
		want   string
	}{
		{"SET", set, "yes"},
		{"UNSET", set, "no"},
		{"SET", nil, "no"},
	} {
		tree, err := matching.Build(t, `{"matcherTree":{"input":`+matching.Packed(config+`,"name":"`+tc.name+`"`)+`,"exactMatchMap":{"map":{"value":`+
			matching.Action("yes")+`}}},"onNoMatch":`+matching.Action("no")+`}`,
			extension.Context{LookupEnv: tc.lookup}, metrics.New(1), environmentvariable.Factory{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.Match(matcher.Data{}).Action; got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	_, err := matching.Build(t, `{"matcherTree":{"input":`+matching.Packed(config)+`,"exactMatchMap":{"map":{"value":`+
		matching.Action("yes")+`}}}}`, extension.Context{}, metrics.New(1), environmentvariable.Factory{})
	if err == nil || err.Error() != "matcher_tree.input.typed_config.name: must not be empty" {
		t.Error(err)
	}
}
