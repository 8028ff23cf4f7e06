package protoconv

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A ruleError is what the generated validators report for one field.
type ruleError interface {
	Field() string // Go name, with [index] or [key] after it
	Reason() string
	Cause() error
	Key() bool
}

// rules checks the rules of the proto files, which the generated validators
// know for msg and all messages in it, but not for those in an Any.
func (v *validator) rules(msg proto.Message, path conf.Path) {
	if m, ok := msg.(interface{ ValidateAll() error }); ok {
		if err := m.ValidateAll(); err != nil {
			v.broken(err, msg.ProtoReflect().Descriptor(), path)
		}
	}
}

// broken reports an error of a generated validator of message md at path.
func (v *validator) broken(err error, md protoreflect.MessageDescriptor, path conf.Path) {
	if all, ok := err.(interface{ AllErrors() []error }); ok {
		for _, err := range all.AllErrors() {
			v.broken(err, md, path)
		}
		return
	}
	rule, ok := err.(ruleError)
	if !ok || md == nil {
		v.errs.Add(path, "%v", err)
		return
	}
	name, inner, _ := strings.Cut(rule.Field(), "[")
	fd, oneof := lookup(md, name)
	switch {
	case oneof != nil:
		v.errs.Add(path, "one of %s is required", strings.Join(oneofNames(oneof), ", "))
		return
	case fd == nil:
		path, md = path.Field(rule.Field()), nil
	default:
		path, md = ruleTarget(fd, strings.TrimSuffix(inner, "]"), path)
	}
	switch cause := rule.Cause(); {
	case isRule(cause):
		v.broken(cause, md, path)
	case cause != nil:
		v.errs.Add(path, "%s: %v", rule.Reason(), cause)
	case rule.Key():
		v.errs.Add(path, "key: %s", rule.Reason())
	default:
		v.errs.Add(path, "%s", rule.Reason())
	}
}

func isRule(err error) bool {
	switch err.(type) { //nolint:errorlint // generated code returns the violation itself as the cause
	case ruleError, interface{ AllErrors() []error }:
		return true
	}
	return false
}

// lookup finds what the Go name of a field or oneof stands for.
func lookup(md protoreflect.MessageDescriptor, goName string) (protoreflect.FieldDescriptor, protoreflect.OneofDescriptor) {
	same := func(name protoreflect.Name) bool {
		return strings.EqualFold(strings.ReplaceAll(string(name), "_", ""), strings.ReplaceAll(goName, "_", ""))
	}
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); same(fd.Name()) {
			return fd, nil
		}
	}
	for i := range md.Oneofs().Len() {
		if of := md.Oneofs().Get(i); same(of.Name()) {
			return nil, of
		}
	}
	return nil, nil
}

func oneofNames(of protoreflect.OneofDescriptor) (names []string) {
	for i := range of.Fields().Len() {
		names = append(names, string(of.Fields().Get(i).Name()))
	}
	return names
}

// ruleTarget returns the path of field fd of the message at path, or of its
// element if the validator named one, and the message type there.
func ruleTarget(fd protoreflect.FieldDescriptor, element string, path conf.Path) (conf.Path, protoreflect.MessageDescriptor) {
	path = path.Field(string(fd.Name()))
	if fd.IsMap() {
		return path.Key(element), fd.MapValue().Message()
	}
	if i, err := strconv.Atoi(element); err == nil {
		path = path.Index(i)
	}
	return path, fd.Message()
}
