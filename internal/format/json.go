package format

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// jsonFormat implements format.Format with a JSON object on a line of its own.
type jsonFormat struct {
	root      *object
	omitEmpty bool
}

// Append implements format.Format.
func (f *jsonFormat) Append(dst []byte, e *format.Entry) []byte {
	dst, _ = f.root.append(dst, e, f.omitEmpty)
	return append(dst, '\n')
}

// Literal implements format.Format.
func (f *jsonFormat) Literal() (string, bool) {
	if f.root.hasOperators() {
		return "", false
	}
	return string(f.Append(nil, &format.Entry{})), true
}

// A node is a value of a JSON format.
type node interface {
	// append appends the value, and reports false if it is one that omit_empty_values
	// leaves out: null, or an object without fields.
	append(dst []byte, e *format.Entry, omitEmpty bool) ([]byte, bool)
	hasOperators() bool
}

type object struct {
	keys   []string // as they are written: "key":
	values []node
}

func (o *object) append(dst []byte, e *format.Entry, omitEmpty bool) ([]byte, bool) {
	empty := true
	dst = append(dst, '{')
	for i, value := range o.values {
		mark := len(dst)
		if !empty {
			dst = append(dst, ',')
		}
		var present bool
		dst, present = value.append(append(dst, o.keys[i]...), e, omitEmpty)
		if !present && omitEmpty {
			dst = dst[:mark]
			continue
		}
		empty = false
	}
	return append(dst, '}'), !empty
}

func (o *object) hasOperators() bool { return slices.ContainsFunc(o.values, node.hasOperators) }

type array []node

func (a array) append(dst []byte, e *format.Entry, omitEmpty bool) ([]byte, bool) {
	empty := true
	dst = append(dst, '[')
	for _, value := range a {
		mark := len(dst)
		if !empty {
			dst = append(dst, ',')
		}
		var present bool
		dst, present = value.append(dst, e, omitEmpty)
		if !present && omitEmpty {
			dst = dst[:mark]
			continue
		}
		empty = false
	}
	return append(dst, ']'), true
}

func (a array) hasOperators() bool { return slices.ContainsFunc(a, node.hasOperators) }

// static is a value without operators.
type static string

func (s static) append(dst []byte, _ *format.Entry, _ bool) ([]byte, bool) {
	return append(dst, s...), s != "null"
}

func (s static) hasOperators() bool { return false }

// typed is an operator that is the whole value: it keeps its type.
type typed struct{ piece }

func (t *typed) append(dst []byte, e *format.Entry, _ bool) ([]byte, bool) {
	start := len(dst)
	dst, k := t.op(append(dst, '"'), e)
	switch k {
	case text:
		dst = escapeJSON(t.cut(dst, start+1), start+1)
		return append(dst, '"'), true
	case literal:
		return replace(dst, start, start+1), true
	}
	return append(dst[:start], "null"...), false
}

func (t *typed) hasOperators() bool { return true }

// mixed is a string of several pieces. The literal ones are escaped already.
type mixed []piece

func (m mixed) append(dst []byte, e *format.Entry, omitEmpty bool) ([]byte, bool) {
	dst = append(dst, '"')
	for i := range m {
		start := len(dst)
		if dst = m[i].appendText(dst, e, omitEmpty); m[i].op != nil {
			dst = escapeJSON(dst, start)
		}
	}
	return append(dst, '"'), true
}

func (m mixed) hasOperators() bool { return true }

// compileObject compiles the fields of a JSON format, in the order of their names.
// Errors go to errs.
func (c *Compiler) compileObject(s *structpb.Struct, path conf.Path, errs *conf.Errors) *object {
	o := &object{}
	for _, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		o.keys = append(o.keys, string(append(appendString(nil, key), ':')))
		o.values = append(o.values, c.compileValue(s.Fields[key], path.Key(key), errs))
	}
	return o
}

func (c *Compiler) compileValue(v *structpb.Value, path conf.Path, errs *conf.Errors) node {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return c.compileObject(v.StructValue, path, errs)
	case *structpb.Value_ListValue:
		items := array{}
		for i, item := range v.ListValue.GetValues() {
			items = append(items, c.compileValue(item, path.Index(i), errs))
		}
		return items
	case *structpb.Value_StringValue:
		return c.compileString(v.StringValue, path, errs)
	}
	return static(appendValue(nil, v))
}

func (c *Compiler) compileString(s string, path conf.Path, errs *conf.Errors) node {
	pieces, err := c.parse(s)
	if err != nil {
		errs.Add(path, "%v", err)
		return nil
	}
	for i := range pieces {
		p := &pieces[i]
		p.encode = false // JSON escapes
		p.lit = string(escapeJSON([]byte(p.lit), 0))
	}
	switch {
	case len(pieces) == 0:
		return static(`""`)
	case len(pieces) > 1:
		return mixed(pieces)
	case pieces[0].op == nil:
		return static(`"` + pieces[0].lit + `"`)
	}
	p := pieces[0]
	if p.alone != nil {
		p.op = p.alone
	}
	return &typed{p}
}
