// Package extension registers what can be plugged in: filters, loggers, clusters.
//
// Registration is explicit and into a value: an author adds factories to a
// Registry and hands it to the server. Nothing is global, so servers with
// different extensions share a process.
package extension

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A Factory is one extension of one category. The category's package adds the
// method that builds it.
type Factory interface {
	// Name is the canonical name, as envoy.filters.http.router.
	Name() string
	// Category is the extension point, as envoy.filters.http.
	Category() string
	// Config returns an empty message of the configuration's type.
	Config() proto.Message
	// Fields lists the fields of its messages that are implemented; setting any
	// other one is an error. docs/parity.md is made from it.
	Fields() []conf.Fields
}

// A Registry holds the extensions of a server. It is filled before the server
// starts and not changed afterwards.
type Registry struct {
	byName map[string]Factory // category + "/" + name
	byType map[string]Factory // category + "/" + full name of the message
}

// Add registers factories. A second one with a category and name, or with a
// category and configuration type, is an error.
func (r *Registry) Add(factories ...Factory) error {
	if r.byName == nil {
		r.byName, r.byType = map[string]Factory{}, map[string]Factory{}
	}
	for _, f := range factories {
		name := f.Category() + "/" + f.Name()
		typ := f.Category() + "/" + string(f.Config().ProtoReflect().Descriptor().FullName())
		if r.byName[name] != nil || r.byType[typ] != nil {
			return fmt.Errorf("extension %s (%s) is registered twice", name, typ)
		}
		r.byName[name], r.byType[typ] = f, f
	}
	return nil
}

// ForMessage returns the factory of the category whose configuration has msg's
// type, nil if there is none.
func (r *Registry) ForMessage(category string, msg proto.Message) Factory {
	return r.byType[category+"/"+string(msg.ProtoReflect().Descriptor().FullName())]
}

// All yields the factories in the order of category and name.
func (r *Registry) All() iter.Seq[Factory] {
	return func(yield func(Factory) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.byName)) {
			if !yield(r.byName[name]) {
				return
			}
		}
	}
}

// Unpack returns the message packed in a typed_config field at path. An unknown
// type, or bytes that do not fit it, goes to errs, and Unpack returns nil. So does a
// TypedStruct: those of known types were replaced when the configuration was read.
func Unpack(a *anypb.Any, path conf.Path, errs *conf.Errors) proto.Message {
	if a == nil {
		errs.Add(path, "must be set")
		return nil
	}
	msg, err := a.UnmarshalNew()
	if err != nil {
		errs.Add(path, "no implementation is registered for type %s", a.GetTypeUrl())
		return nil
	}
	if unknown, ok := msg.(typedStruct); ok {
		errs.Add(path, "no implementation is registered for type %s", unknown.GetTypeUrl())
		return nil
	}
	return msg
}

// typedStruct is what the TypedStructs of xds.type.v3 and udpa.type.v1 have in common.
type typedStruct interface {
	GetTypeUrl() string
	GetValue() *structpb.Struct
}
