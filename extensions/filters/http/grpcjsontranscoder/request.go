package grpcjsontranscoder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxDepth bounds how deep objects and arrays of a request may be in one another.
const maxDepth = 100

// A value is what a binding puts into a field.
type value struct {
	field fieldPath
	text  string
}

// translateRequest makes the gRPC message of a JSON body, which may be empty, and of the
// values in path and query.
func (cfg *settings) translateRequest(r *rule, body []byte, values []value) ([]byte, error) {
	root, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	if n := len(r.body); root == nil && n > 0 && r.body[n-1].Message() != nil && !r.body[n-1].IsList() {
		root = map[string]any{} // the field is there, and empty
	}
	for i := len(r.body) - 1; i >= 0 && root != nil; i-- {
		root = map[string]any{string(r.body[i].Name()): root}
	}
	tree, ok := root.(map[string]any)
	switch {
	case root == nil:
		tree = map[string]any{}
	case !ok:
		return nil, errors.New("Expected an object instead of another value.")
	}
	in := r.method.Input()
	for _, v := range values {
		if err := cfg.weave(tree, v); err != nil {
			return nil, err
		}
	}
	if err := cfg.checkEnums(tree, in, ""); err != nil {
		return nil, err
	}
	m, err := cfg.message(in, tree)
	if err != nil {
		return nil, cfg.explain(tree, in, "", err)
	}
	return proto.Marshal(m)
}

// explain returns an error that names the field of tree that does not fit, or else err.
func (cfg *settings) explain(tree map[string]any, md protoreflect.MessageDescriptor, path string, err error) error {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		fd := findField(md, name)
		if fd == nil {
			continue
		}
		one := map[string]any{name: tree[name]}
		if _, failed := cfg.message(md, one); failed == nil {
			continue
		}
		at := path + string(fd.Name())
		if inner, ok := tree[name].(map[string]any); ok && fd.Message() != nil && !fd.IsMap() && !fd.IsList() {
			return cfg.explain(inner, fd.Message(), at+".", err)
		}
		return invalidValue(at, tree[name], fd)
	}
	return err
}

func invalidValue(path string, v any, fd protoreflect.FieldDescriptor) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: invalid value %s for type %s", path, text, typeName(fd))
}

// typeName is what protobuf calls the type of a field in errors.
func typeName(fd protoreflect.FieldDescriptor) string {
	const prefix = "type.googleapis.com/"
	switch {
	case fd.Message() != nil:
		return prefix + string(fd.Message().FullName())
	case fd.Enum() != nil:
		return prefix + string(fd.Enum().FullName())
	default:
		return "TYPE_" + strings.ToUpper(fd.Kind().String())
	}
}

func (cfg *settings) message(md protoreflect.MessageDescriptor, tree map[string]any) (proto.Message, error) {
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(md)
	options := protojson.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true, Resolver: cfg.types, RecursionLimit: maxDepth}
	return m, options.Unmarshal(text, m)
}

// parseJSON returns the value in text, nil if there is none.
func parseJSON(text []byte) (any, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if !utf8.Valid(text) {
		return nil, errors.New("Encountered non UTF-8 code points.")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("Parsing terminated before end of input.")
	}
	return v, nil
}

// weave puts a value into a tree of JSON objects. A value that the body has by the name
// of the field, and not by its JSON name, stays; to a list it is added.
func (cfg *settings) weave(tree map[string]any, v value) error {
	for _, fd := range v.field[:len(v.field)-1] {
		name := fieldName(tree, fd)
		inner, ok := tree[name].(map[string]any)
		if !ok {
			if tree[name] != nil {
				return fmt.Errorf("Expected an object in field %s.", fd.Name())
			}
			inner = map[string]any{}
			tree[name] = inner
		}
		tree = inner
	}
	fd := v.field[len(v.field)-1]
	leaf := leafValue(fd, v.text)
	name := string(fd.Name())
	have, ok := tree[name]
	_, nested := have.(map[string]any)
	switch {
	case nested:
		return invalidValue(name, v.text, fd)
	case fd.IsList():
		name = fieldName(tree, fd)
		list, _ := tree[name].([]any)
		tree[name] = append(list, leaf)
	case !ok:
		delete(tree, fd.JSONName())
		tree[name] = woven{leaf}
	case isWoven(have):
		tree[name] = woven{leaf} // the last one of a query counts
	case cfg.rejectCollisions && !cfg.same(fd, have, leaf):
		return fmt.Errorf("The binding value %q of the field %s is conflicting with the value %v in the body.", v.text, name, have)
	}
	return nil
}

