package protoconv_test

import (
	"strings"
	"testing"

	udpatype "github.com/cncf/xds/go/udpa/type/v1"
	xds "github.com/cncf/xds/go/xds/annotations/v3"
	xdstype "github.com/cncf/xds/go/xds/type/v3"
	"github.com/envoyproxy/go-control-plane/envoy/annotations"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func filters(list ...*anypb.Any) *listenerv3.FilterChain {
	chain := &listenerv3.FilterChain{}
	for _, packed := range list {
		chain.Filters = append(chain.Filters, &listenerv3.Filter{Name: "x", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed}})
	}
	return chain
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidateInsideAny(t *testing.T) {
	hcm := &hcmv3.HttpConnectionManager{
		StatPrefix: "x",
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       "nested",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, &tcpproxyv3.TcpProxy{})},
		}},
	}
	msg := filters(pack(t, hcm), &anypb.Any{TypeUrl: "type.googleapis.com/no.Such"},
		&anypb.Any{TypeUrl: pack(t, hcm).TypeUrl, Value: []byte("garbage")})
	_, err := protoconv.Validate(msg, conf.Path{}.Field("chain"), protoconv.Options{})
	const want = `chain.filters[0].typed_config.http_filters[0].typed_config.stat_prefix: value length must be at least 1 runes
chain.filters[0].typed_config.http_filters[0].typed_config: one of cluster, weighted_clusters is required
chain.filters[0].typed_config: one of rds, route_config, scoped_routes is required
chain.filters[1].typed_config: no implementation registered for type type.googleapis.com/no.Such
chain.filters[2].typed_config: not a valid binary envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`
	if errorText(err) != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestRulePaths(t *testing.T) {
	for _, tc := range []struct {
		msg  proto.Message
		want string
	}{
		{&clusterv3.Cluster{Name: "a", HealthChecks: []*corev3.HealthCheck{{}}}, "health_checks[0]: one of"},
		{&corev3.Address{}, "one of socket_address, pipe, envoy_internal_address is required"},
		{&corev3.TransportSocket{}, "name: value length must be at least 1 runes"},
		{&corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{"": {}}}, `typed_filter_metadata[""]: value length`},
	} {
		_, err := protoconv.Validate(tc.msg, conf.Path{}, protoconv.Options{})
		if !strings.Contains(errorText(err), tc.want) {
			t.Errorf("%T: got %v, want %s", tc.msg, err, tc.want)
		}
	}
}

func TestUnknownBinaryFields(t *testing.T) {
	chain := filters(pack(t, &tcpproxyv3.TcpProxy{StatPrefix: "x", ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: "a"}}))
	config := chain.Filters[0].GetTypedConfig()
	config.Value = protowire.AppendVarint(protowire.AppendTag(config.Value, 5000, protowire.VarintType), 1)
	const want = "filters[0].typed_config: unknown field number 5000 of envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
	if _, err := protoconv.Validate(chain, conf.Path{}, protoconv.Options{}); errorText(err) != want {
		t.Errorf("got %v", err)
	}
	warnings, err := protoconv.Validate(chain, conf.Path{}, protoconv.Options{Unknown: protoconv.WarnUnknown})
	if err != nil || len(warnings) != 1 || warnings[0].Error.Error() != want || warnings[0].Kind != protoconv.UnknownField {
		t.Errorf("got %v (%v)", warnings, err)
	}
}

