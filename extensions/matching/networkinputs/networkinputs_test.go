package networkinputs_test

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/matching/networkinputs"
	"github.com/nuncio-proxy/nuncio/testkit/matching"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const prefix = "envoy.extensions.matching.common_inputs.network.v3."

func tcp(text string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(text)) }

// fields is an object with fields.
type fields map[string]any

func (f fields) Field(name string) any { return f[name] }

func full() matcher.Data {
	info := &streaminfo.Stream{Downstream: &streaminfo.Connection{
		Local: tcp("10.0.0.1:443"), Remote: tcp("10.0.0.2:5000"), DirectRemote: tcp("[::1]:6000"),
		RequestedServerName: "sni.example", TransportProtocol: "tls", ApplicationProtocols: []string{"h2", "http/1.1"},
	}}
	info.SetFilterState("k", "state")
	info.SetFilterState("object", fields{"text": "t", "number": int64(7)})
	info.SetMetadata("f", &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStringValue("v")}})
	return matcher.Data{Stream: info}
}

func TestInputs(t *testing.T) {
	local := matcher.Data{Stream: &streaminfo.Stream{Downstream: &streaminfo.Connection{Local: tcp("10.0.0.1:1"), Remote: tcp("10.0.0.1:2")}}}
	data := []matcher.Data{full(), local, {}}
	for _, tc := range []struct {
		config string
		want   []string
	}{
		{prefix + `DestinationIPInput"`, []string{"10.0.0.1", "10.0.0.1", "-"}},
		{prefix + `DestinationPortInput"`, []string{"443", "1", "-"}},
		{prefix + `SourceIPInput"`, []string{"10.0.0.2", "10.0.0.1", "-"}},
		{prefix + `SourcePortInput"`, []string{"5000", "2", "-"}},
		{prefix + `DirectSourceIPInput"`, []string{"::1", "-", "-"}},
		{prefix + `SourceTypeInput"`, []string{"-", "local", "-"}},
		{prefix + `ServerNameInput"`, []string{"sni.example", "-", "-"}},
		{prefix + `NetworkNamespaceInput"`, []string{"-", "-", "-"}},
		{prefix + `FilterStateInput","key":"k"`, []string{"state", "-", "-"}},
		{prefix + `FilterStateInput","key":"k","field":"no such"`, []string{"state", "-", "-"}},
		{prefix + `FilterStateInput","key":"object","field":"text"`, []string{"t", "-", "-"}},
		{prefix + `FilterStateInput","key":"object","field":"number"`, []string{"7", "-", "-"}},
		{prefix + `FilterStateInput","key":"object","field":"none"`, []string{"-", "-", "-"}},
	} {
		check(t, tc.config, networkinputs.Factories(), data, tc.want)
	}
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

func TestMetadata(t *testing.T) {
	in := matching.Packed(prefix + `DynamicMetadataInput","filter":"f","path":[{"key":"a"}]`)
	const is = `envoy.extensions.matching.input_matchers.metadata.v3.Metadata","value":{"stringMatch":{"exact":"v"}}`
	for config, want := range map[string][2]string{is: {"yes", "no"}, is + `,"invert":true`: {"no", "yes"}} {
		tree, err := matching.Build(t, matching.Single(in, config), extension.Context{}, metrics.New(1), networkinputs.Factories()...)
		if err != nil {
			t.Fatal(err)
		}
		if found, missing := tree.Match(full()).Action, tree.Match(matcher.Data{}).Action; found != want[0] || missing != want[1] {
			t.Errorf("%s: %v, %v", config, found, missing)
		}
	}
}

func TestErrors(t *testing.T) {
	for config, want := range map[string]string{
		prefix + `FilterStateInput"`:                                       "input.typed_config.key: must not be empty",
		prefix + `DynamicMetadataInput"`:                                   "input.typed_config.filter: must not be empty\nmatcher_tree.input.typed_config.path: must not be empty",
		prefix + `DynamicMetadataInput","filter":"f","path":[{"key":"k"}]`: "exact_match_map: takes an input of type string, not dynamic metadata",
	} {
		json := `{"matcherTree":{"input":` + matching.Packed(config) + `,"exactMatchMap":{"map":{"a":` + matching.Action("a") + `}}}}`
		_, err := matching.Build(t, json, extension.Context{}, metrics.New(1), networkinputs.Factories()...)
		if err == nil || err.Error() != "matcher_tree."+want {
			t.Error(err)
		}
	}
}
