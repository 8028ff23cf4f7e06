package protoconv

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A scalar is a YAML or JSON scalar as Envoy reads it before it knows the type
// of the field.
type scalar struct {
	kind   scalarKind
	text   string // of a boolean "true" or "false"
	source string // as it is written
}

type scalarKind uint8

const (
	null scalarKind = iota
	boolean
	number
	text
)

// String describes the scalar for an error message.
func (s scalar) String() string {
	switch s.kind {
	case null:
		return "null"
	case boolean:
		return "the boolean " + s.source
	case number:
		return "the number " + s.source
	}
	return "the string " + strconv.Quote(s.source)
}

const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// resolve types a scalar by Envoy's rules. YAML booleans are those of YAML
// 1.1, integers may be hexadecimal or octal and are strings beyond 32 bits, and
// fractions are always strings; a number field reads them all alike. JSON is
// taken as it is.
func (d *decoder) resolve(n *yaml.Node) scalar {
	switch {
	case n.Style&quoted != 0 || n.Style&yaml.TaggedStyle != 0: // checkTag has left only !!str
		return scalar{text, n.Value, n.Value}
	case n.Value == "" || n.Value == "~" || n.Value == "null" || n.Value == "Null" || n.Value == "NULL":
		return scalar{null, "null", n.Value}
	}
	if b, ok := yamlBool(n.Value); ok {
		return scalar{boolean, strconv.FormatBool(b), n.Value}
	}
	if d.json {
		return scalar{number, n.Value, n.Value}
	}
	if i, ok := yamlInt(n.Value); ok {
		if i < math.MinInt32 || i > math.MaxInt32 {
			return scalar{text, strconv.FormatInt(i, 10), n.Value}
		}
		return scalar{number, strconv.FormatInt(i, 10), n.Value}
	}
	return scalar{text, n.Value, n.Value}
}

// yamlBool reads the booleans of YAML 1.1: lower case, upper case, or with a
// capital.
func yamlBool(s string) (value, ok bool) {
	lower := strings.ToLower(s)
	if s != lower && s != strings.ToUpper(s) && s != strings.ToUpper(s[:1])+lower[1:] {
		return false, false
	}
	switch lower {
	case "y", "yes", "true", "on":
		return true, true
	case "n", "no", "false", "off":
		return false, true
	}
	return false, false
}

// yamlInt reads a decimal, 0x hexadecimal or 0 octal integer, and nothing else
// that strconv would take for one.
func yamlInt(s string) (int64, bool) {
	digits := strings.ToLower(strings.TrimLeft(s, "+-"))
	if strings.Contains(digits, "_") || strings.HasPrefix(digits, "0b") || strings.HasPrefix(digits, "0o") {
		return 0, false
	}
	i, err := strconv.ParseInt(s, 0, 64)
	return i, err == nil
}

// parseScalar turns s into a value of fd's kind. The error says what was
// wanted.
func parseScalar(s scalar, fd protoreflect.FieldDescriptor) (protoreflect.Value, error) {
	switch kind := fd.Kind(); kind {
	case protoreflect.BoolKind:
		return parseBool(s)
	case protoreflect.StringKind:
		if s.kind != text {
			return protoreflect.Value{}, fmt.Errorf("want a string, got %s; quote it to make it one", s)
		}
		if !utf8.ValidString(s.text) {
			return protoreflect.Value{}, errors.New("not valid UTF-8")
		}
		return protoreflect.ValueOfString(s.text), nil
	case protoreflect.BytesKind:
		return parseBytes(s)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return parseFloat(s, kind)
	case protoreflect.EnumKind:
		return parseEnum(s, fd.Enum())
	default:
		return parseInteger(s, kind)
	}
}

func wanted(what string, s scalar) (protoreflect.Value, error) {
	return protoreflect.Value{}, fmt.Errorf("want %s, got %s", what, s)
}

func parseBool(s scalar) (protoreflect.Value, error) {
	if s.kind == boolean || s.kind == text { // Envoy reads quoted booleans too
		switch strings.ToLower(s.text) {
		case "true", "t", "yes", "y", "1":
			return protoreflect.ValueOfBool(true), nil
		case "false", "f", "no", "n", "0":
			return protoreflect.ValueOfBool(false), nil
		}
	}
	return wanted("a boolean", s)
}

