package protoconv

import (
	"cmp"
	"fmt"
	"slices"

	udpa "github.com/cncf/xds/go/udpa/annotations"
	xds "github.com/cncf/xds/go/xds/annotations/v3"
	"github.com/envoyproxy/go-control-plane/envoy/annotations"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// Validate checks msg, which stands at path, and every message packed in it:
// the rules of the proto files, unknown fields, deprecated fields and those
// still in work. A TypedStruct packed in an Any is replaced there by the message
// it stands for, so that later readers meet only real types. The error is a
// conf.Errors.
func Validate(msg proto.Message, path conf.Path, opts Options) ([]Warning, error) {
	warnings, errs := validate(msg, path, opts)
	return warnings, errs.Err()
}

func validate(msg proto.Message, path conf.Path, opts Options) ([]Warning, conf.Errors) {
	v := &validator{opts: opts, facts: map[protoreflect.FullName]facts{}}
	v.message(msg.ProtoReflect(), path, 0)
	v.rules(msg, path)
	return v.warnings, v.errs
}

type validator struct {
	opts     Options
	errs     conf.Errors
	warnings []Warning
	facts    map[protoreflect.FullName]facts // of fields and messages met
}

// facts are what the annotations of a field or message say.
type facts struct {
	deprecated, disallowed, unfinished bool
	since                              string
}

func (v *validator) warn(kind WarningKind, path conf.Path, format string, args ...any) {
	v.warnings = append(v.warnings, Warning{kind, conf.Error{Path: path, Message: fmt.Sprintf(format, args...)}})
}

// message walks m and all that is set in it. It reports whether it changed m.
func (v *validator) message(m protoreflect.Message, path conf.Path, depth int) (changed bool) {
	md := m.Descriptor()
	if depth > maxDepth {
		v.errs.Add(path, "nested deeper than %d levels", maxDepth)
		return false
	}
	if v.messageFacts(md).unfinished {
		v.warn(WorkInProgress, path, "%s is work in progress: it may change or go without notice", md.FullName())
	}
	v.unknownFields(m, path)
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if !m.Has(fd) {
			continue
		}
		at := path.Field(string(fd.Name()))
		v.field(fd, at)
		each(m, fd, at, func(value protoreflect.Value, at conf.Path) {
			if v.value(value, fd, at, depth+1) {
				changed = true
			}
		})
	}
	return changed
}

// each calls f for every single value of field fd, which is set in m; maps in
// the order of their keys.
func each(m protoreflect.Message, fd protoreflect.FieldDescriptor, path conf.Path, f func(protoreflect.Value, conf.Path)) {
	value := m.Get(fd)
	switch {
	case fd.IsMap():
		for _, key := range sortedKeys(value.Map()) {
			f(value.Map().Get(key), path.Key(key.String()))
		}
	case fd.IsList():
		for i := range value.List().Len() {
			f(value.List().Get(i), path.Index(i))
		}
	default:
		f(value, path)
	}
}

func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		switch x := a.Interface().(type) {
		case int32, int64:
			return cmp.Compare(a.Int(), b.Int())
		case uint32, uint64:
			return cmp.Compare(a.Uint(), b.Uint())
		case string:
			return cmp.Compare(x, b.String())
		}
		return cmp.Compare(a.String(), b.String()) // false, true
	})
	return keys
}

// value walks one value of field fd.
func (v *validator) value(value protoreflect.Value, fd protoreflect.FieldDescriptor, path conf.Path, depth int) (changed bool) {
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	switch {
	case fd.Enum() != nil:
		v.enum(fd.Enum().Values().ByNumber(value.Enum()), path)
	case fd.Message() == nil:
	case fd.Message().FullName() == "google.protobuf.Any":
		if packed, ok := value.Message().Interface().(*anypb.Any); ok {
			return v.any(packed, path, depth)
		}
	case fd.Message().FullName().Parent() != "google.protobuf":
		return v.message(value.Message(), path, depth)
	}
	return false
}

// unknownFields reports the fields that came in binary form and are not in the
// proto files.
func (v *validator) unknownFields(m protoreflect.Message, path conf.Path) {
	for b := m.GetUnknown(); len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if v.opts.Unknown == WarnUnknown {
			v.warn(UnknownField, path, "unknown field number %d of %s", number, m.Descriptor().FullName())
		} else {
			v.errs.Add(path, "unknown field number %d of %s", number, m.Descriptor().FullName())
		}
	}
}

