package setmetadata

import (
	"testing"

	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func build(t *testing.T, scope *metrics.Scope, config string) (httpfilter.Builder, *metadatav3.Config) {
	t.Helper()
	msg := new(metadatav3.Config)
	if err := protojson.Unmarshal([]byte(config), msg); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	b := Factory{}.BuildHTTPFilter(msg, filtertest.Context(scope, nil), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	return b, msg
}

// A structOf is a Struct in JSON, for comparing.
func structOf(t *testing.T, json string) *structpb.Struct {
	t.Helper()
	s := new(structpb.Struct)
	if err := protojson.Unmarshal([]byte(json), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValues(t *testing.T) {
	const have = `{"n": 1, "list": ["a"], "other": ["x"], "tags": {"t0": 1, "deep": {"l": [1]}}, "null": 1, "same": 1}`
	for _, tc := range []struct {
		name, config, want string
		denied             int64
	}{
		{"absent", `{"metadata": [{"metadata_namespace": "new", "value": {"a": 1}}]}`, have, 0},
		{"present", `{"metadata": [{"metadata_namespace": "ns", "value": {"a": 1}}, {"metadata_namespace": "ns", "value": {}}]}`, have, 2},
		{"merged", `{"metadata": [{"metadata_namespace": "ns", "allow_overwrite": true, "value": {"n": 2, "list": ["b", "c"], "other": 1,
			"tags": {"t1": 1, "deep": {"l": [2], "m": "v"}}, "null": null, "new": []}}]}`,
			`{"n": 2, "list": ["a", "b", "c"], "other": 1, "tags": {"t0": 1, "t1": 1, "deep": {"l": [1, 2], "m": "v"}}, "null": null,
			"same": 1, "new": []}`, 0},
		{"deprecated", `{"metadata_namespace": "ns", "value": {"same": 2}, "metadata": [{"metadata_namespace": "ns", "value": {"same": 3}}]}`,
			`{"n": 1, "list": ["a"], "other": ["x"], "tags": {"t0": 1, "deep": {"l": [1]}}, "null": 1, "same": 2}`, 1},
		{"deprecated without a value", `{"metadata_namespace": "ns"}`, have, 0},
		{"deprecated without a name", `{"value": {"same": 2}}`, have, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scope := metrics.New(1)
			b, msg := build(t, scope, tc.config)
			before := proto.Clone(msg)
			shared := structOf(t, have)
			s := filtertest.New(loop.New(1))
			s.Build(b)
			for range 2 { // the second request must not see what the first one made
				s.Info.SetMetadata("ns", shared)
				s.Request(true, ":method", "GET")
				if got, want := s.Info.Metadata["ns"], structOf(t, tc.want); !proto.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				s.Respond(true, ":status", "200")
				s.Recycle()
			}
			if !proto.Equal(msg, before) {
				t.Errorf("the configuration became %v", msg)
			}
			if !proto.Equal(shared, structOf(t, have)) {
				t.Errorf("the metadata of another became %v", shared)
			}
			if n := scope.Value("http.in.set_metadata.overwrite_denied"); int64(n) != 2*tc.denied {
				t.Errorf("denied %d, want %d", n, 2*tc.denied)
			}
		})
	}
}

func TestTypedValues(t *testing.T) {
	first, err := anypb.New(wrapperspb.String("first"))
	if err != nil {
		t.Fatal(err)
	}
	const text = `{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "second"}`
	scope := metrics.New(1)
	b, _ := build(t, scope, `{"metadata": [
		{"metadata_namespace": "kept", "typed_value": `+text+`},
		{"metadata_namespace": "replaced", "typed_value": `+text+`, "allow_overwrite": true},
		{"metadata_namespace": "new", "typed_value": `+text+`},
		{"metadata_namespace": "both", "value": {"a": 1}, "typed_value": `+text+`},
		{"metadata_namespace": "empty"}]}`)
	s := filtertest.New(loop.New(1))
	s.Build(b)
	s.Info.SetTypedMetadata("kept", first)
	s.Info.SetTypedMetadata("replaced", first)
	s.Request(true, ":method", "GET")
	for namespace, want := range map[string]string{"kept": "first", "replaced": "second", "new": "second"} {
		var got wrapperspb.StringValue
		if err := s.Info.TypedMetadata[namespace].UnmarshalTo(&got); err != nil || got.GetValue() != want {
			t.Errorf("%s: %v, %v", namespace, got.GetValue(), err)
		}
	}
	if len(s.Info.TypedMetadata) != 3 { // not "both", not "empty"
		t.Errorf("typed: %v", s.Info.TypedMetadata)
	}
	if n := s.Info.Metadata["both"].GetFields()["a"].GetNumberValue(); n != 1 {
		t.Errorf("both: %v", s.Info.Metadata)
	}
	if n := scope.Value("http.in.set_metadata.overwrite_denied"); n != 1 {
		t.Errorf("denied %d", n)
	}
}

func TestRoute(t *testing.T) {
	scope := metrics.New(1)
	b, msg := build(t, scope, `{"metadata": [{"metadata_namespace": "ns", "value": {"a": 1}}]}`)
	ctx := filtertest.Context(scope, nil)
	var errs conf.Errors
	other := proto.Clone(msg).(*metadatav3.Config)
	other.Metadata = append(other.Metadata, &metadatav3.Metadata{MetadataNamespace: "ns", AllowOverwrite: true, Value: structOf(t, `{"b": 2}`)})
	r := &route.Route{FilterConfigs: []route.FilterConfig{
		{Filter: "filter", Config: Factory{}.BuildRouteConfig(other, ctx, conf.Path{}, &errs)},
		{Filter: "filter", Config: Factory{}.BuildRouteConfig(msg, ctx, conf.Path{}, &errs)},
	}}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	s.Build(b)
	s.Request(true, ":method", "GET")
	if got, want := s.Info.Metadata["ns"], structOf(t, `{"a": 1, "b": 2}`); !proto.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if own, routes := scope.Value("http.in.set_metadata.overwrite_denied"), scope.Value("set_metadata.overwrite_denied"); own != 0 || routes != 1 {
		t.Errorf("denied %d and %d", own, routes)
	}
}

func TestConfigErrors(t *testing.T) {
	var errs conf.Errors
	msg := &metadatav3.Config{Metadata: []*metadatav3.Metadata{{MetadataNamespace: "a"}, {}}}
	if (Factory{}).BuildHTTPFilter(msg, filtertest.Context(metrics.New(1), nil), conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	if (Factory{}).BuildRouteConfig(msg, filtertest.Context(metrics.New(1), nil), conf.Path{}, new(conf.Errors)) != nil {
		t.Error("built for a route")
	}
	if got, want := errs.Error(), "metadata[1].metadata_namespace: must not be empty"; got != want {
		t.Error(got)
	}
	for i, m := range []proto.Message{&metadatav3.Config{}, &metadatav3.Metadata{}} {
		if _, missing, err := (Factory{}).Fields()[i].Split(m.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
			t.Error(missing, err)
		}
	}
}
