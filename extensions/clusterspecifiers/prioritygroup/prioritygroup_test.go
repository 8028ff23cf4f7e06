package prioritygroup

import (
	"testing"

	groupv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

type clusters struct{ upstream.Clusters }

func (clusters) Known(name string) bool { return name != "nope" }

func build(t *testing.T, json string) (route.ClusterSpecifier, conf.Errors) {
	t.Helper()
	m := &groupv3.PriorityGroupClusterSpecifier{}
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	ctx := extension.ClusterSpecifierContext{ValidateClusters: true}
	ctx.Clusters = clusters{}
	return Factory{}.BuildClusterSpecifier(m, ctx, conf.Path{}, &errs), errs
}

type hash uint64

func (h hash) HashRequest(*httpmsg.Headers, *streaminfo.Stream, func(route.Cookie)) (uint64, bool) {
	return uint64(h), h != 0
}

const groups = `"priority_groups": [
  {"name": "near", "clusters": [{"cluster_name": "n1", "weight": 2}, {"cluster_name": "n2", "weight": 1}]},
  {"name": "far", "clusters": [{"cluster_name": "f", "weight": 1}]}]`

func TestSpecifyCluster(t *testing.T) {
	for _, tc := range []struct {
		fields   string // besides groups
		metadata string // below ns
		attempt  int
		header   []string
		hash     hash
		random   uint64
		want     string
	}{
		{random: 0, want: "n1"}, {random: 1, want: "n1"}, {random: 2, want: "n2"}, {random: 3, want: "n1"},
		{attempt: 1, random: 2, want: "n2"}, {attempt: 2, want: "f"}, {attempt: 3, want: "f"}, {attempt: 9, want: "f"},
		{fields: `, "header_name": "X-R"`, header: []string{"2"}, want: "n2"},
		{fields: `, "header_name": "X-R"`, header: []string{"2", "2"}, want: "n1"},
		{fields: `, "header_name": "X-R"`, header: []string{"x"}, random: 2, want: "n2"},
		{fields: `, "use_hash_policy": true`, hash: 2, want: "n2"},
		{fields: `, "use_hash_policy": true`, random: 2, want: "n2"},
		{fields: `, "use_hash_policy": false`, hash: 2, want: "n1"},

		{metadata: `[{"name": "far"}]`, want: "n1"}, // nobody asks for it
		{fields: over, metadata: `[{"name": "far"}]`, want: "f"},
		{fields: over, metadata: `[{"name": "far"}, {"name": "near"}]`, attempt: 2, random: 2, want: "n2"},
		{fields: over, metadata: `[{"name": "far"}]`, attempt: 5, want: "f"},
		{fields: over, metadata: `[{"name": "who"}]`, want: "n1"},
		{fields: over, metadata: `[]`, want: "n1"}, {fields: over, metadata: `"x"`, want: "n1"}, {fields: over, metadata: `[1]`, want: "n1"},
		{fields: over, metadata: `[{"name": "x", "clusters": [{"cluster_name": "a", "weight": 1}, {"cluster_name": "b", "weight": 2}]}]`, random: 1, want: "b"},
		{fields: over, metadata: `[{"name": "x", "clusters": [{"cluster_name": "a", "weight": 0}]}]`, want: "n1"},
		{fields: over, metadata: `[{"name": "x", "clusters": [{"cluster_name": "a", "weight": 1.5}]}]`, want: "n1"},
		{fields: over, metadata: `[{"name": "x", "clusters": [{"weight": 1}]}]`, want: "n1"},
		{fields: over, metadata: `[{"clusters": [{"cluster_name": "a", "weight": 1}]}]`, want: "n1"},
	} {
		s, errs := build(t, "{"+groups+tc.fields+"}")
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		h := new(httpmsg.Headers)
		for _, v := range tc.header {
			h.Add("x-r", v)
		}
		info := &streaminfo.Stream{AttemptCount: tc.attempt}
		if tc.metadata != "" {
			fields := &structpb.Struct{}
			if err := protojson.Unmarshal([]byte(`{"priority_groups": `+tc.metadata+`}`), fields); err != nil {
				t.Fatal(err)
			}
			info.SetMetadata("ns", fields)
		}
		if got := s.SpecifyCluster(&route.Forward{Hash: tc.hash}, h, info, tc.random); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	s, _ := build(t, "{"+groups+over+"}")
	if got := s.SpecifyCluster(&route.Forward{}, new(httpmsg.Headers), nil, 0); got != "n1" {
		t.Errorf("without a stream: %s", got)
	}
}

const over = `, "override_metadata_namespace": "ns"`

func TestErrors(t *testing.T) {
	for json, want := range map[string]string{
		`{}`:                        "priority_groups: must not be empty",
		`{"priority_groups": [{}]}`: "priority_groups[0].name: must not be empty\npriority_groups[0].clusters: must not be empty",
		`{"priority_groups": [{"name": "a", "clusters": [{"cluster_name": "nope", "weight": 1}, {"weight": 0}]}]}`: "priority_groups[0].clusters[0].cluster_name: unknown cluster \"nope\"\n" +
			"priority_groups[0].clusters[1].cluster_name: must not be empty\npriority_groups[0].clusters[1].weight: must be at least 1",
	} {
		if _, errs := build(t, json); errs.Error() != want {
			t.Errorf("%s:\n%s\nwant\n%s", json, errs, want)
		}
	}
}
