// Package environmentvariable gives matchers the value of an environment variable.
package environmentvariable

import (
	environmentv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/environment_variable/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factory makes the input envoy.matching.common_inputs.environment_variable.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.common_inputs.environment_variable" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(environmentv3.Config) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.common_inputs.environment_variable.v3.Config",
		Names:   []string{"name"},
	}}
}

// BuildMatchInput implements extension.MatchInputFactory. The value is that of now.
func (Factory) BuildMatchInput(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) matcher.Input {
	name := msg.(*environmentv3.Config).GetName()
	if name == "" {
		errs.Add(path.Field("name"), "must not be empty")
		return nil
	}
	var v matcher.Value
	if ctx.LookupEnv != nil {
		v = matcher.TextValue(ctx.LookupEnv(name))
	}
	return matcher.TextInput(func(matcher.Data) matcher.Value { return v })
}
