package accesslog

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// metadata compares a value of the dynamic metadata, if there is one.
func metadata(c *accesslogv3.MetadataFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	m := c.GetMatcher()
	matches := value(m.GetValue(), path.Field("matcher").Field("value"), errs)
	namespace, invert := m.GetFilter(), m.GetInvert()
	var keys []string
	for _, segment := range m.GetPath() {
		keys = append(keys, segment.GetKey())
	}
	ifMissing := c.GetMatchIfKeyNotFound() == nil || c.GetMatchIfKeyNotFound().GetValue()
	return func(e *format.Entry) bool {
		fields := e.Stream.Metadata[namespace]
		var v *structpb.Value
		for _, key := range keys {
			v = fields.GetFields()[key]
			fields = v.GetStructValue()
		}
		if v == nil {
			return ifMissing
		}
		return matches(v) != invert
	}
}

// value compiles a ValueMatcher. Errors go to errs.
func value(c *matcherv3.ValueMatcher, path conf.Path, errs *conf.Errors) func(*structpb.Value) bool {
	switch m := c.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		return func(v *structpb.Value) bool {
			_, ok := v.GetKind().(*structpb.Value_NullValue)
			return ok
		}
	case *matcherv3.ValueMatcher_DoubleMatch:
		return number(m.DoubleMatch)
	case *matcherv3.ValueMatcher_StringMatch:
		s := match.NewString(m.StringMatch, path.Field("string_match"), errs)
		return func(v *structpb.Value) bool {
			text, ok := v.GetKind().(*structpb.Value_StringValue)
			return ok && s.Match(text.StringValue)
		}
	case *matcherv3.ValueMatcher_BoolMatch:
		return func(v *structpb.Value) bool {
			b, ok := v.GetKind().(*structpb.Value_BoolValue)
			return ok && b.BoolValue == m.BoolMatch
		}
	case *matcherv3.ValueMatcher_PresentMatch:
		return func(v *structpb.Value) bool { return (v.GetKind() != nil) == m.PresentMatch }
	case *matcherv3.ValueMatcher_ListMatch:
		one := value(m.ListMatch.GetOneOf(), path.Field("list_match").Field("one_of"), errs)
		return func(v *structpb.Value) bool { return slices.ContainsFunc(v.GetListValue().GetValues(), one) }
	case *matcherv3.ValueMatcher_OrMatch:
		var choices []func(*structpb.Value) bool
		for i, choice := range m.OrMatch.GetValueMatchers() {
			choices = append(choices, value(choice, path.Field("or_match").Field("value_matchers").Index(i), errs))
		}
		return func(v *structpb.Value) bool {
			return slices.ContainsFunc(choices, func(matches func(*structpb.Value) bool) bool { return matches(v) })
		}
	}
	return func(*structpb.Value) bool { return false }
}

func number(c *matcherv3.DoubleMatcher) func(*structpb.Value) bool {
	return func(v *structpb.Value) bool {
		n, ok := v.GetKind().(*structpb.Value_NumberValue)
		switch m := c.GetMatchPattern().(type) {
		case *matcherv3.DoubleMatcher_Range:
			return ok && n.NumberValue >= m.Range.GetStart() && n.NumberValue < m.Range.GetEnd()
		case *matcherv3.DoubleMatcher_Exact:
			return ok && n.NumberValue == m.Exact
		}
		return false
	}
}
