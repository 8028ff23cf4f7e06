package format

import (
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Fields lists the fields of SubstitutionFormatString that FromProto implements.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.core.v3.SubstitutionFormatString",
		Names: []string{
			"text_format", "text_format_source", "json_format", "omit_empty_values", "content_type", "formatters",
			"json_format_options", // its one option, to sort, is always on
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
		result = c.compileSource(f.TextFormatSource, msg, path.Field("text_format_source"), errs)
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

// compileSource compiles the text that a DataSource names. What is wrong with a file that is
// read again goes to the log.
func (c *Compiler) compileSource(
	source *corev3.DataSource, msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors,
) format.Format {
	if source.GetSpecifier() == nil {
		errs.Add(path, "a source of the text is required")
		return nil
	}
	before, ctx := len(*errs), c.options.Context
	ctx.LookupEnv = c.options.LookupEnv
	text := extension.NewDataSource(source, 0, ctx, path, errs)
	if len(*errs) > before {
		return nil
	}
	f := c.compileText(text.Text(), msg, path, errs)
	if f == nil || source.GetFilename() == "" || source.GetWatchedDirectory() == nil {
		return f
	}
	watched := &watchedText{source: text}
	watched.current.Store(&f)
	text.OnChange(func(text string) error {
		f, err := c.compile(text, msg.GetOmitEmptyValues())
		if err == nil {
			watched.current.Store(&f)
		}
		return err
	})
	return watched
}

// A watchedText is the format of a file that is read again.
type watchedText struct {
	source  *extension.DataSource // followed as long as somebody has it
	current atomic.Pointer[format.Format]
}

// Append implements format.Format.
func (w *watchedText) Append(dst []byte, e *format.Entry) []byte {
	return (*w.current.Load()).Append(dst, e)
}

// Literal implements format.Format: the text may get operators.
func (*watchedText) Literal() (string, bool) { return "", false }
