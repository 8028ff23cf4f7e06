package conf_test

import (
	"encoding/json"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestPath(t *testing.T) {
	listener := conf.Path{}.Field("static_resources").Field("listeners").Index(0)
	for _, tc := range []struct {
		path conf.Path
		want string
	}{
		{conf.Path{}, ""},
		{listener, "static_resources.listeners[0]"},
		{listener.Field("filter_chains").Index(12).Field("name"), "static_resources.listeners[0].filter_chains[12].name"},
		{listener.Field("m").Key(`a."b"`).Field("x"), `static_resources.listeners[0].m["a.\"b\""].x`},
		{listener.Parent(), "static_resources.listeners"},
		{conf.Path{}.Parent(), ""},
	} {
		if got := tc.path.String(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	// Two paths that share a start do not disturb each other.
	a, b := listener.Field("a"), listener.Field("b")
	if a.String() != "static_resources.listeners[0].a" || b.Last() != "b" || !a.Parent().Parent().Parent().Parent().IsRoot() {
		t.Error(a, b)
	}
}

func TestErrors(t *testing.T) {
	var errs conf.Errors
	if errs.Err() != nil {
		t.Fatal("an empty list is an error")
	}
	errs.Add(conf.Path{}.Field("b"), "must be at least %d", 3)
	errs = append(errs,
		conf.Error{File: "z.yaml", Line: 14, Column: 9, Path: conf.Path{}.Field("a").Index(0), Message: "second"},
		conf.Error{File: "z.yaml", Line: 2, Message: "first"},
		conf.Error{File: "a.yaml", Line: 1, Column: 1, Message: "third"},
		conf.Error{File: "z.yaml", Message: "whole file"})
	errs.Sort()
	const want = "z.yaml:2: first\nz.yaml:14:9: a[0]: second\na.yaml:1:1: third\nb: must be at least 3\nz.yaml: whole file"
	if got := errs.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got, err := json.Marshal(errs[1:2])
	const wantJSON = `[{"file":"z.yaml","line":14,"column":9,"path":"a[0]","message":"second"}]`
	if err != nil || string(got) != wantJSON {
		t.Errorf("got %s (%v)", got, err)
	}
}

func TestCheck(t *testing.T) {
	fields := conf.Fields{
		Message: "envoy.config.cluster.v3.Cluster",
		Names:   []string{"name", "circuit_breakers.thresholds.max_connections", "typed_extension_protocol_options"},
	}
	for _, tc := range []struct {
		name    string
		cluster *clusterv3.Cluster
		want    string
	}{
		{"implemented", &clusterv3.Cluster{Name: "a", CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
			{MaxConnections: wrapperspb.UInt32(3)}}}}, ""},
		{"default value", &clusterv3.Cluster{LbPolicy: clusterv3.Cluster_ROUND_ROBIN}, ""},
		{"not declared", &clusterv3.Cluster{AltStatName: "b", LbPolicy: clusterv3.Cluster_RANDOM},
			"p.alt_stat_name: field alt_stat_name is not implemented\np.lb_policy: field lb_policy is not implemented"},
		{"set but empty", &clusterv3.Cluster{UpstreamBindConfig: &corev3.BindConfig{}},
			"p.upstream_bind_config: field upstream_bind_config is not implemented"},
		{"inside a list", &clusterv3.Cluster{CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
			{}, {Priority: corev3.RoutingPriority_HIGH}}}},
			"p.circuit_breakers.thresholds[1].priority: field priority is not implemented"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var errs conf.Errors
			conf.Check(tc.cluster, fields, conf.Path{}.Field("p"), &errs)
			if errs.Error() != tc.want {
				t.Errorf("got\n%s\nwant\n%s", errs, tc.want)
			}
		})
	}
}

func TestCheckMap(t *testing.T) {
	fields := conf.Fields{Names: []string{"typed_extension_protocol_options.type_url"}}
	msg := &clusterv3.Cluster{TypedExtensionProtocolOptions: map[string]*anypb.Any{
		"b": {TypeUrl: "x", Value: []byte{1}}, "a": {Value: []byte{1}}, "c": {TypeUrl: "x"}}}
	var errs conf.Errors
	conf.Check(msg, fields, conf.Path{}, &errs)
	const want = `typed_extension_protocol_options["a"].value: field value is not implemented
typed_extension_protocol_options["b"].value: field value is not implemented`
	if errs.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", errs, want)
	}
}

func TestSplit(t *testing.T) {
	md := (&routev3.QueryParameterMatcher{}).ProtoReflect().Descriptor()
	f := conf.Fields{Message: md.FullName(), Names: []string{"string_match.exact", "string_match.ignore_case", "name"}}
	in, out, err := f.Split(md)
	if err != nil || !slices.Equal(in, []string{"name", "string_match.exact", "string_match.ignore_case"}) {
		t.Error(in, err)
	}
	if !slices.Contains(out, "string_match.prefix") || !slices.Contains(out, "present_match") || slices.Contains(out, "name") {
		t.Error(out)
	}
	for _, bad := range []conf.Fields{
		{Message: md.FullName(), Names: []string{"nmae"}},
		{Message: md.FullName(), Names: []string{"string_match.nothing"}},
		{Message: md.FullName(), Names: []string{"name.inner"}},
		{Message: "a.B", Names: []string{"name"}},
	} {
		if _, _, err := bad.Split(md); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}
