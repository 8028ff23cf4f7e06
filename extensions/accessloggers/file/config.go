// Package file is the access logger envoy.access_loggers.file: it writes lines to a
// file.
package file

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/extensions/common/linelog"
)

// Factory is the extension.AccessLoggerFactory of the logger.
type Factory struct{}

var _ extension.AccessLoggerFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.access_loggers.file" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.AccessLoggers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &filev3.FileAccessLog{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.file.v3.FileAccessLog",
		Names:   []string{"path", "format", "json_format", "typed_json_format", "log_format"},
	}}
}

// BuildAccessLogger implements extension.AccessLoggerFactory.
func (f Factory) BuildAccessLogger(
	msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	config := msg.(*filev3.FileAccessLog)
	before := len(*errs)
	conf.Check(config, f.Fields()[0], path, errs)
	if config.GetPath() == "" {
		errs.Add(path.Field("path"), "must not be empty")
	}
	compiled := compile(config, ctx.Formats, path, errs)
	if len(*errs) > before {
		return nil
	}
	return linelog.New(compiled, config.GetPath(), ctx, path.Field("path"), errs)
}

// compile compiles the format, which is written in one of four ways, or the default
// one.
func compile(config *filev3.FileAccessLog, formats format.Compiler, path conf.Path, errs *conf.Errors) format.Format {
	switch f := config.GetAccessLogFormat().(type) {
	case *filev3.FileAccessLog_LogFormat:
		return formats.FromProto(f.LogFormat, path.Field("log_format"), errs)
	case *filev3.FileAccessLog_Format:
		if f.Format == "" {
			break
		}
		compiled, err := formats.Compile(f.Format)
		if err != nil {
			errs.Add(path.Field("format"), "%v", err)
		}
		return compiled
	case *filev3.FileAccessLog_JsonFormat:
		return compileJSON(f.JsonFormat, formats, path.Field("json_format"), errs)
	case *filev3.FileAccessLog_TypedJsonFormat:
		return compileJSON(f.TypedJsonFormat, formats, path.Field("typed_json_format"), errs)
	}
	return formats.FromProto(nil, path, errs)
}

// compileJSON compiles the template at path.
func compileJSON(template *structpb.Struct, formats format.Compiler, path conf.Path, errs *conf.Errors) format.Format {
	var found conf.Errors
	compiled := formats.FromProto(&corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: template},
	}, conf.Path{}, &found)
	for _, e := range found {
		errs.Add(rebase(e.Path, path), "%s", e.Message)
	}
	return compiled
}

// rebase returns the place below path that p, which begins with json_format, is at.
func rebase(p, path conf.Path) conf.Path {
	if p.Parent().IsRoot() {
		return path
	}
	return rebase(p.Parent(), path).Field(p.Last())
}
