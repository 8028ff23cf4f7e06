package protoconv

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A specialDecoder decodes a message that has a form of its own in JSON.
type specialDecoder func(d *decoder, n *yaml.Node, m protoreflect.Message, path conf.Path, here *place, depth int)

// wellKnown returns the decoder of a message with a form of its own, or nil.
// Empty is not among them: its form is that of any message without fields.
func wellKnown(name protoreflect.FullName) specialDecoder {
	if name.Parent() != "google.protobuf" {
		return nil
	}
	switch name.Name() {
	case "Any":
		return (*decoder).any
	case "Duration":
		return textForm(`a duration in seconds, such as "1.5s"`, parseDuration)
	case "Timestamp":
		return textForm(`a time, such as "2006-01-02T15:04:05Z"`, parseTimestamp)
	case "FieldMask":
		return textForm("field paths with commas between", parseFieldMask)
	case "Struct":
		return (*decoder).structure
	case "ListValue":
		return (*decoder).listValue
	case "Value":
		return (*decoder).dynamic
	case "BoolValue", "Int32Value", "Int64Value", "UInt32Value", "UInt64Value",
		"FloatValue", "DoubleValue", "StringValue", "BytesValue":
		return (*decoder).wrapper
	}
	return nil
}

func fieldOf(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(name)
}

// wrapper decodes google.protobuf.UInt32Value and its kin.
func (d *decoder) wrapper(n *yaml.Node, m protoreflect.Message, path conf.Path, here *place, depth int) {
	d.field(n, m, fieldOf(m, "value"), path, here, depth)
}

// textForm makes a decoder of a message that is a string in JSON. parse sets
// the message or returns false; want says what it reads.
func textForm(want string, parse func(text string, m protoreflect.Message) bool) specialDecoder {
	return func(d *decoder, n *yaml.Node, m protoreflect.Message, path conf.Path, _ *place, _ int) {
		if n.Kind == yaml.ScalarNode {
			if s := d.resolve(n); s.kind == text && parse(s.text, m) {
				return
			}
		}
		d.fail(n, path, "want %s, got %s", want, d.describe(n))
	}
}

// maxSeconds is the largest google.protobuf.Duration, 10,000 years.
const maxSeconds = 315_576_000_000

// parseDuration reads decimal seconds with at most nine digits of a fraction:
// "1.5s".
func parseDuration(s string, m protoreflect.Message) bool {
	number, ok := strings.CutSuffix(s, "s")
	unsigned, negative := strings.CutPrefix(number, "-")
	whole, fraction, _ := strings.Cut(unsigned, ".")
	if !ok || whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" || len(fraction) > 9 {
		return false
	}
	seconds, err := strconv.ParseInt("0"+whole, 10, 64)
	if err != nil || seconds > maxSeconds {
		return false
	}
	nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 32)
	if err != nil || seconds == maxSeconds && nanos > 0 {
		return false
	}
	if negative {
		seconds, nanos = -seconds, -nanos
	}
	setTime(m, seconds, int32(nanos))
	return true
}

func parseTimestamp(s string, m protoreflect.Message) bool {
	t, err := time.Parse(time.RFC3339Nano, s)
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 {
		return false
	}
	setTime(m, t.Unix(), int32(t.Nanosecond()))
	return true
}

// setTime sets a Duration or Timestamp.
func setTime(m protoreflect.Message, seconds int64, nanos int32) {
	if seconds != 0 {
		m.Set(fieldOf(m, "seconds"), protoreflect.ValueOfInt64(seconds))
	}
	if nanos != 0 {
		m.Set(fieldOf(m, "nanos"), protoreflect.ValueOfInt32(nanos))
	}
}

// parseFieldMask reads comma-separated lowerCamel paths.
func parseFieldMask(s string, m protoreflect.Message) bool {
	if s == "" {
		return true
	}
	paths := m.Mutable(fieldOf(m, "paths")).List()
	for path := range strings.SplitSeq(s, ",") {
		if path == "" {
			return false
		}
		paths.Append(protoreflect.ValueOfString(snakeCase(path)))
	}
	return true
}

func snakeCase(camel string) string {
	var b strings.Builder
	for i := range len(camel) {
		if c := camel[i]; 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
			b.WriteByte(c + 'a' - 'A')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// structure decodes google.protobuf.Struct; an entry replaces one of the same
// key. Positions inside are not kept: no component reports them.
func (d *decoder) structure(n *yaml.Node, m protoreflect.Message, path conf.Path, _ *place, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "want a mapping, got %s", d.describe(n))
		return
	}
	fields := m.Mutable(fieldOf(m, "fields")).Map()
	for _, e := range d.entries(n, path, depth) {
		key := deref(e.key).Value
		v := fields.NewValue()
		d.message(e.value, v.Message(), path.Key(key), nil, depth+1)
		fields.Set(protoreflect.ValueOfString(key).MapKey(), v)
	}
}