func parseBytes(s scalar) (protoreflect.Value, error) {
	enc := base64.StdEncoding
	if strings.ContainsAny(s.text, "-_") {
		enc = base64.URLEncoding
	}
	if len(s.text)%4 != 0 {
		enc = enc.WithPadding(base64.NoPadding)
	}
	b, err := enc.DecodeString(s.text)
	if s.kind != text || err != nil {
		return wanted("base64", s)
	}
	return protoreflect.ValueOfBytes(b), nil
}

func parseInteger(s scalar, kind protoreflect.Kind) (protoreflect.Value, error) {
	bits, signed := 64, true
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		bits = 32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		bits, signed = 32, false
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		signed = false
	}
	digits := s.text
	if f, ok := decimal(s); ok && strings.ContainsAny(digits, ".eE") && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		digits = strconv.FormatFloat(f, 'f', 0, 64) // 1e3 and 2.0 are integers too
	}
	i, err := strconv.ParseInt(digits, 10, bits)
	u := uint64(i)
	if !signed {
		u, err = strconv.ParseUint(strings.TrimPrefix(digits, "+"), 10, bits)
	}
	switch {
	case s.kind != number && s.kind != text, err != nil && !outOfRange(digits, err):
		return wanted("an integer", s)
	case err != nil && !signed:
		return wanted(fmt.Sprintf("an integer of at least 0 and less than 2^%d", bits), s)
	case err != nil:
		return wanted(fmt.Sprintf("an integer of %d bits", bits), s)
	case signed && bits == 32:
		return protoreflect.ValueOfInt32(int32(i)), nil
	case signed:
		return protoreflect.ValueOfInt64(i), nil
	case bits == 32:
		return protoreflect.ValueOfUint32(uint32(u)), nil
	}
	return protoreflect.ValueOfUint64(u), nil
}

// outOfRange reports whether digits are an integer after all, that err found
// too large or negative.
func outOfRange(digits string, err error) bool {
	_, negative := strconv.ParseInt(digits, 10, 64)
	return errors.Is(err, strconv.ErrRange) || negative == nil
}

func parseFloat(s scalar, kind protoreflect.Kind) (protoreflect.Value, error) {
	f, ok := decimal(s)
	switch {
	case s.kind == text && s.text == "NaN":
		f, ok = math.NaN(), true
	case s.kind == text && s.text == "Infinity":
		f, ok = math.Inf(1), true
	case s.kind == text && s.text == "-Infinity":
		f, ok = math.Inf(-1), true
	}
	if !ok || kind == protoreflect.FloatKind && math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0) {
		return wanted("a number", s)
	}
	if kind == protoreflect.FloatKind {
		return protoreflect.ValueOfFloat32(float32(f)), nil
	}
	return protoreflect.ValueOfFloat64(f), nil
}

// decimal reads a decimal number; strconv alone takes hexadecimal fractions,
// underscores and words for numbers too.
func decimal(s scalar) (float64, bool) {
	if s.kind != number && s.kind != text || strings.Trim(s.text, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s.text, 64)
	return f, err == nil
}

// errUnknownEnum marks a name that the enum does not have, which a lenient load
// skips like an unknown field.
var errUnknownEnum = errors.New("unknown enum value")

func parseEnum(s scalar, ed protoreflect.EnumDescriptor) (protoreflect.Value, error) {
	values := ed.Values()
	if s.kind == number || s.kind == text {
		if i, err := strconv.ParseInt(s.text, 10, 32); err == nil {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(i)), nil
		}
	}
	if s.kind != text {
		return wanted("a value of "+string(ed.Name()), s)
	}
	if v := values.ByName(protoreflect.Name(s.text)); v != nil {
		return protoreflect.ValueOfEnum(v.Number()), nil
	}
	loose := strings.ReplaceAll(s.text, "-", "_") // Envoy folds case and dashes
	names := make([]string, values.Len())
	for i := range names {
		names[i] = string(values.Get(i).Name())
		if strings.EqualFold(names[i], loose) {
			return protoreflect.ValueOfEnum(values.Get(i).Number()), nil
		}
	}
	return protoreflect.Value{}, fmt.Errorf("%w %q; want one of %s", errUnknownEnum, s.text, strings.Join(names, ", "))
}