func TestTypedStructInBinary(t *testing.T) {
	fields := func(kv map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(kv)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const tcpProxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
	hcm := &xdstype.TypedStruct{
		TypeUrl: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		Value: fields(map[string]any{"stat_prefix": "x", "rds": map[string]any{"config_source": map[string]any{"ads": map[string]any{}}},
			"max_request_headers_kb": 20, "stream_idle_timeout": "0.5s", "generate_request_id": false, "via": nil,
			"http_filters": []any{map[string]any{"name": "n", "typed_config": map[string]any{"@type": tcpProxy, "stat_prefix": "t", "cluster": "c"}}}}),
	}
	tcp := &udpatype.TypedStruct{TypeUrl: tcpProxy, Value: fields(map[string]any{"stat_prefix": "t", "cluster": "c"})}
	msg := filters(pack(t, hcm), pack(t, pack(t, tcp)))
	if _, err := protoconv.Validate(msg, conf.Path{}, protoconv.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := msg.Filters[0].GetTypedConfig(); got.TypeUrl != hcm.TypeUrl {
		t.Error("the TypedStruct is still there:", got.TypeUrl)
	}
	got := string(protoconv.MarshalJSON(msg, protoconv.Print{}))
	const want = `{"filters":[{"name":"x","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",` +
		`"stat_prefix":"x","rds":{"config_source":{"ads":{}}},"http_filters":[{"name":"n","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy","stat_prefix":"t","cluster":"c"}}],` +
		`"generate_request_id":false,"stream_idle_timeout":"0.500s","max_request_headers_kb":20}},` +
		`{"name":"x","typed_config":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy","stat_prefix":"t","cluster":"c"}}}]}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	// One of an unknown type stays: an optional extension can be left out.
	unknown := filters(pack(t, &xdstype.TypedStruct{TypeUrl: "example/shop.Unknown", Value: fields(map[string]any{"a": 1})}))
	if _, err := protoconv.Validate(unknown, conf.Path{}, protoconv.Options{}); err != nil {
		t.Error(err)
	}
	if got, want := unknown.Filters[0].GetTypedConfig().TypeUrl, "type.googleapis.com/xds.type.v3.TypedStruct"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	bad := filters(pack(t, &xdstype.TypedStruct{TypeUrl: tcpProxy, Value: fields(map[string]any{"stat_prefix": 1, "nothing": 1})}))
	_, err := protoconv.Validate(bad, conf.Path{}, protoconv.Options{})
	const wantError = "filters[0].typed_config.nothing: unknown field of envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n" +
		"filters[0].typed_config.stat_prefix: want a string, got the number 1; quote it to make it one"
	if errorText(err) != wantError {
		t.Errorf("got\n%v\nwant\n%s", err, wantError)
	}
}

// annotated returns a message type with the annotations that Envoy's protos
// carry in some release or other.
func annotated(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	gone := &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}
	proto.SetExtension(gone, annotations.E_DisallowedByDefault, true)
	proto.SetExtension(gone, annotations.E_DeprecatedAtMinorVersion, "3.0")
	young := &descriptorpb.FieldOptions{}
	proto.SetExtension(young, xds.E_FieldStatus, &xds.FieldStatusAnnotation{WorkInProgress: true})
	oldValue := &descriptorpb.EnumValueOptions{Deprecated: proto.Bool(true)}
	file := &descriptorpb.FileOptions{}
	proto.SetExtension(file, xds.E_FileStatus, &xds.FileStatusAnnotation{WorkInProgress: true})
	number := func(i int32) *int32 { return &i }
	field := func(name string, i int32, o *descriptorpb.FieldOptions) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &i, Options: o,
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	mode := field("mode", 4, nil)
	mode.Type, mode.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), proto.String(".test.Mode")
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"), Options: file,
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{
			field("old", 1, &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}), field("gone", 2, gone), field("young", 3, young), mode}}},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("Mode"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: proto.String("NEW"), Number: number(0)}, {Name: proto.String("OLD"), Number: number(1), Options: oldValue}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().Get(0)
}

func TestAnnotations(t *testing.T) {
	md := annotated(t)
	const unfinished = "work_in_progress f:1:1: test.M is work in progress: it may change or go without notice\n"
	const gone = "f:1:1: gone: field test.M.gone is deprecated since API version 3.0 and no longer allowed; the runtime key \"envoy.deprecated_features:test.M.gone\" set to true allows it for now"
	for _, tc := range []struct {
		yaml, runtime  string
		errs, warnings string
	}{
		{"{}", "", "", unfinished},
		{"old: x", "", "", unfinished + "deprecated f:1:1: old: field test.M.old is deprecated\n"},
		{"gone: x", "", gone, unfinished},
		{"gone: x", "envoy.deprecated_features:test.M.gone", "", unfinished + "deprecated f:1:1: gone: field test.M.gone is deprecated since API version 3.0\n"},
		{"gone: x", "envoy.features.enable_all_deprecated_features", "", unfinished + "deprecated f:1:1: gone: field test.M.gone is deprecated since API version 3.0\n"},
		{"young: x", "", "", unfinished + "work_in_progress f:1:1: young: field test.M.young is work in progress: it may change or go without notice\n"},
		{"mode: OLD", "", "", unfinished + "deprecated f:1:1: mode: value test.OLD is deprecated\n"},
	} {
		opts := protoconv.Options{Runtime: func(key string, otherwise bool) bool { return otherwise || key == tc.runtime }}
		res, err := protoconv.Load(dynamicpb.NewMessage(md), opts, protoconv.Source{Name: "f", Data: []byte(tc.yaml)})
		warnings := ""
		for _, w := range res.Warnings {
			w.Line, w.Column = 1, 1 // the message itself has no position
			warnings += string(w.Kind) + " " + w.Error.Error() + "\n"
		}
		if errorText(err) != tc.errs || warnings != tc.warnings {
			t.Errorf("%s with %q: got\n%v\n%s", tc.yaml, tc.runtime, err, warnings)
		}
	}
	refuse := protoconv.Options{Runtime: func(string, bool) bool { return false }}
	if _, err := protoconv.Load(dynamicpb.NewMessage(md), refuse, protoconv.Source{Data: []byte("old: x")}); err == nil {
		t.Error("a runtime key set to false does not refuse a deprecated field")
	}
}
