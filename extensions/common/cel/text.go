package cel

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/traits"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// AppendText appends the value of the expression for e as Envoy writes it in a text.
// It reports false if there is none.
func (x *Expression) AppendText(dst []byte, e *format.Entry) ([]byte, bool) {
	value, ok := x.Eval(e)
	if !ok {
		return dst, false
	}
	switch v := value.(type) {
	case types.Bool:
		return strconv.AppendBool(dst, bool(v)), true
	case types.Int:
		return strconv.AppendInt(dst, int64(v), 10), true
	case types.Uint:
		return strconv.AppendUint(dst, uint64(v), 10), true
	case types.Double:
		return strconv.AppendFloat(dst, float64(v), 'g', 6, 64), true
	case types.String:
		return append(dst, v...), true
	case types.Bytes:
		return append(dst, v...), true
	case types.Duration:
		return appendDuration(dst, v.Duration), true
	case types.Timestamp:
		return v.UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999999-07:00"), true
	case types.Null:
		return append(dst, "NULL"...), true
	case traits.Mapper:
		return append(dst, "CelMap value"...), true
	case traits.Lister:
		return append(dst, "CelList value"...), true
	}
	if m, ok := value.Value().(proto.Message); ok {
		return appendMessage(dst, m.ProtoReflect()), true
	}
	if value.Type() == types.TypeType {
		return append(dst, "CelType value"...), true
	}
	return dst, false
}

// appendDuration appends a duration as 1h2m3.5s, without parts that are zero.
func appendDuration(dst []byte, d time.Duration) []byte {
	if d == 0 {
		return append(dst, '0')
	}
	rest := uint64(d)
	if d < 0 {
		dst, rest = append(dst, '-'), -rest
	}
	unit := func(size uint64, name string) {
		if n := rest / size; n > 0 {
			dst = append(strconv.AppendUint(dst, n, 10), name...)
		}
		rest %= size
	}
	decimal := func(size float64, name string) []byte {
		return append(strconv.AppendFloat(dst, float64(rest)/size, 'f', -1, 64), name...)
	}
	switch {
	case rest < 1e3:
		return decimal(1, "ns")
	case rest < 1e6:
		return decimal(1e3, "us")
	case rest < 1e9:
		return decimal(1e6, "ms")
	}
	unit(uint64(time.Hour), "h")
	unit(uint64(time.Minute), "m")
	if rest == 0 {
		return dst
	}
	return decimal(1e9, "s")
}

// appendMessage appends a message in the text format of protobuf, on one line: each
// field is followed by a space.
func appendMessage(dst []byte, m protoreflect.Message) []byte {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		switch value := m.Get(f); {
		case f.IsMap():
			dst = appendMap(dst, f, value.Map())
		case f.IsList():
			for j := range value.List().Len() {
				dst = appendField(dst, f, value.List().Get(j))
			}
		default:
			dst = appendField(dst, f, value)
		}
	}
	return dst
}

func appendMap(dst []byte, f protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	var keys []protoreflect.MapKey
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	for _, key := range keys {
		dst = append(append(dst, f.Name()...), " { "...)
		dst = appendField(dst, f.MapKey(), key.Value())
		dst = append(appendField(dst, f.MapValue(), m.Get(key)), "} "...)
	}
	return dst
}

func appendField(dst []byte, f protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	dst = append(dst, f.Name()...)
	switch x := v.Interface().(type) {
	case protoreflect.Message:
		dst = append(appendMessage(append(dst, " { "...), x), '}')
	case string:
		dst = appendQuoted(append(dst, ": "...), x)
	case []byte:
		dst = appendQuoted(append(dst, ": "...), string(x))
	case protoreflect.EnumNumber:
		dst = append(dst, ": "...)
		if value := f.Enum().Values().ByNumber(x); value != nil {
			dst = append(dst, value.Name()...)
		} else {
			dst = strconv.AppendInt(dst, int64(x), 10)
		}
	case float64:
		dst = strconv.AppendFloat(append(dst, ": "...), x, 'g', -1, 64)
	default:
		dst = fmt.Append(append(dst, ": "...), x)
	}
	return append(dst, ' ')
}

// appendQuoted appends s in quotes, with what is not ASCII in octal.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\'' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, `\n`...)
		case b == '\r':
			dst = append(dst, `\r`...)
		case b == '\t':
			dst = append(dst, `\t`...)
		case b < ' ' || b >= 0x7f:
			dst = append(dst, '\\', '0'+b>>6, '0'+b>>3&7, '0'+b&7)
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}