// listValue decodes google.protobuf.ListValue.
func (d *decoder) listValue(n *yaml.Node, m protoreflect.Message, path conf.Path, _ *place, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "want a list, got %s", d.describe(n))
		return
	}
	values := m.Mutable(fieldOf(m, "values")).List()
	for i, item := range n.Content {
		v := values.NewElement()
		d.message(item, v.Message(), path.Index(i), nil, depth+1)
		values.Append(v)
	}
}

// dynamic decodes google.protobuf.Value.
func (d *decoder) dynamic(n *yaml.Node, m protoreflect.Message, path conf.Path, _ *place, depth int) {
	switch n.Kind {
	case yaml.MappingNode:
		d.structure(n, m.Mutable(fieldOf(m, "struct_value")).Message(), path, nil, depth)
		return
	case yaml.SequenceNode:
		d.listValue(n, m.Mutable(fieldOf(m, "list_value")).Message(), path, nil, depth)
		return
	}
	s, name := d.resolve(n), protoreflect.Name("string_value")
	switch s.kind {
	case null:
		m.Set(fieldOf(m, "null_value"), protoreflect.ValueOfEnum(0))
		return
	case boolean:
		name = "bool_value"
	case number:
		name = "number_value"
	}
	fd := fieldOf(m, name)
	v, err := parseScalar(s, fd)
	if err != nil {
		d.fail(n, path, "%v", err)
		return
	}
	m.Set(fd, v)
}

// any decodes google.protobuf.Any: the type under "@type", and beside it the
// fields of that type, or its own form under "value". An empty mapping is an empty
// Any.
func (d *decoder) any(n *yaml.Node, m protoreflect.Message, path conf.Path, here *place, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, `want a mapping with "@type", got %s`, d.describe(n))
		return
	}
	entries := d.entries(n, path, depth)
	if len(entries) == 0 {
		return
	}
	if url, rest, ok := d.take(n, entries, "@type", "@type", path); ok {
		d.pack(n, url, rest, m, path, here, depth)
	}
}

// take returns the text of the entry called name (or camel), as a node, and
// the other entries. It fails if there is none, or no text in it.
func (d *decoder) take(n *yaml.Node, entries []entry, name, camel string, path conf.Path) (found *yaml.Node, rest []entry, ok bool) {
	for _, e := range entries {
		if key := deref(e.key).Value; found == nil && (key == name || key == camel) {
			found = deref(e.value)
		} else {
			rest = append(rest, e)
		}
	}
	switch {
	case found == nil:
		d.fail(n, path, "%q is missing", name)
	case found.Kind != yaml.ScalarNode || d.resolve(found).kind != text:
		d.fail(found, path, "%q: want a string, got %s", name, d.describe(found))
	default:
		return found, rest, true
	}
	return nil, nil, false
}

// pack sets m, an Any, to the message of type url that the entries describe. A
// TypedStruct becomes the message it stands for, if that is known.
func (d *decoder) pack(n, url *yaml.Node, entries []entry, m protoreflect.Message, path conf.Path, here *place, depth int) {
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url.Value)
	if err != nil || !strings.Contains(url.Value, "/") {
		d.fail(url, path, "no implementation registered for type %s", url.Value)
		return
	}
	name := mt.Descriptor().FullName()
	inner := mt.New()
	switch {
	case isTypedStruct(name) && !standsForUnknown(entries):
		d.typedStruct(n, entries, m, path, here, depth)
		return
	case wellKnown(name) != nil:
		// Without a value it is an empty message, as in Envoy.
		if value := d.takeValue(entries, path); value != nil {
			d.message(value, inner, path, here, depth+1)
		}
	default:
		d.fields(entries, inner, path, here, depth)
	}
	if err := setAny(m, url.Value, inner); err != nil {
		d.fail(n, path, "%v", err)
	}
}

// takeValue returns the entry "value" and reports every other as unknown.
func (d *decoder) takeValue(entries []entry, path conf.Path) (value *yaml.Node) {
	for _, e := range entries {
		if key := deref(e.key).Value; key == "value" {
			value = e.value
		} else {
			d.lenient(e.key, path.Field(key), `unknown field; the content belongs into "value"`)
		}
	}
	return value
}

// setAny packs inner into m, an Any, replacing what was there.
func setAny(m protoreflect.Message, url string, inner protoreflect.Message) error {
	b, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(inner.Interface())
	if err != nil {
		return err
	}
	m.Set(fieldOf(m, "type_url"), protoreflect.ValueOfString(url))
	m.Set(fieldOf(m, "value"), protoreflect.ValueOfBytes(b))
	return nil
}
