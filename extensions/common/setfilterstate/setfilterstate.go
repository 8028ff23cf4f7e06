// Package setfilterstate is what the filters set_filter_state of streams, connections and
// sockets share: lists of values to put into the filter state.
package setfilterstate

import (
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Fields declares what is implemented of a value.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue", Names: []string{
		"object_key", "factory_key", "format_string", "read_only", "shared_with_upstream", "skip_if_empty"}}
}

// Values are the values of a list. They are immutable. Any worker.
type Values []value

type value struct {
	key        string
	build      factory
	format     format.Format
	skipEmpty  bool
	shared     bool
	transitive bool
}

// New reads a list. Errors go to errs; the result must not be used then. Main goroutine.
func New(list []*statev3.FilterStateValue, formats format.Compiler, path conf.Path, errs *conf.Errors) Values {
	var out Values
	for i, m := range list {
		out = append(out, newValue(m, formats, path.Index(i), errs))
	}
	return out
}

func newValue(m *statev3.FilterStateValue, formats format.Compiler, path conf.Path, errs *conf.Errors) value {
	v := value{key: m.GetObjectKey(), skipEmpty: m.GetSkipIfEmpty()}
	if v.key == "" {
		errs.Add(path.Field("object_key"), "must not be empty")
	}
	name, at := m.GetFactoryKey(), path.Field("factory_key")
	if name == "" {
		name, at = v.key, path.Field("object_key")
	}
	if v.build = findFactory(name, at, errs); name != v.key {
		if build, known := factoryOf(v.key); known && build == nil {
			errs.Add(path.Field("object_key"), "what uses the object %s is not implemented", v.key)
		}
	}
	switch m.GetSharedWithUpstream() {
	case statev3.FilterStateValue_TRANSITIVE:
		v.shared, v.transitive = true, true
	case statev3.FilterStateValue_ONCE:
		v.shared = true
	}
	if m.GetFormatString() == nil {
		errs.Add(path.Field("format_string"), "must be set")
		return v
	}
	v.format = formats.FromProto(m.GetFormatString(), path.Field("format_string"), errs)
	return v
}

func findFactory(name string, path conf.Path, errs *conf.Errors) factory {
	build, known := factoryOf(name)
	switch {
	case build != nil || name == "":
	case known:
		errs.Add(path, "what uses the object %s is not implemented", name)
	default:
		errs.Add(path, "'%s' does not have an object factory", name)
	}
	return build
}

// A State is a filter state: that of a streaminfo.Stream or streaminfo.Connection.
type State interface {
	SetFilterState(name string, object any)
	ShareFilterState(name string, transitive bool)
}

// Set puts the values for e into s, except under names that are taken in below, which may
// be nil: there an object with a longer life is. A text that makes no object is left out.
func (vs Values) Set(s State, below map[string]any, e *format.Entry) {
	var room [128]byte
	text := room[:0]
	for i := range vs {
		v := &vs[i]
		if text = v.format.Append(text[:0], e); len(text) == 0 && v.skipEmpty {
			continue
		}
		object := v.build(string(text))
		if _, taken := below[v.key]; taken || object == nil {
			continue
		}
		s.SetFilterState(v.key, object)
		if v.shared {
			s.ShareFilterState(v.key, v.transitive)
		}
	}
}