// woven is a value that did not come from the body.
type woven struct{ value any }

func isWoven(v any) bool {
	_, ok := v.(woven)
	return ok
}

// MarshalJSON implements json.Marshaler.
func (w woven) MarshalJSON() ([]byte, error) { return json.Marshal(w.value) }

// fieldName returns the name that an object has a field by.
func fieldName(tree map[string]any, fd protoreflect.FieldDescriptor) string {
	if _, ok := tree[string(fd.Name())]; !ok {
		if _, ok := tree[fd.JSONName()]; ok {
			return fd.JSONName()
		}
	}
	return string(fd.Name())
}

// same reports whether two values of a field mean the same.
func (cfg *settings) same(fd protoreflect.FieldDescriptor, a, b any) bool {
	name := string(fd.Name())
	left, err := cfg.message(fd.ContainingMessage(), map[string]any{name: a})
	if err != nil {
		return false
	}
	right, err := cfg.message(fd.ContainingMessage(), map[string]any{name: b})
	return err == nil && proto.Equal(left, right)
}

// leafValue is the JSON for the text of a binding. What JSON writes as a string stays.
func leafValue(fd protoreflect.FieldDescriptor, text string) any {
	kind := fd.Kind()
	if md := fd.Message(); md != nil && md.FullName() == "google.protobuf.BoolValue" {
		kind = protoreflect.BoolKind
	}
	switch kind {
	case protoreflect.BoolKind:
		switch strings.ToLower(text) {
		case "true", "t", "yes", "y", "1":
			return true
		case "false", "f", "no", "n", "0":
			return false
		}
	case protoreflect.EnumKind:
		if n, err := strconv.ParseInt(text, 10, 32); err == nil {
			return n
		}
	}
	return text
}

// checkEnums looks for names of enum values in tree that do not exist, which protojson
// drops, and changes those that are only spelled otherwise if that is asked for.
func (cfg *settings) checkEnums(tree map[string]any, md protoreflect.MessageDescriptor, path string) error {
	for name, v := range tree {
		fd := findField(md, name)
		if fd == nil {
			continue
		}
		var err error
		at := path + string(fd.Name())
		entries, isObject := v.(map[string]any)
		list, isArray := v.([]any)
		switch {
		case fd.IsMap() && isObject:
			for key, entry := range entries {
				if entries[key], err = cfg.checkEnum(entry, fd.MapValue(), at); err != nil {
					return err
				}
			}
		case fd.IsList() && isArray:
			for i := range list {
				if list[i], err = cfg.checkEnum(list[i], fd, at); err != nil {
					return err
				}
			}
		default:
			if tree[name], err = cfg.checkEnum(v, fd, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (cfg *settings) checkEnum(v any, fd protoreflect.FieldDescriptor, path string) (any, error) {
	switch v := v.(type) {
	case woven:
		inner, err := cfg.checkEnum(v.value, fd, path)
		return woven{inner}, err
	case map[string]any:
		if fd.Message() != nil {
			return v, cfg.checkEnums(v, fd.Message(), path+".")
		}
	case string:
		if fd.Enum() == nil || fd.Enum().FullName() == "google.protobuf.NullValue" {
			break
		}
		name := v
		if cfg.anyCaseEnums {
			name = strings.ReplaceAll(strings.ToUpper(v), "-", "_")
		}
		for _, name := range [...]string{v, name} {
			if fd.Enum().Values().ByName(protoreflect.Name(name)) != nil {
				return name, nil
			}
		}
		return nil, invalidValue(path, v, fd)
	}
	return v, nil
}
