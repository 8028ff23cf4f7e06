package setmetadata

import (
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	cfg *config
	cb  httpfilter.Callbacks
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	f.set(f.cfg)
	if r := f.cb.Route(); r != nil {
		if cfg, ok := r.FilterConfig(f.cb.Name()).(*config); ok {
			f.set(cfg)
		}
	}
	return httpfilter.Continue
}

// set sets what a configuration says.
func (f *filter) set(c *config) {
	info, shard := f.cb.Stream(), f.cb.Dispatcher().Shard()
	for i := range c.untyped {
		e := &c.untyped[i]
		switch have := info.Metadata[e.namespace]; {
		case have == nil:
			info.SetMetadata(e.namespace, e.fields)
		case e.overwrite:
			info.SetMetadata(e.namespace, merged(have, e.fields))
		default:
			c.denied.Inc(shard)
		}
	}
	for i := range c.typed {
		e := &c.typed[i]
		if _, taken := info.TypedMetadata[e.namespace]; taken && !e.overwrite {
			c.denied.Inc(shard)
			continue
		}
		info.SetTypedMetadata(e.namespace, e.message)
	}
}

// merged returns a new Struct with the fields of both.
func merged(have, added *structpb.Struct) *structpb.Struct {
	out := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(have.GetFields())+len(added.GetFields()))}
	for name, value := range have.GetFields() {
		out.Fields[name] = value
	}
	for name, value := range added.GetFields() {
		out.Fields[name] = mergedValue(out.Fields[name], value)
	}
	return out
}

// mergedValue joins lists and structs; other values, and such of different kinds, are
// replaced. Neither argument is changed: both may be shared.
func mergedValue(have, added *structpb.Value) *structpb.Value {
	switch v := added.GetKind().(type) {
	case *structpb.Value_ListValue:
		if old := have.GetListValue(); old != nil {
			return structpb.NewListValue(&structpb.ListValue{Values: slices.Concat(old.GetValues(), v.ListValue.GetValues())})
		}
	case *structpb.Value_StructValue:
		if old := have.GetStructValue(); old != nil {
			return structpb.NewStructValue(merged(old, v.StructValue))
		}
	}
	return added
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {}
