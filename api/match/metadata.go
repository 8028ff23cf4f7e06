package match

import (
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A Metadata is a condition on a value in metadata: the message
// envoy.type.matcher.v3.MetadataMatcher.
type Metadata struct {
	path   MetadataPath
	value  *Value
	invert bool
}

// A MetadataPath names a value in metadata: a name space, and the keys of the structs
// on the way.
type MetadataPath struct {
	Namespace string
	Keys      []string
}

// Find returns the value, nil if it is not there. Any worker.
func (p *MetadataPath) Find(metadata map[string]*structpb.Struct) *structpb.Value {
	fields := metadata[p.Namespace].GetFields()
	var v *structpb.Value
	for _, key := range p.Keys {
		v = fields[key]
		fields = v.GetStructValue().GetFields()
	}
	return v
}

// A MetadataKey is a step of a path in a message.
type MetadataKey interface{ GetKey() string }

// NewMetadataPath reads a path. Errors go to errs; path is that of the message with
// the fields filter and path.
func NewMetadataPath[K MetadataKey](namespace string, keys []K, path conf.Path, errs *conf.Errors) MetadataPath {
	p := MetadataPath{Namespace: namespace}
	if namespace == "" {
		errs.Add(path.Field("filter"), "must not be empty")
	}
	if len(keys) == 0 {
		errs.Add(path.Field("path"), "must not be empty")
	}
	for i, k := range keys {
		if k.GetKey() == "" {
			errs.Add(path.Field("path").Index(i).Field("key"), "must not be empty")
		}
		p.Keys = append(p.Keys, k.GetKey())
	}
	return p
}

// NewMetadata builds a condition. Errors go to errs; the result is nil then.
func NewMetadata(cfg *matcherv3.MetadataMatcher, path conf.Path, errs *conf.Errors) *Metadata {
	before := len(*errs)
	conf.Check(cfg, MetadataFields(), path, errs)
	m := &Metadata{
		path:   NewMetadataPath(cfg.GetFilter(), cfg.GetPath(), path, errs),
		value:  NewValue(cfg.GetValue(), path.Field("value"), errs),
		invert: cfg.GetInvert(),
	}
	if len(*errs) > before {
		return nil
	}
	return m
}

// Match reports whether metadata meets the condition. A value that is not there only
// meets the inverse of one. Any worker.
func (m *Metadata) Match(metadata map[string]*structpb.Struct) bool {
	return m.value.Match(m.path.Find(metadata)) != m.invert
}

// A Value is a condition on a JSON value: the message
// envoy.type.matcher.v3.ValueMatcher. A value of another kind does not meet it.
type Value struct {
	kind    valueMatch
	str     *String
	boolean bool     // also: must be present
	lo, hi  float64  // of a range, up to but without hi; lo of an exact number
	any     []*Value // of which one must match
}

type valueMatch uint8

const (
	valueNull valueMatch = iota
	valueRange
	valueNumber
	valueString
	valueBool
	valuePresent
	valueList // one of the elements matches
	valueOr
)

// NewValue builds a condition. Errors go to errs; the result is nil then.
func NewValue(cfg *matcherv3.ValueMatcher, path conf.Path, errs *conf.Errors) *Value {
	before := len(*errs)
	v := &Value{}
	switch m := cfg.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
	case *matcherv3.ValueMatcher_DoubleMatch:
		v.number(m.DoubleMatch, path.Field("double_match"), errs)
	case *matcherv3.ValueMatcher_StringMatch:
		v.kind, v.str = valueString, NewString(m.StringMatch, path.Field("string_match"), errs)
	case *matcherv3.ValueMatcher_BoolMatch:
		v.kind, v.boolean = valueBool, m.BoolMatch
	case *matcherv3.ValueMatcher_PresentMatch:
		v.kind, v.boolean = valuePresent, m.PresentMatch
	case *matcherv3.ValueMatcher_ListMatch:
		one := NewValue(m.ListMatch.GetOneOf(), path.Field("list_match").Field("one_of"), errs)
		v.kind, v.any = valueList, []*Value{one}
	case *matcherv3.ValueMatcher_OrMatch:
		v.kind = valueOr
		at := path.Field("or_match").Field("value_matchers")
		if len(m.OrMatch.GetValueMatchers()) < 2 {
			errs.Add(at, "must have at least 2 items")
		}
		for i, choice := range m.OrMatch.GetValueMatchers() {
			v.any = append(v.any, NewValue(choice, at.Index(i), errs))
		}
	default:
		errs.Add(path, "one of null_match, double_match, string_match, bool_match, present_match, list_match, or_match is required")
	}
	if len(*errs) > before {
		return nil
	}
	return v
}

func (v *Value) number(cfg *matcherv3.DoubleMatcher, path conf.Path, errs *conf.Errors) {
	switch m := cfg.GetMatchPattern().(type) {
	case *matcherv3.DoubleMatcher_Range:
		v.kind, v.lo, v.hi = valueRange, m.Range.GetStart(), m.Range.GetEnd()
	case *matcherv3.DoubleMatcher_Exact:
		v.kind, v.lo = valueNumber, m.Exact
	default:
		errs.Add(path, "one of range, exact is required")
	}
}

// Match reports whether x, which may be nil, meets the condition. Any worker.
func (v *Value) Match(x *structpb.Value) bool {
	switch v.kind {
	case valuePresent:
		return v.boolean && x.GetKind() != nil
	case valueList:
		for _, element := range x.GetListValue().GetValues() {
			if v.any[0].Match(element) {
				return true
			}
		}
		return false
	case valueOr:
		for _, choice := range v.any {
			if choice.Match(x) {
				return true
			}
		}
		return false
	}
	switch kind := x.GetKind().(type) {
	case *structpb.Value_NullValue:
		return v.kind == valueNull
	case *structpb.Value_NumberValue:
		n := kind.NumberValue
		return v.kind == valueRange && v.lo <= n && n < v.hi || v.kind == valueNumber && n == v.lo
	case *structpb.Value_StringValue:
		return v.kind == valueString && v.str.Match(kind.StringValue)
	case *structpb.Value_BoolValue:
		return v.kind == valueBool && kind.BoolValue == v.boolean
	default:
		return false
	}
}
