package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Fields declares which fields of one configuration message a component
// implements. It is data: Check refuses every other field by name, and
// docs/parity.md is generated from the same lists.
type Fields struct {
	// Message is the full name of the configuration message.
	Message protoreflect.FullName
	// Where tells a list from another one of the same message that holds elsewhere, as
	// "routes"; "" if there is no other.
	Where string
	// Names are the implemented fields by proto name. "a" implements the field
	// a with all that is in it (or another component checks the inside), "a.b"
	// of the message in a only the field b, whether a is one message, a list
	// or a map of messages.
	Names []string
}

// Check adds an error to errs for every field that is set in msg and that
// fields does not declare. path is the place of msg. The declaration must fit
// the message, which Fields.Split tests.
func Check(msg proto.Message, fields Fields, path Path, errs *Errors) {
	check(msg.ProtoReflect(), fields.Names, path, errs)
}

func check(m protoreflect.Message, names []string, path Path, errs *Errors) {
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		if !m.Has(fd) {
			continue
		}
		at := path.Field(string(fd.Name()))
		whole, inner := declared(names, fd.Name())
		switch {
		case whole:
		case len(inner) == 0:
			errs.Add(at, "field %s is not implemented", fd.Name())
		default:
			checkInside(m.Get(fd), fd, inner, at, errs)
		}
	}
}

func checkInside(v protoreflect.Value, fd protoreflect.FieldDescriptor, names []string, path Path, errs *Errors) {
	switch {
	case fd.IsMap():
		entries := map[string]protoreflect.Message{}
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			entries[k.String()] = v.Message()
			return true
		})
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			check(entries[key], names, path.Key(key), errs)
		}
	case fd.IsList():
		for i := range v.List().Len() {
			check(v.List().Get(i).Message(), names, path.Index(i), errs)
		}
	default:
		check(v.Message(), names, path, errs)
	}
}

// declared reports whether names holds the field itself, and which fields of
// its message it holds.
func declared(names []string, field protoreflect.Name) (whole bool, inner []string) {
	for _, name := range names {
		first, rest, nested := strings.Cut(name, ".")
		switch {
		case first != string(field):
		case nested:
			inner = append(inner, rest)
		default:
			whole = true
		}
	}
	return whole, inner
}

// Split compares the declaration with the message's descriptor and returns the
// proto names of the implemented and of the missing fields, in the order of
// the proto file, with dots where only a part of a field is implemented. It
// fails if the declaration names a field the message does not have; the test of
// a component calls it for that.
func (f Fields) Split(md protoreflect.MessageDescriptor) (implemented, missing []string, err error) {
	if md.FullName() != f.Message {
		return nil, nil, fmt.Errorf("fields of %s compared with %s", f.Message, md.FullName())
	}
	return split(md, f.Names, "")
}

func split(md protoreflect.MessageDescriptor, names []string, prefix string) (implemented, missing []string, err error) {
	for _, name := range names {
		first, _, _ := strings.Cut(name, ".")
		if md.Fields().ByName(protoreflect.Name(first)) == nil {
			return nil, nil, fmt.Errorf("%s has no field %q", md.FullName(), first)
		}
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		name := prefix + string(fd.Name())
		whole, inner := declared(names, fd.Name())
		switch {
		case whole:
			implemented = append(implemented, name)
		case len(inner) == 0:
			missing = append(missing, name)
		default:
			sub := fd.Message()
			if fd.IsMap() {
				sub = fd.MapValue().Message()
			}
			if sub == nil {
				return nil, nil, fmt.Errorf("%s: field %q holds no message", md.FullName(), fd.Name())
			}
			in, out, err := split(sub, inner, name+".")
			if err != nil {
				return nil, nil, err
			}
			implemented, missing = append(implemented, in...), append(missing, out...)
		}
	}
	return implemented, missing, nil
}
