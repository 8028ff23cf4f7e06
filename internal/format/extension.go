package format

import (
	"maps"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// addBuiltIn adds the operators of extensions that every format knows.
func (c *Compiler) addBuiltIn() {
	registry := c.options.Context.Registry
	if registry == nil {
		return
	}
	for f := range registry.All() {
		if f, ok := f.(extension.FormatterFactory); ok && f.BuiltIn() {
			var errs conf.Errors // an empty message has none
			c.operators.extend(f.BuildFormatter(f.Config(), c.options.Context, conf.Path{}, &errs))
		}
	}
}

// With implements format.Compiler.
func (c *Compiler) With(formatters []*corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) format.Compiler {
	return c.with(formatters, path, errs)
}

func (c *Compiler) with(formatters []*corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) *Compiler {
	if len(formatters) == 0 {
		return c
	}
	listed := table{}
	for i, f := range formatters {
		at := path.Index(i).Field("typed_config")
		msg := extension.Unpack(f.GetTypedConfig(), at, errs)
		if msg == nil {
			continue
		}
		var factory extension.FormatterFactory
		if registry := c.options.Context.Registry; registry != nil {
			factory, _ = registry.ForMessage(extension.Formatters, msg).(extension.FormatterFactory)
		}
		if factory == nil {
			errs.Add(at, "Didn't find a registered implementation for '%s' with type URL: '%s'", f.GetName(), f.GetTypedConfig().GetTypeUrl())
			continue
		}
		listed.extend(factory.BuildFormatter(msg, c.options.Context, at, errs))
	}
	operators := maps.Clone(c.operators)
	maps.Copy(operators, listed)
	return &Compiler{options: c.options, operators: operators, wants: c.wants}
}

// extend adds the operators of an extension that are not there.
func (t table) extend(commands format.Commands) {
	for name, build := range commands {
		if _, ok := t[name]; ok {
			continue
		}
		t[name] = spec{args: optionalArgs, limit: true, both: func(_ *Compiler, arg string) (inText, alone operator, err error) {
			op, err := build(arg)
			if err != nil {
				return nil, nil, err
			}
			return textOperator(op), valueOperator(op), nil
		}}
	}
}

func textOperator(op format.Operator) operator {
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		dst, ok := op.Text(dst, e)
		if !ok {
			return dst, missing
		}
		return dst, text
	}
}

func valueOperator(op format.Operator) operator {
	if op.Value == nil {
		return nil
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) { return appendMetadata(dst, op.Value(e)) }
}
