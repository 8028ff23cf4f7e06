package match_test

import (
	"net/netip"
	"testing"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func someMetadata(t *testing.T) map[string]*structpb.Struct {
	t.Helper()
	s := new(structpb.Struct)
	if err := protojson.Unmarshal([]byte(`{"text":"v","n":3.5,"yes":true,"null":null,"list":["a",2,[true]],"sub":{"k":"x"}}`), s); err != nil {
		t.Fatal(err)
	}
	return map[string]*structpb.Struct{"f": s}
}

func TestMetadata(t *testing.T) {
	metadata := someMetadata(t)
	for _, tc := range []struct {
		path, value string
		want        bool
	}{
		{`[{"key":"text"}]`, `{"stringMatch":{"exact":"v"}}`, true},
		{`[{"key":"text"}]`, `{"stringMatch":{"exact":"w"}}`, false},
		{`[{"key":"text"}]`, `{"presentMatch":true}`, true},
		{`[{"key":"text"}]`, `{"presentMatch":false}`, false},
		{`[{"key":"none"}]`, `{"presentMatch":true}`, false},
		{`[{"key":"none"}]`, `{"presentMatch":false}`, false},
		{`[{"key":"none"}]`, `{"nullMatch":{}}`, false},
		{`[{"key":"null"}]`, `{"nullMatch":{}}`, true},
		{`[{"key":"text"}]`, `{"nullMatch":{}}`, false},
		{`[{"key":"n"}]`, `{"doubleMatch":{"exact":3.5}}`, true},
		{`[{"key":"n"}]`, `{"doubleMatch":{"range":{"start":3.5,"end":4}}}`, true},
		{`[{"key":"n"}]`, `{"doubleMatch":{"range":{"start":3,"end":3.5}}}`, false},
		{`[{"key":"n"}]`, `{"stringMatch":{"exact":"3.5"}}`, false},
		{`[{"key":"yes"}]`, `{"boolMatch":true}`, true},
		{`[{"key":"yes"}]`, `{"boolMatch":false}`, false},
		{`[{"key":"list"}]`, `{"listMatch":{"oneOf":{"stringMatch":{"exact":"a"}}}}`, true},
		{`[{"key":"list"}]`, `{"listMatch":{"oneOf":{"doubleMatch":{"exact":3}}}}`, false},
		{`[{"key":"list"}]`, `{"listMatch":{"oneOf":{"listMatch":{"oneOf":{"boolMatch":true}}}}}`, true},
		{`[{"key":"text"}]`, `{"listMatch":{"oneOf":{"presentMatch":true}}}`, false},
		{`[{"key":"text"}]`, `{"orMatch":{"valueMatchers":[{"nullMatch":{}},{"stringMatch":{"prefix":"v"}}]}}`, true},
		{`[{"key":"text"}]`, `{"orMatch":{"valueMatchers":[{"nullMatch":{}},{"stringMatch":{"prefix":"w"}}]}}`, false},
		{`[{"key":"sub"},{"key":"k"}]`, `{"stringMatch":{"exact":"x"}}`, true},
		{`[{"key":"text"},{"key":"k"}]`, `{"presentMatch":true}`, false},
		{`[{"key":"sub"}]`, `{"presentMatch":true}`, true},
	} {
		for _, invert := range []bool{false, true} {
			cfg := new(matcherv3.MetadataMatcher)
			json := `{"filter":"f","path":` + tc.path + `,"value":` + tc.value + `}`
			if err := protojson.Unmarshal([]byte(json), cfg); err != nil {
				t.Fatal(json, err)
			}
			cfg.Invert = invert
			var errs conf.Errors
			m := match.NewMetadata(cfg, conf.Path{}, &errs)
			if m == nil || m.Match(metadata) != (tc.want != invert) {
				t.Errorf("%s, invert %v: %v", json, invert, errs)
			}
		}
	}
}

func TestMetadataErrors(t *testing.T) {
	for json, want := range map[string]string{
		`{"filter":"f","path":[{"key":"k"}],"value":{"doubleMatch":{}}}`: "value.double_match: one of range, exact is required",
		`{"filter":"f","path":[{"key":"k"}],"value":{"orMatch":{"valueMatchers":[{}]}}}`: "value.or_match.value_matchers: must have at least 2 items\n" +
			"value.or_match.value_matchers[0]: one of null_match, double_match, string_match, bool_match, present_match, list_match, or_match is required",
		`{"path":[{"key":"k"}],"value":{"nullMatch":{}}}`: "filter: must not be empty",
		`{"filter":"f","value":{"nullMatch":{}}}`:         "path: must not be empty",
	} {
		cfg := new(matcherv3.MetadataMatcher)
		if err := protojson.Unmarshal([]byte(json), cfg); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		if match.NewMetadata(cfg, conf.Path{}, &errs) != nil || errs.Error() != want {
			t.Errorf("%s\n got %s\nwant %s", json, errs, want)
		}
	}
}

// named is an object with a text.
type named string

func (n named) String() string { return "named " + string(n) }

func TestFilterState(t *testing.T) {
	info := &streaminfo.Stream{Downstream: &streaminfo.Connection{FilterState: map[string]any{
		"conn": "of the connection", "both": "of the connection",
	}}}
	info.SetFilterState("text", "t")
	info.SetFilterState("both", "of the stream")
	info.SetFilterState("named", named("x"))
	info.SetFilterState("number", 3)
	info.SetFilterState("address", address.FromAddrPort(netip.MustParseAddrPort("10.1.2.3:80")))
	for _, tc := range []struct {
		json string
		want bool
	}{
		{`{"key":"text","stringMatch":{"exact":"t"}}`, true},
		{`{"key":"text","stringMatch":{"exact":"u"}}`, false},
		{`{"key":"conn","stringMatch":{"suffix":"connection"}}`, true},
		{`{"key":"both","stringMatch":{"suffix":"stream"}}`, true},
		{`{"key":"named","stringMatch":{"exact":"named x"}}`, true},
		{`{"key":"number","stringMatch":{"prefix":"3"}}`, false},
		{`{"key":"none","stringMatch":{"contains":"x"}}`, false},
		{`{"key":"address","addressMatch":{"ranges":[{"addressPrefix":"10.0.0.0","prefixLen":8}]}}`, true},
		{`{"key":"address","addressMatch":{"ranges":[{"addressPrefix":"11.0.0.0","prefixLen":8}]}}`, false},
		{`{"key":"address","addressMatch":{"invertMatch":true,"ranges":[{"addressPrefix":"11.0.0.0","prefixLen":8}]}}`, true},
		{`{"key":"none","addressMatch":{"invertMatch":true}}`, false},
		{`{"key":"text","addressMatch":{"invertMatch":true}}`, false},
	} {
		cfg := new(matcherv3.FilterStateMatcher)
		if err := protojson.Unmarshal([]byte(tc.json), cfg); err != nil {
			t.Fatal(tc.json, err)
		}
		var errs conf.Errors
		f := match.NewFilterState(cfg, conf.Path{}, &errs)
		if f == nil || f.Match(info) != tc.want || f.Match(nil) {
			t.Errorf("%s: %v", tc.json, errs)
		}
	}
}