// field reports what the annotations of a set field ask for.
func (v *validator) field(fd protoreflect.FieldDescriptor, path conf.Path) {
	f := v.fieldFacts(fd)
	if f.unfinished {
		v.warn(WorkInProgress, path, "field %s is work in progress: it may change or go without notice", fd.FullName())
	}
	if f.deprecated {
		v.deprecated("field", fd.FullName(), f, path)
	}
}

// enum reports a deprecated enum value; a number without a name is left to the
// rules.
func (v *validator) enum(value protoreflect.EnumValueDescriptor, path conf.Path) {
	if value == nil {
		return
	}
	o, _ := value.Options().(*descriptorpb.EnumValueOptions)
	if !o.GetDeprecated() {
		return
	}
	f := facts{deprecated: true}
	f.since, _ = proto.GetExtension(o, annotations.E_DeprecatedAtMinorVersionEnum).(string)
	f.disallowed, _ = proto.GetExtension(o, annotations.E_DisallowedByDefaultEnum).(bool)
	v.deprecated("value", value.FullName(), f, path)
}

// deprecated warns, or refuses what the annotation or the runtime key of the
// field or value disallows.
func (v *validator) deprecated(what string, name protoreflect.FullName, f facts, path conf.Path) {
	since := ""
	if f.since != "" {
		since = " since API version " + f.since
	}
	key := "envoy.deprecated_features:" + string(name)
	if v.runtime(key, !f.disallowed) || v.runtime("envoy.features.enable_all_deprecated_features", false) {
		v.warn(DeprecatedField, path, "%s %s is deprecated%s", what, name, since)
		return
	}
	v.errs.Add(path, "%s %s is deprecated%s and no longer allowed; the runtime key %q set to true allows it for now", what, name, since, key)
}

func (v *validator) runtime(key string, otherwise bool) bool {
	if v.opts.Runtime == nil {
		return otherwise
	}
	return v.opts.Runtime(key, otherwise)
}

func (v *validator) fieldFacts(fd protoreflect.FieldDescriptor) facts {
	f, ok := v.facts[fd.FullName()]
	if ok {
		return f
	}
	o, _ := fd.Options().(*descriptorpb.FieldOptions)
	f.deprecated = o.GetDeprecated()
	f.since, _ = proto.GetExtension(o, annotations.E_DeprecatedAtMinorVersion).(string)
	f.disallowed, _ = proto.GetExtension(o, annotations.E_DisallowedByDefault).(bool)
	status, _ := proto.GetExtension(o, xds.E_FieldStatus).(*xds.FieldStatusAnnotation)
	f.unfinished = status.GetWorkInProgress()
	v.facts[fd.FullName()] = f
	return f
}

func (v *validator) messageFacts(md protoreflect.MessageDescriptor) facts {
	f, ok := v.facts[md.FullName()]
	if ok {
		return f
	}
	file := md.ParentFile().Options()
	message, _ := proto.GetExtension(md.Options(), xds.E_MessageStatus).(*xds.MessageStatusAnnotation)
	fileStatus, _ := proto.GetExtension(file, xds.E_FileStatus).(*xds.FileStatusAnnotation)
	oldStatus, _ := proto.GetExtension(file, udpa.E_FileStatus).(*udpa.StatusAnnotation)
	f.unfinished = message.GetWorkInProgress() || fileStatus.GetWorkInProgress() || oldStatus.GetWorkInProgress()
	v.facts[md.FullName()] = f
	return f
}

// any walks what is packed, and packs it again if something in it changed.
func (v *validator) any(packed *anypb.Any, path conf.Path, depth int) (changed bool) {
	if packed.TypeUrl == "" && len(packed.Value) == 0 {
		return false // the component that reads it says what it wants
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(packed.TypeUrl)
	if err != nil {
		v.errs.Add(path, "no implementation registered for type %s", packed.TypeUrl)
		return false
	}
	inner := mt.New()
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(packed.Value, inner.Interface()); err != nil {
		v.errs.Add(path, "not a valid binary %s", mt.Descriptor().FullName())
		return false
	}
	switch name := mt.Descriptor().FullName(); {
	case isTypedStruct(name):
		return v.typedStruct(packed, inner, path, depth)
	case name == "google.protobuf.Any":
		if again, ok := inner.Interface().(*anypb.Any); ok {
			changed = v.any(again, path, depth+1)
		}
	case name.Parent() != "google.protobuf":
		changed = v.message(inner, path, depth)
		v.rules(inner.Interface(), path)
	}
	if changed {
		if err := setAny(packed.ProtoReflect(), packed.TypeUrl, inner); err != nil {
			v.errs.Add(path, "%v", err)
		}
	}
	return changed
}
