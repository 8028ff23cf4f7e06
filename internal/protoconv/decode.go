package protoconv

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// maxValues bounds the values of a source of the given size once its aliases are
// replaced, so that a few lines of aliases to aliases cannot grow without end.
func maxValues(size int) int { return 1<<17 + 4*size }

// A decoder turns the tree of one source into messages. It goes on after an
// error, so that all of them are found.
type decoder struct {
	file     string
	json     bool // scalars are JSON's, not Envoy's YAML
	unknown  Unknown
	errs     conf.Errors
	warnings []Warning
	values   int // still allowed
	overrun  bool
}

// at makes an error at node n.
func (d *decoder) at(n *yaml.Node, path conf.Path, format string, args ...any) conf.Error {
	return conf.Error{File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)}
}

func (d *decoder) fail(n *yaml.Node, path conf.Path, format string, args ...any) {
	d.errs = append(d.errs, d.at(n, path, format, args...))
}

// lenient reports an unknown field, type or enum value: an error or a warning.
func (d *decoder) lenient(n *yaml.Node, path conf.Path, format string, args ...any) {
	if e := d.at(n, path, format, args...); d.unknown == WarnUnknown {
		d.warnings = append(d.warnings, Warning{UnknownField, e})
	} else {
		d.errs = append(d.errs, e)
	}
}

// value replaces an alias by what it stands for, and checks the bounds and the
// tag. It reports false, after an error, if the value cannot be used.
func (d *decoder) value(n *yaml.Node, path conf.Path, depth int) (*yaml.Node, bool) {
	use := deref(n)
	d.values--
	switch tagged := use.Style&yaml.TaggedStyle != 0; {
	case d.values < 0:
		if !d.overrun {
			d.fail(n, path, "too many values after replacing aliases")
		}
		d.overrun = true
		return nil, false
	case depth > maxDepth:
		d.fail(n, path, "nested deeper than %d levels", maxDepth)
		return nil, false
	case tagged && use.Tag != "!!str" && use.Tag != "!!map" && use.Tag != "!!seq":
		d.fail(use, path, "the YAML tag %s is not supported", use.Tag)
		return nil, false
	}
	return use, true
}

// An entry is one key of a mapping with its value.
type entry struct {
	key   *yaml.Node
	value *yaml.Node
}

// entries returns the entries of mapping n: without those whose key is tagged
// !ignore, and with those that a merge key (<<) brings in and n itself does not
// have.
func (d *decoder) entries(n *yaml.Node, path conf.Path, depth int) []entry {
	list := make([]entry, 0, len(n.Content)/2)
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		switch {
		case n.Content[i].Tag == "!ignore":
		case key.Kind != yaml.ScalarNode:
			d.fail(n.Content[i], path, "a key must be a scalar")
		case key.Tag == "!!merge":
			merges = append(merges, value)
		case first[key.Value] != nil:
			d.fail(n.Content[i], path.Field(key.Value), "given twice, first in line %d", first[key.Value].Line)
		default:
			first[key.Value] = n.Content[i]
			list = append(list, entry{n.Content[i], value})
		}
	}
	for _, m := range merges {
		for _, e := range d.merged(m, path, depth+1) {
			if name := deref(e.key).Value; first[name] == nil {
				first[name] = e.key
				list = append(list, e)
			}
		}
	}
	return list
}

// merged returns the entries that the value of a merge key stands for: a
// mapping, or a list of mappings of which the earlier win.
func (d *decoder) merged(n *yaml.Node, path conf.Path, depth int) (list []entry) {
	n, ok := d.value(n, path, depth)
	switch {
	case !ok:
	case n.Kind == yaml.MappingNode:
		list = d.entries(n, path, depth)
		d.values -= len(list)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			list = append(list, d.merged(item, path, depth+1)...)
		}
	default:
		d.fail(n, path, "the merge key << wants a mapping or a list of mappings")
	}
	return list
}

// deref returns the node that n stands for if it is an alias, otherwise n.
func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// message decodes n into m, adding to what m holds as proto.Merge does: lists
// grow, messages merge, and a scalar that is given and not zero replaces.
func (d *decoder) message(n *yaml.Node, m protoreflect.Message, path conf.Path, here *place, depth int) {
	n, ok := d.value(n, path, depth)
	if !ok {
		return
	}
	if special := wellKnown(m.Descriptor().FullName()); special != nil {
		special(d, n, m, path, here, depth)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "want a mapping (%s), got %s", m.Descriptor().FullName(), d.describe(n))
		return
	}
	d.fields(d.entries(n, path, depth), m, path, here, depth)
}

// describe says what n is, for a message about what was wanted instead.
func (d *decoder) describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return d.resolve(n).String()
}

