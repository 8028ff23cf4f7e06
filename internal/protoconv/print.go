package protoconv

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	udpa "github.com/cncf/xds/go/udpa/annotations"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Print says how a message is printed.
type Print struct {
	// Indent breaks lines and indents by one space, as Envoy's admin does;
	// otherwise JSON is one line. YAML is always indented.
	Indent bool
	// Redact hides what is marked sensitive: strings and bytes become
	// "[redacted]" (bytes in base64), other values are left out.
	Redact bool
}

// MarshalJSON returns msg in JSON: fields by their proto names in the order of their
// numbers, map keys sorted, Any expanded beside "@type". The same message gives
// the same bytes always. What an Any of an unknown type holds is printed in
// base64 under "value".
func MarshalJSON(msg proto.Message, opts Print) []byte {
	p := printer{Print: opts}
	p.message(msg.ProtoReflect(), false)
	return p.out
}

// MarshalYAML returns msg in YAML, otherwise as MarshalJSON does. Load gives the same message
// back if nothing was redacted.
func MarshalYAML(msg proto.Message, opts Print) ([]byte, error) {
	opts.Indent = false
	root, errs := parseJSON("", MarshalJSON(msg, opts))
	if errs != nil {
		return nil, errs
	}
	plain(root)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// plain takes the quotes off the strings that read as strings without them.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		for _, item := range n.Content {
			plain(item)
		}
		return
	}
	letter := n.Value != "" && (n.Value[0]|0x20 >= 'a' && n.Value[0]|0x20 <= 'z' || n.Value[0] == '/')
	if n.Style&quoted == 0 || !letter || strings.Trim(n.Value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != "" {
		return
	}
	bare := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}
	if (&decoder{}).resolve(bare).kind == text {
		n.Style = 0
	}
}

const redacted = "[redacted]"

type printer struct {
	Print
	out   []byte
	depth int
}

// list prints n elements between brackets; item prints one and may decline by
// returning false without output.
func (p *printer) list(open, shut byte, n int, item func(i int) bool) {
	p.out = append(p.out, open)
	p.depth++
	empty := true
	for i := range n {
		before := len(p.out)
		if !empty {
			p.out = append(p.out, ',')
		}
		p.newline()
		if !item(i) {
			p.out = p.out[:before]
			continue
		}
		empty = false
	}
	p.depth--
	if !empty {
		p.newline()
	}
	p.out = append(p.out, shut)
}

func (p *printer) newline() {
	if p.Indent {
		p.out = append(p.out, '\n')
		p.out = append(p.out, bytes.Repeat([]byte{' '}, p.depth)...)
	}
}

func (p *printer) key(name string) {
	p.text(name)
	p.out = append(p.out, ':')
	if p.Indent {
		p.out = append(p.out, ' ')
	}
}

// message prints m; secret means that it is inside something sensitive.
func (p *printer) message(m protoreflect.Message, secret bool) {
	switch name := m.Descriptor().FullName(); {
	case wellKnown(name) == nil:
		p.fields("", m, secret)
	case name.Name() == "Any":
		p.any(m, secret)
	case name.Name() == "Struct":
		p.entries(m.Get(fieldOf(m, "fields")).Map(), fieldOf(m, "fields"), secret)
	case name.Name() == "ListValue":
		p.elements(m.Get(fieldOf(m, "values")).List(), fieldOf(m, "values"), secret)
	case name.Name() == "Value":
		p.dynamic(m, secret)
	case fieldOf(m, "value") != nil: // a wrapper
		p.value(m.Get(fieldOf(m, "value")), fieldOf(m, "value"), secret)
	default: // Duration, Timestamp, FieldMask: strings
		p.special(m)
	}
}

// special prints what is a string in JSON, or null if it is out of its range.
func (p *printer) special(m protoreflect.Message) {
	b, err := protojson.Marshal(m.Interface())
	if err != nil {
		b = []byte("null")
	}
	p.out = append(p.out, b...)
}

// fields prints the fields of m as an object, after "@type" if url is not
// empty.
func (p *printer) fields(url string, m protoreflect.Message, secret bool) {
	var set []protoreflect.FieldDescriptor
	for i := range m.Descriptor().Fields().Len() {
		if fd := m.Descriptor().Fields().Get(i); m.Has(fd) {
			set = append(set, fd)
		}
	}
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
	first := 0
	if url != "" {
		first = 1
	}
	p.list('{', '}', first+len(set), func(i int) bool {
		if i < first {
			p.key("@type")
			p.text(url)
			return true
		}
		fd := set[i-first]
		p.key(string(fd.Name()))
		return p.field(m.Get(fd), fd, secret || p.Redact && sensitive(fd))
	})
}

func sensitive(fd protoreflect.FieldDescriptor) bool {
	marked, _ := proto.GetExtension(fd.Options(), udpa.E_Sensitive).(bool)
	return marked
}

// field prints the value of a field, or declines.
func (p *printer) field(v protoreflect.Value, fd protoreflect.FieldDescriptor, secret bool) bool {
	switch {
	case fd.IsMap():
		p.entries(v.Map(), fd, secret)
	case fd.IsList():
		p.elements(v.List(), fd, secret)
	default:
		return p.value(v, fd, secret)
	}
	return true
}

