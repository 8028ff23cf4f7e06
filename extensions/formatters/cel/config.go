// Package cel is the formatter envoy.formatter.cel: the operators CEL and TYPED_CEL
// evaluate an expression of the Common Expression Language.
package cel

import (
	"google.golang.org/protobuf/proto"

	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/cel/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/extensions/common/cel"
)

// Factory is the extension.FormatterFactory of the formatter.
type Factory struct{}

var _ extension.FormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.formatter.cel" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.Formatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &celv3.Cel{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.formatter.cel.v3.Cel", Names: []string{"cel_config"}}}
}

// BuiltIn implements extension.FormatterFactory.
func (Factory) BuiltIn() bool { return true }

// BuildFormatter implements extension.FormatterFactory.
func (f Factory) BuildFormatter(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) format.Commands {
	config := msg.(*celv3.Cel)
	conf.Check(config, f.Fields()[0], path, errs)
	compiler := cel.New(config.GetCelConfig(), ctx.Server.Node())
	return format.Commands{
		"CEL": func(arg string) (format.Operator, error) {
			x, err := compiler.Compile("expression", arg)
			if err != nil {
				return format.Operator{}, err
			}
			return format.Operator{Text: x.AppendText}, nil
		},
		"TYPED_CEL": func(arg string) (format.Operator, error) {
			x, err := compiler.Compile("expression", arg)
			if err != nil {
				return format.Operator{}, err
			}
			return format.Operator{Text: x.AppendText, Value: x.Value}, nil
		},
	}
}