// fields decodes the entries of a mapping into the fields of m.
func (d *decoder) fields(entries []entry, m protoreflect.Message, path conf.Path, here *place, depth int) {
	md := m.Descriptor()
	seen := map[protoreflect.FullName]string{} // fields and oneofs, by the name they were given
	for _, e := range entries {
		name := deref(e.key).Value
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			fd = md.Fields().ByJSONName(name)
		}
		if fd == nil {
			d.lenient(e.key, path.Field(name), "unknown field of %s%s", md.FullName(), suggest(name, md))
			continue
		}
		at := path.Field(string(fd.Name()))
		if d.isNull(e.value) && !takesNull(fd) {
			continue // as if it were not there
		}
		if other, twice := seen[fd.FullName()]; twice {
			d.fail(e.key, at, "given twice, as %s and as %s", other, name)
			continue
		}
		seen[fd.FullName()] = name
		if of := fd.ContainingOneof(); of != nil && !of.IsSynthetic() {
			if other, twice := seen[of.FullName()]; twice {
				d.fail(e.key, at, "only one of %s and %s may be given", other, name)
				continue
			}
			seen[of.FullName()] = name
		}
		d.field(e.value, m, fd, at, here.step(at, d.file, e.key.Line, e.key.Column), depth+1)
	}
}

// isNull reports whether n is the scalar null.
func (d *decoder) isNull(n *yaml.Node) bool {
	n = deref(n)
	return n.Kind == yaml.ScalarNode && d.resolve(n).kind == null
}

// takesNull reports whether null is a value of fd rather than its absence.
func takesNull(fd protoreflect.FieldDescriptor) bool {
	switch {
	case fd.IsList() || fd.IsMap():
		return false
	case fd.Message() != nil:
		return fd.Message().FullName() == "google.protobuf.Value"
	}
	return fd.Enum() != nil && fd.Enum().FullName() == "google.protobuf.NullValue"
}

// field decodes n into field fd of m.
func (d *decoder) field(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, path conf.Path, here *place, depth int) {
	switch {
	case fd.IsMap():
		d.mapField(n, m, fd, path, here, depth)
	case fd.IsList():
		d.list(n, m, fd, path, here, depth)
	case fd.Message() != nil:
		d.message(n, m.Mutable(fd).Message(), path, here, depth)
	default:
		if v, ok := d.scalar(n, fd, path, depth); ok && (fd.HasPresence() || !v.Equal(fd.Default())) {
			m.Set(fd, v)
		}
	}
}

// list decodes n into the list fd. A single value is a list of one, as for
// Envoy.
func (d *decoder) list(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, path conf.Path, here *place, depth int) {
	n, ok := d.value(n, path, depth)
	if !ok {
		return
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	list := m.Mutable(fd).List()
	for _, item := range items {
		at := path.Index(list.Len())
		inner := here.step(at, d.file, item.Line, item.Column)
		v := list.NewElement() // stays if the item is wrong, so that positions fit
		switch dynamic := fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Value"; {
		case d.isNull(item) && !dynamic:
			d.fail(item, at, "an element of a list must not be null")
		case fd.Message() != nil:
			d.message(item, v.Message(), at, inner, depth+1)
		default:
			if got, ok := d.scalar(item, fd, at, depth+1); ok {
				v = got
			}
		}
		list.Append(v)
	}
}

// mapField decodes n into the map fd. An entry replaces one of the same key.
func (d *decoder) mapField(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, path conf.Path, here *place, depth int) {
	n, ok := d.value(n, path, depth)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "want a mapping, got %s", d.describe(n))
		return
	}
	entries := m.Mutable(fd).Map()
	for _, e := range d.entries(n, path, depth) {
		name := deref(e.key).Value
		at := path.Key(name)
		key, err := parseScalar(scalar{text, name, name}, fd.MapKey())
		if err != nil {
			d.fail(e.key, at, "the key: %v", err)
			continue
		}
		inner := here.step(at, d.file, e.key.Line, e.key.Column)
		switch value := fd.MapValue(); {
		case d.isNull(e.value) && !takesNull(value):
			d.fail(e.value, at, "the value must not be null")
		case value.Message() != nil:
			v := entries.NewValue()
			d.message(e.value, v.Message(), at, inner, depth+1)
			entries.Set(key.MapKey(), v)
		default:
			if v, ok := d.scalar(e.value, value, at, depth+1); ok {
				entries.Set(key.MapKey(), v)
			}
		}
	}
}

// scalar decodes n into a value of fd's kind.
func (d *decoder) scalar(n *yaml.Node, fd protoreflect.FieldDescriptor, path conf.Path, depth int) (protoreflect.Value, bool) {
	n, ok := d.value(n, path, depth)
	if !ok {
		return protoreflect.Value{}, false
	}
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "want a single value, got %s", d.describe(n))
		return protoreflect.Value{}, false
	}
	s := d.resolve(n)
	if s.kind == null && fd.Enum() != nil && fd.Enum().FullName() == "google.protobuf.NullValue" {
		return protoreflect.ValueOfEnum(0), true
	}
	v, err := parseScalar(s, fd)
	switch {
	case errors.Is(err, errUnknownEnum):
		d.lenient(n, path, "%v", err)
	case err != nil:
		d.fail(n, path, "%v", err)
	}
	return v, err == nil
}
