package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// The categories of extensions of the matching API. Envoy has some of them once more
// for connections; here one extension serves both.
const (
	MatchInputs   = "envoy.matching.http.input"
	ValueMatchers = "envoy.matching.input_matchers"
	TreeMatchers  = "envoy.matching.http.custom_matchers"
)

// A MatchInputFactory makes inputs of matchers. Main goroutine.
type MatchInputFactory interface {
	Factory
	// BuildMatchInput checks the configuration. Errors go to errs with the path of the
	// field; the result is nil then.
	BuildMatchInput(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) matcher.Input
}

// A ValueMatcherFactory makes the custom_match of a predicate. Main goroutine.
type ValueMatcherFactory interface {
	Factory
	// BuildValueMatcher checks the configuration. Errors go to errs with the path of the
	// field; the result is nil then.
	BuildValueMatcher(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher
}

// A TreeMatcherFactory makes the custom_match of a matcher tree. Main goroutine.
type TreeMatcherFactory interface {
	Factory
	// BuildTreeMatcher checks the configuration, and has b build the branches. Errors go
	// to errs with the path of the field; the result is nil then.
	BuildTreeMatcher(msg proto.Message, b *matcher.Branches, path conf.Path, errs *conf.Errors) matcher.Tree
}

// Matching returns the registered factories for matcher.Build. root is the server's
// scope: what extensions of matchers count is not below that of their users.
func (c Context) Matching(root stats.Scope) matcher.Factories {
	c.Stats = root
	return matching{c}
}

type matching struct{ Context }

func (m matching) NewInput(msg proto.Message, path conf.Path, errs *conf.Errors) matcher.Input {
	if f, ok := m.Registry.ForMessage(MatchInputs, msg).(MatchInputFactory); ok {
		return f.BuildMatchInput(msg, m.Context, path, errs)
	}
	unknown("matching input", msg, path, errs)
	return nil
}

func (m matching) NewValueMatcher(msg proto.Message, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	if f, ok := m.Registry.ForMessage(ValueMatchers, msg).(ValueMatcherFactory); ok {
		return f.BuildValueMatcher(msg, m.Context, path, errs)
	}
	unknown("matcher of values", msg, path, errs)
	return nil
}

func (m matching) NewTree(msg proto.Message, b *matcher.Branches, path conf.Path, errs *conf.Errors) matcher.Tree {
	if f, ok := m.Registry.ForMessage(TreeMatchers, msg).(TreeMatcherFactory); ok {
		return f.BuildTreeMatcher(msg, b, path, errs)
	}
	unknown("matcher tree", msg, path, errs)
	return nil
}

func unknown(what string, msg proto.Message, path conf.Path, errs *conf.Errors) {
	errs.Add(path, "no %s is registered for type %s", what, msg.ProtoReflect().Descriptor().FullName())
}
