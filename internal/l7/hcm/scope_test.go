package hcm

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// namedTable is a table that is told by its name.
type namedTable string

func (t namedTable) Name() string                                                  { return string(t) }
func (namedTable) Match(*httpmsg.Headers, *streaminfo.Stream, uint64) *route.Route { return nil }
func (namedTable) Explain(*httpmsg.Headers, *streaminfo.Stream, uint64) *route.Explanation {
	return nil
}
func (namedTable) VirtualHost(*httpmsg.Headers) *route.VirtualHost { return nil }
func (namedTable) InternalOnlyHeaders() []string                   { return nil }

func buildScopes(t testing.TB, text string) (*scopes, []string, *conf.Errors) {
	t.Helper()
	m := new(hcmv3.ScopedRoutes)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	errs := new(conf.Errors)
	x := &scopes{key: readScopeKey(m.GetScopeKeyBuilder(), conf.Path{}, errs)}
	var names []string
	x.fill(m.GetScopedRouteConfigurationsList().GetScopedRouteConfigurations(), conf.Path{},
		func(r *routev3.RouteConfiguration, _ conf.Path) route.Table {
			names = append(names, r.GetName())
			return namedTable(r.GetName())
		}, errs)
	return x, names, errs
}

const (
	foo = `scoped_route_configurations {name: "a" key {fragments {string_key: "foo"}} route_configuration {name: "ra"}}`
	bar = `scoped_route_configurations {name: "b" key {fragments {string_key: "bar"}} route_configuration {name: "rb"}}`
)

// TestScopes has what a real Envoy chooses.
func TestScopes(t *testing.T) {
	const element = `scope_key_builder {fragments {header_value_extractor {name: "X-Key" element_separator: ";" element {separator: "=" key: "k"}}}}`
	const index1 = `scope_key_builder {fragments {header_value_extractor {name: "x-key" element_separator: "," index: 1}}}`
	const whole = `scope_key_builder {fragments {header_value_extractor {name: "x-key" index: 0}}}`
	const list = `scoped_route_configurations_list {` + foo + bar + `}`
	for _, c := range []struct {
		config, values string // fields, separated by "|"
		want           string
	}{
		{element + list, "a;k=foo;x", "ra"},
		{element + list, "k=bar", "rb"},
		{element + list, "k=baz", ""},
		{element + list, "", ""},
		{element + list, "k", ""},
		{element + list, "k= bar", ""},
		{element + list, "k=none;k=bar", ""},
		{element + list, "k=bar;k=none", "rb"},
		{element + list, "k=bar=x", ""},
		{element + list, "z|k=bar", ""},
		{element + list, ";;k=bar", "rb"},
		{index1 + list, "a,foo", "ra"},
		{index1 + list, "foo", ""},
		{index1 + list, "a|bar", ""},
		{index1 + list, "a, bar", ""},
		{whole + list, "foo|bar", "ra"},
		{whole + list, "foo,x", ""},
		{strings.Replace(element, `element_separator: ";"`, "", 1) + list, "k=bar", "rb"},
		// The key is longer than those of the scopes, or shorter.
		{`scope_key_builder {fragments {header_value_extractor {name: "x-key" index: 0}} fragments {header_value_extractor {name: "x-key" index: 0}}}` + list, "foo", ""},
		{whole + `scoped_route_configurations_list {scoped_route_configurations {name: "a"
			key {fragments {string_key: "foo"} fragments {string_key: "bar"}} route_configuration {name: "ra"}}}`, "foo", ""},
		// The last one of a key, and of a name.
		{whole + `scoped_route_configurations_list {` + foo + strings.Replace(bar, `"bar"`, `"foo"`, 1) + `}`, "foo", "rb"},
		{whole + `scoped_route_configurations_list {` + foo + strings.Replace(bar, `"b"`, `"a"`, 1) + `}`, "foo", ""},
	} {
		x, names, errs := buildScopes(t, c.config)
		if errs.Err() != nil || strings.Join(names, " ") != "rb ra" && !strings.Contains(c.config, `"foo"} fragments`) {
			t.Fatalf("%v, built %s", errs, names)
		}
		h := new(httpmsg.Headers)
		if c.values != "" {
			for v := range strings.SplitSeq(c.values, "|") {
				h.Add("x-key", v)
			}
		}
		got := ""
		if table := x.find(h); table != nil {
			got = table.Name()
		}
		if got != c.want {
			t.Errorf("%s, %q: got %q, want %q", c.config, c.values, got, c.want)
		}
		if n := testing.AllocsPerRun(10, func() { x.find(h) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestScopeErrors(t *testing.T) {
	for config, want := range map[string]string{
		``: "fragments: must not be empty\nmust not be empty",
		`scope_key_builder {fragments {header_value_extractor {index: 1}}} scoped_route_configurations_list {scoped_route_configurations {name: "a"}}`: "fragments[0].header_value_extractor.name: must not be empty\n" +
			"fragments[0].header_value_extractor.index: Index > 0 for empty string element separator.\n[0].route_configuration: must be set: routes are not discovered",
		`scope_key_builder {fragments {header_value_extractor {name: "a"}}} scoped_route_configurations_list {` + foo + `}`:            "fragments[0].header_value_extractor: one of index and element must be set",
		`scope_key_builder {fragments {header_value_extractor {name: "a" element {}}}} scoped_route_configurations_list {` + foo + `}`: "fragments[0].header_value_extractor.element: separator and key must not be empty",
	} {
		_, _, errs := buildScopes(t, config)
		if got := errs.Error(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", config, got, want)
		}
	}
}

// FuzzScopeKey: whatever a client sends, a key is found without a panic, and the
// value is a part of the header.
func FuzzScopeKey(f *testing.F) {
	f.Add("a;k=foo;x", ";", "=", "k", uint8(0), true)
	f.Add("a,b,c", ",", "", "", uint8(1), false)
	f.Add("", "", "", "", uint8(0), false)
	f.Fuzz(func(t *testing.T, value, separator, keyEnd, key string, index uint8, byKey bool) {
		h := new(httpmsg.Headers)
		h.Add("x", value)
		x := keyFragment{header: "x", separator: separator, index: int(index), byKey: byKey, key: key, keyEnd: keyEnd}
		if got, ok := x.extract(h); ok && !strings.Contains(value, got) {
			t.Errorf("%q from %q", got, value)
		}
	})
}
