// Package cel matches requests and responses by an expression of the Common Expression
// Language.
package cel

import (
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/extensions/common/cel"
)

// Input makes the input envoy.matching.inputs.cel_data_input.
type Input struct{}

// Name implements extension.Factory.
func (Input) Name() string { return "envoy.matching.inputs.cel_data_input" }

// Category implements extension.Factory.
func (Input) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (Input) Config() proto.Message { return new(xdsmatcher.HttpAttributesCelMatchInput) }

// Fields implements extension.Factory.
func (Input) Fields() []conf.Fields {
	return []conf.Fields{{Message: "xds.type.matcher.v3.HttpAttributesCelMatchInput"}}
}

// BuildMatchInput implements extension.MatchInputFactory.
func (Input) BuildMatchInput(proto.Message, extension.Context, conf.Path, *conf.Errors) matcher.Input {
	return attributes{}
}

// attributes is all there is, now: what is missing the expression decides.
type attributes struct{}

func (attributes) Kind() matcher.Kind { return matcher.Attributes }

func (attributes) Get(d matcher.Data) matcher.Value {
	return matcher.Value{State: matcher.Present, Data: &d}
}

// Matcher makes the matcher envoy.matching.matchers.cel_matcher.
type Matcher struct{}

// Name implements extension.Factory.
func (Matcher) Name() string { return "envoy.matching.matchers.cel_matcher" }

// Category implements extension.Factory.
func (Matcher) Category() string { return extension.ValueMatchers }

// Config implements extension.Factory.
func (Matcher) Config() proto.Message { return new(xdsmatcher.CelMatcher) }

// Fields implements extension.Factory. As in Envoy the text of an expression has no
// effect beside the parsed one, and cannot stand for it.
func (Matcher) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "xds.type.matcher.v3.CelMatcher",
		Names:   []string{"expr_match", "description"},
	}, {
		Message: "xds.type.v3.CelExpression",
		Names:   []string{"parsed_expr", "checked_expr", "cel_expr_parsed", "cel_expr_checked", "cel_expr_string"},
	}}
}

// BuildValueMatcher implements extension.ValueMatcherFactory.
func (Matcher) BuildValueMatcher(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	x, err := cel.FromProto(msg.(*xdsmatcher.CelMatcher).GetExprMatch())
	if err != nil {
		errs.Add(path.Field("expr_match"), "%v", err)
		return nil
	}
	return &condition{x}
}

type condition struct{ expression *cel.Expression }

func (*condition) Kind() matcher.Kind { return matcher.Attributes }

// Match is unsure if the condition does not hold, looks at the response, and there is
// none yet. It allocates.
func (c *condition) Match(v matcher.Value) matcher.Outcome {
	d := v.Data
	e := format.Entry{Request: d.Request, Response: d.Response, Trailers: d.ResponseTrailers, Stream: d.Stream}
	if e.Stream == nil {
		e.Stream = new(streaminfo.Stream)
	}
	matched, response := c.expression.MatchResponse(&e)
	if !matched && response && d.Response == nil && d.ResponseTrailers == nil {
		return matcher.Unsure
	}
	return matcher.OutcomeOf(matched)
}
