package routecheck

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// What the schema refers to.
	_ "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

const schemaPackage = "envoy.RouterCheckToolSchema"

// A schemaField is a field of a message of the test file: its type is a scalar's
// name or a message's, and * before it means repeated.
type schemaField struct {
	name string
	kind string
}

// validation returns the message that a test file holds. Envoy has it as
// test/tools/router_check/validation.proto, which is no part of its API.
func validation() (protoreflect.MessageDescriptor, error) {
	const (
		text    = "google.protobuf.StringValue"
		header  = "*envoy.config.core.v3.HeaderValue"
		matcher = "*envoy.config.route.v3.HeaderMatcher"
	)
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("nuncio/routecheck/validation.proto"), Package: proto.String(schemaPackage), Syntax: proto.String("proto3"),
		Dependency: []string{"envoy/config/core/v3/base.proto", "envoy/config/route/v3/route_components.proto",
			"google/protobuf/struct.proto", "google/protobuf/wrappers.proto"},
	}
	add := func(name string, fields ...schemaField) {
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for i, f := range fields {
			m.Field = append(m.Field, f.descriptor(int32(i+1)))
		}
		file.MessageType = append(file.MessageType, m)
	}
	add("Validation", schemaField{"tests", "*" + schemaPackage + ".ValidationItem"})
	add("ValidationItem", schemaField{"test_name", "string"}, schemaField{"input", schemaPackage + ".ValidationInput"},
		schemaField{"validate", schemaPackage + ".ValidationAssert"})
	add("ValidationInput", schemaField{"authority", "string"}, schemaField{"path", "string"}, schemaField{"method", "string"},
		schemaField{"random_value", "uint64"}, schemaField{"ssl", "bool"}, schemaField{"internal", "bool"}, schemaField{"runtime", "string"},
		schemaField{"additional_request_headers", header}, schemaField{"additional_response_headers", header},
		schemaField{"dynamic_metadata", "*" + schemaPackage + ".Metadata"})
	add("Metadata", schemaField{"metadata_namespace", "string"}, schemaField{"value", "google.protobuf.Struct"},
		schemaField{"allow_overwrite", "bool"})
	add("ValidationAssert", schemaField{"cluster_name", text}, schemaField{"virtual_cluster_name", text},
		schemaField{"virtual_host_name", text}, schemaField{"host_rewrite", text}, schemaField{"path_rewrite", text},
		schemaField{"path_redirect", text}, schemaField{"code_redirect", "google.protobuf.UInt32Value"},
		schemaField{"request_header_fields", header}, schemaField{"response_header_fields", header},
		schemaField{"request_header_matches", matcher}, schemaField{"response_header_matches", matcher})
	built, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	return built.Messages().ByName("Validation"), nil
}

func (f schemaField) descriptor(number int32) *descriptorpb.FieldDescriptorProto {
	d := &descriptorpb.FieldDescriptorProto{Name: &f.name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if f.kind[0] == '*' {
		f.kind, d.Label = f.kind[1:], descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	switch f.kind {
	case "string":
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	case "uint64":
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_UINT64.Enum()
	case "bool":
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum()
	default:
		d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String("."+f.kind)
	}
	return d
}

// A node reads a message of the test file.
type node struct{ protoreflect.Message }

func (n node) field(name string) protoreflect.Value {
	return n.Get(n.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func (n node) has(name string) bool {
	return n.Has(n.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func (n node) text(name string) string { return n.field(name).String() }

func (n node) message(name string) node { return node{n.field(name).Message()} }

func (n node) list(name string) []node {
	list := n.field(name).List()
	all := make([]node, list.Len())
	for i := range all {
		all[i] = node{list.Get(i).Message()}
	}
	return all
}

// as turns a message into that of the API.
func as[M proto.Message](n node, to M) (M, error) {
	wire, err := proto.Marshal(n.Interface())
	if err == nil {
		err = proto.Unmarshal(wire, to)
	}
	return to, err
}
