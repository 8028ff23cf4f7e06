package format

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A source is where metadata comes from, by name space.
type source func(*streaminfo.Stream) map[string]*structpb.Struct

// metadata adds the operators on metadata.
func (t table) metadata() {
	dynamic := func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.Metadata }
	cluster := func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.Upstream.ClusterMetadata }
	host := func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.Upstream.HostMetadata }
	sources := map[string]source{
		"DYNAMIC": dynamic, "CLUSTER": cluster, "UPSTREAM_HOST": host,
		"ROUTE":        func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.RouteMetadata },
		"VIRTUAL_HOST": func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.VirtualHostMetadata },
		"LISTENER":     func(s *streaminfo.Stream) map[string]*structpb.Struct { return listener(s).Metadata },
		"LISTENER_FILTER_CHAIN": func(s *streaminfo.Stream) map[string]*structpb.Struct {
			return connection(s).FilterChainMetadata
		},
	}
	of := func(from source) func(*Compiler, string) (operator, error) {
		return func(_ *Compiler, arg string) (operator, error) { return metadata(from, arg), nil }
	}
	t["DYNAMIC_METADATA"] = spec{args: requiredArgs, limit: true, encode: true, build: of(dynamic)}
	t["CLUSTER_METADATA"] = spec{args: requiredArgs, encode: true, build: of(cluster)}
	t["UPSTREAM_METADATA"] = spec{args: requiredArgs, encode: true, build: of(host)}
	t["METADATA"] = spec{limit: true, encode: true, args: optionalArgs, build: func(_ *Compiler, arg string) (operator, error) {
		name, arg, _ := strings.Cut(arg, ":")
		from := sources[name]
		if from == nil {
			return nil, fmt.Errorf("%s is not supported type of metadata", name)
		}
		return metadata(from, arg), nil
	}}
}

// metadata prints the value at namespace:key:key...
func metadata(from source, arg string) operator {
	namespace, rest, hasKeys := strings.Cut(arg, ":")
	var keys []string
	if hasKeys {
		keys = strings.Split(rest, ":")
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		fields := from(e.Stream)[namespace]
		if fields == nil {
			return dst, missing
		}
		if len(keys) == 0 {
			return appendStruct(dst, fields), literal
		}
		var value *structpb.Value
		for _, key := range keys {
			value = fields.GetFields()[key]
			fields = value.GetStructValue()
		}
		return appendMetadata(dst, value)
	}
}

func appendMetadata(dst []byte, v *structpb.Value) ([]byte, kind) {
	switch v := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return dst, missing
	case *structpb.Value_StringValue:
		return append(dst, v.StringValue...), text
	}
	return appendValue(dst, v), literal
}

// appendValue appends v as JSON, on one line and with sorted keys.
func appendValue(dst []byte, v *structpb.Value) []byte {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return appendString(dst, v.StringValue)
	case *structpb.Value_NumberValue:
		return appendNumber(dst, v.NumberValue)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(dst, v.BoolValue)
	case *structpb.Value_StructValue:
		return appendStruct(dst, v.StructValue)
	case *structpb.Value_ListValue:
		dst = append(dst, '[')
		for i, item := range v.ListValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, item)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

func appendStruct(dst []byte, s *structpb.Struct) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		dst = appendValue(dst, s.Fields[key])
	}
	return append(dst, '}')
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := len(dst)
	return append(escapeJSON(append(dst, s...), start), '"')
}