func (p *printer) elements(l protoreflect.List, fd protoreflect.FieldDescriptor, secret bool) {
	p.list('[', ']', l.Len(), func(i int) bool { return p.value(l.Get(i), fd, secret) })
}

func (p *printer) entries(m protoreflect.Map, fd protoreflect.FieldDescriptor, secret bool) {
	keys := sortedKeys(m)
	p.list('{', '}', len(keys), func(i int) bool {
		p.key(keys[i].String())
		return p.value(m.Get(keys[i]), fd.MapValue(), secret)
	})
}

// value prints one value of fd, or declines if it is a secret that cannot be
// shown as redacted.
func (p *printer) value(v protoreflect.Value, fd protoreflect.FieldDescriptor, secret bool) bool {
	switch kind := fd.Kind(); {
	case fd.Message() != nil:
		if secret && hidden(fd.Message()) {
			return false
		}
		p.message(v.Message(), secret)
	case kind == protoreflect.StringKind && secret:
		p.text(redacted)
	case kind == protoreflect.BytesKind && secret:
		p.text(base64.StdEncoding.EncodeToString([]byte(redacted)))
	case secret:
		return false
	case kind == protoreflect.StringKind:
		p.text(v.String())
	case kind == protoreflect.BytesKind:
		p.text(base64.StdEncoding.EncodeToString(v.Bytes()))
	case kind == protoreflect.EnumKind:
		p.enum(fd.Enum(), v.Enum())
	default:
		p.scalar(v)
	}
	return true
}

// hidden reports whether a sensitive message of this type has no form that can
// be shown as redacted.
func hidden(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value",
		"google.protobuf.StringValue", "google.protobuf.BytesValue":
		return false
	}
	return wellKnown(md.FullName()) != nil
}

func (p *printer) enum(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) {
	switch v := ed.Values().ByNumber(n); {
	case ed.FullName() == "google.protobuf.NullValue":
		p.out = append(p.out, "null"...)
	case v != nil:
		p.text(string(v.Name()))
	default:
		p.out = strconv.AppendInt(p.out, int64(n), 10)
	}
}

func (p *printer) scalar(v protoreflect.Value) {
	switch x := v.Interface().(type) {
	case bool:
		p.out = strconv.AppendBool(p.out, x)
	case int32:
		p.out = strconv.AppendInt(p.out, int64(x), 10)
	case uint32:
		p.out = strconv.AppendUint(p.out, uint64(x), 10)
	case int64:
		p.text(strconv.FormatInt(x, 10))
	case uint64:
		p.text(strconv.FormatUint(x, 10))
	case float32:
		p.float(float64(x), 32)
	case float64:
		p.float(x, 64)
	}
}

func (p *printer) float(f float64, bits int) {
	switch {
	case math.IsNaN(f):
		p.text("NaN")
	case math.IsInf(f, 1):
		p.text("Infinity")
	case math.IsInf(f, -1):
		p.text("-Infinity")
	default:
		format := byte('f')
		if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		p.out = strconv.AppendFloat(p.out, f, format, -1, bits)
	}
}

// dynamic prints a google.protobuf.Value; one without a kind is null. A secret
// number or boolean is redacted as a string is.
func (p *printer) dynamic(m protoreflect.Message, secret bool) {
	fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	switch {
	case fd == nil:
		p.out = append(p.out, "null"...)
	case secret && fd.Message() == nil:
		p.text(redacted)
	default:
		p.value(m.Get(fd), fd, secret)
	}
}

// any prints what is packed, or its bytes if the type is unknown.
func (p *printer) any(m protoreflect.Message, secret bool) {
	url := m.Get(fieldOf(m, "type_url")).String()
	value := m.Get(fieldOf(m, "value"))
	if url == "" {
		p.out = append(p.out, "{}"...)
		return
	}
	var inner protoreflect.Message
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err == nil {
		inner = mt.New()
		err = (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(value.Bytes(), inner.Interface())
	}
	switch {
	case err == nil && wellKnown(inner.Descriptor().FullName()) == nil:
		p.fields(url, inner, secret)
		return
	case err != nil:
		inner = nil
	}
	p.list('{', '}', 2, func(i int) bool {
		if i == 0 {
			p.key("@type")
			p.text(url)
			return true
		}
		p.key("value")
		switch {
		case inner == nil:
			return p.value(value, fieldOf(m, "value"), secret)
		case secret && hidden(inner.Descriptor()):
			return false
		}
		p.message(inner, secret)
		return true
	})
}

// text prints a JSON string. Like Envoy it escapes < and >, which keeps admin
// output harmless in a page.
func (p *printer) text(s string) {
	const hex = "0123456789abcdef"
	p.out = append(p.out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			p.out = append(p.out, '\\', byte(r))
		case r == '\n':
			p.out = append(p.out, `\n`...)
		case r == '\r':
			p.out = append(p.out, `\r`...)
		case r == '\t':
			p.out = append(p.out, `\t`...)
		case r < 0x20 || r == 0x7f || r == '<' || r == '>':
			p.out = append(p.out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default: // invalid UTF-8 becomes U+FFFD
			p.out = utf8.AppendRune(p.out, r)
		}
	}
	p.out = append(p.out, '"')
}
