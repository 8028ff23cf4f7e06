package cel

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// lazyMap is a map whose values are made when they are asked for. It implements
// traits.Mapper.
type lazyMap struct {
	// find returns nil for a key that is not there.
	find func(key string) ref.Val
	// keys returns the keys in order, each once. It is nil for attributes, which do not
	// tell theirs.
	keys func() []string
}

// newHeaderMap returns the headers by their lower-case names; those of one name are
// joined with commas.
func newHeaderMap(h *httpmsg.Headers) *lazyMap {
	if h == nil {
		h = &httpmsg.Headers{}
	}
	find := func(key string) ref.Val {
		if key = strings.ToLower(key); key == "host" {
			key = ":authority"
		}
		if value, ok := h.Joined(key); ok {
			return types.String(value)
		}
		return nil
	}
	keys := func() []string {
		names := make([]string, 0, h.Len())
		for i := range h.Fields() {
			names = append(names, h.Fields()[i].Name)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	return &lazyMap{find, keys}
}

func (m *lazyMap) allKeys() []string {
	if m.keys == nil {
		return nil
	}
	return m.keys()
}

// Find implements traits.Mapper.
func (m *lazyMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	value := m.find(string(name))
	return value, value != nil
}

// Get implements traits.Indexer.
func (m *lazyMap) Get(key ref.Val) ref.Val {
	if value, ok := m.Find(key); ok {
		return value
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (m *lazyMap) Contains(key ref.Val) ref.Val {
	_, ok := m.Find(key)
	return types.Bool(ok)
}

// Size implements traits.Sizer.
func (m *lazyMap) Size() ref.Val { return types.Int(len(m.allKeys())) }

// Iterator implements traits.Iterable.
func (m *lazyMap) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, m.allKeys()).Iterator()
}

// Equal implements ref.Val.
func (m *lazyMap) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Mapper)
	if !ok || o.Size() != m.Size() {
		return types.False
	}
	for _, key := range m.allKeys() {
		value, ok := o.Find(types.String(key))
		if !ok || m.find(key).Equal(value) != types.True {
			return types.False
		}
	}
	return types.True
}

// ConvertToNative implements ref.Val.
func (m *lazyMap) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a map of attributes has no Go form")
}

// ConvertToType implements ref.Val.
func (m *lazyMap) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return m
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("type conversion error from map to %s", t)
}

// Type implements ref.Val.
func (m *lazyMap) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (m *lazyMap) Value() any { return m }
