package protoconv

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func isTypedStruct(name protoreflect.FullName) bool {
	return name == "xds.type.v3.TypedStruct" || name == "udpa.type.v1.TypedStruct"
}

// standsForUnknown reports whether the entries of a TypedStruct name a type that nobody
// knows. Such a message stays what it is: whoever reads it may not need it.
func standsForUnknown(entries []entry) bool {
	for _, e := range entries {
		if key := deref(e.key).Value; key == "type_url" || key == "typeUrl" {
			url := deref(e.value).Value
			return url != "" && !isKnown(url)
		}
	}
	return false
}

func isKnown(url string) bool {
	_, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	return err == nil
}

// typedStruct decodes the entries of a TypedStruct, type_url and value, into
// the Any m as if the type and its fields stood there directly.
func (d *decoder) typedStruct(n *yaml.Node, entries []entry, m protoreflect.Message, path conf.Path, here *place, depth int) {
	url, entries, ok := d.take(n, entries, "type_url", "typeUrl", path)
	if !ok {
		return
	}
	var content []entry
	if value := d.takeValue(entries, path); value != nil {
		value, ok := d.value(value, path, depth+1)
		switch {
		case !ok:
			return
		case value.Kind != yaml.MappingNode:
			d.fail(value, path, `"value": want a mapping, got %s`, d.describe(value))
			return
		}
		content = d.entries(value, path, depth+1)
	}
	d.pack(n, url, content, m, path, here, depth+1)
}

// typedStruct replaces the packed TypedStruct by the message it stands for, if that is
// known, and walks it.
func (v *validator) typedStruct(packed *anypb.Any, typed protoreflect.Message, path conf.Path, depth int) (changed bool) {
	if url := typed.Get(fieldOf(typed, "type_url")).String(); url != "" && !isKnown(url) {
		return false
	}
	d := &decoder{json: true, unknown: v.opts.Unknown, values: math.MaxInt}
	content := &anypb.Any{}
	d.message(typedStructNode(packed.TypeUrl, typed), content.ProtoReflect(), path, &place{}, depth)
	v.errs = append(v.errs, d.errs...)
	v.warnings = append(v.warnings, d.warnings...)
	if len(d.errs) > 0 {
		return false
	}
	packed.TypeUrl, packed.Value = content.TypeUrl, content.Value
	v.any(packed, path, depth+1)
	return true
}

// typedStructNode is the tree of the Any that holds the given TypedStruct.
func typedStructNode(url string, typed protoreflect.Message) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, stringNode("@type"), stringNode(url),
		stringNode("type_url"), stringNode(typed.Get(fieldOf(typed, "type_url")).String()))
	if value, ok := typed.Get(fieldOf(typed, "value")).Message().Interface().(*structpb.Struct); ok {
		n.Content = append(n.Content, stringNode("value"), structNode(value))
	}
	return n
}

func stringNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: s}
}

func structNode(s *structpb.Struct) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		n.Content = append(n.Content, stringNode(key), valueNode(s.GetFields()[key]))
	}
	return n
}

func valueNode(v *structpb.Value) *yaml.Node {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return structNode(k.StructValue)
	case *structpb.Value_ListValue:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range k.ListValue.GetValues() {
			n.Content = append(n.Content, valueNode(item))
		}
		return n
	case *structpb.Value_StringValue:
		return stringNode(k.StringValue)
	case *structpb.Value_NumberValue:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(k.NumberValue, 'g', -1, 64)}
	case *structpb.Value_BoolValue:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(k.BoolValue)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}
}
