package cel

import (
	"encoding/base64"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// Value returns the value of the expression for e as JSON has it, nil if there is none.
func (x *Expression) Value(e *format.Entry) *structpb.Value {
	value, ok := x.Eval(e)
	if !ok {
		return nil
	}
	return toJSON(value)
}

// toJSON returns nil for what JSON cannot say.
func toJSON(value ref.Val) *structpb.Value {
	switch v := value.(type) {
	case types.Bool:
		return structpb.NewBoolValue(bool(v))
	case types.Int:
		return structpb.NewNumberValue(float64(v))
	case types.Uint:
		return structpb.NewNumberValue(float64(v))
	case types.Double:
		return structpb.NewNumberValue(float64(v))
	case types.String:
		return structpb.NewStringValue(string(v))
	case types.Bytes:
		return structpb.NewStringValue(base64.StdEncoding.EncodeToString(v))
	case types.Null:
		return structpb.NewNullValue()
	case types.Duration:
		return messageToJSON(durationpb.New(v.Duration))
	case types.Timestamp:
		return messageToJSON(timestamppb.New(v.Time))
	case *lazyMap:
		if v.keys == nil {
			return nil
		}
		return mapToJSON(v)
	case traits.Mapper:
		return mapToJSON(v)
	case traits.Lister:
		return listToJSON(v)
	}
	if m, ok := value.Value().(proto.Message); ok {
		return messageToJSON(m)
	}
	return nil
}

func mapToJSON(m traits.Mapper) *structpb.Value {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.ConvertToType(types.StringType).(types.String)
		value := toJSON(m.Get(key))
		if !ok || value == nil {
			return nil
		}
		out.Fields[string(name)] = value
	}
	return structpb.NewStructValue(out)
}

func listToJSON(l traits.Lister) *structpb.Value {
	out := &structpb.ListValue{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		value := toJSON(it.Next())
		if value == nil {
			return nil
		}
		out.Values = append(out.Values, value)
	}
	return structpb.NewListValue(out)
}

// messageToJSON returns the message in the JSON mapping of protobuf, with the names of
// the fields as they are declared.
func messageToJSON(m proto.Message) *structpb.Value {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil
	}
	value := &structpb.Value{}
	if protojson.Unmarshal(text, value) != nil {
		return nil
	}
	return value
}
