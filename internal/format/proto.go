package format

import (
	"fmt"
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Fields lists the fields of SubstitutionFormatString that FromProto implements.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.core.v3.SubstitutionFormatString",
		Names: []string{
			"text_format", "json_format", "omit_empty_values", "content_type", "formatters",
			"json_format_options", // its one option, to sort, is always on
			"text_format_source.filename", "text_format_source.inline_bytes", "text_format_source.inline_string",
			"text_format_source.environment_variable",
		},
	}
}

// FromProto implements api/format.Compiler.
func (c *Compiler) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	before := len(*errs)
	if msg == nil {
		msg = &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormat{TextFormat: DefaultText}}
	}
	conf.Check(msg, Fields(), path, errs)
	c = c.with(msg.GetFormatters(), path.Field("formatters"), errs)
	var result format.Format
	switch f := msg.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		result = c.compileText(f.TextFormat, msg, path.Field("text_format"), errs)
	case *corev3.SubstitutionFormatString_TextFormatSource:
		at := path.Field("text_format_source")
		source, err := c.read(f.TextFormatSource)
		if err != nil {
			errs.Add(at, "%v", err)
			return nil
		}
		result = c.compileText(source, msg, at, errs)
	case *corev3.SubstitutionFormatString_JsonFormat:
		root := c.compileObject(f.JsonFormat, path.Field("json_format"), errs)
		result = &jsonFormat{root: root, omitEmpty: msg.GetOmitEmptyValues()}
	default:
		errs.Add(path, "one of text_format, text_format_source and json_format is required")
	}
	if len(*errs) > before {
		return nil
	}
	return result
}

func (c *Compiler) compileText(
	source string, msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors,
) format.Format {
	f, err := c.compile(source, msg.GetOmitEmptyValues())
	if err != nil {
		errs.Add(path, "%v", err)
	}
	return f
}

// read returns the text that a DataSource names.
func (c *Compiler) read(source *corev3.DataSource) (string, error) {
	switch s := source.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		return s.InlineString, nil
	case *corev3.DataSource_InlineBytes:
		return string(s.InlineBytes), nil
	case *corev3.DataSource_EnvironmentVariable:
		value, ok := c.options.LookupEnv(s.EnvironmentVariable)
		if !ok {
			return "", fmt.Errorf("Environment variable doesn't exist: %s", s.EnvironmentVariable)
		}
		return value, nil
	case *corev3.DataSource_Filename:
		content, err := os.ReadFile(s.Filename)
		return string(content), err
	}
	return "", fmt.Errorf("a source of the text is required")
}
