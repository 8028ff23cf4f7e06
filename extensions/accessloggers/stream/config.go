// Package stream is the access loggers envoy.access_loggers.stdout and
// envoy.access_loggers.stderr: they write lines to the standard streams of the
// process.
package stream

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/common/linelog"
)

// Stdout is the extension.AccessLoggerFactory of the logger to standard output.
type Stdout struct{}

// Stderr is the extension.AccessLoggerFactory of the logger to standard error.
type Stderr struct{}

var (
	_ extension.AccessLoggerFactory = Stdout{}
	_ extension.AccessLoggerFactory = Stderr{}
)

// Name implements extension.Factory.
func (Stdout) Name() string { return "envoy.access_loggers.stdout" }

// Name implements extension.Factory.
func (Stderr) Name() string { return "envoy.access_loggers.stderr" }

// Category implements extension.Factory.
func (Stdout) Category() string { return extension.AccessLoggers }

// Category implements extension.Factory.
func (Stderr) Category() string { return extension.AccessLoggers }

// Config implements extension.Factory.
func (Stdout) Config() proto.Message { return &streamv3.StdoutAccessLog{} }

// Config implements extension.Factory.
func (Stderr) Config() proto.Message { return &streamv3.StderrAccessLog{} }

// Fields implements extension.Factory.
func (Stdout) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", Names: []string{"log_format"},
	}}
}

// Fields implements extension.Factory.
func (Stderr) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.stream.v3.StderrAccessLog", Names: []string{"log_format"},
	}}
}

// BuildAccessLogger implements extension.AccessLoggerFactory.
func (s Stdout) BuildAccessLogger(
	msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	conf.Check(msg, s.Fields()[0], path, errs)
	return build(msg.(*streamv3.StdoutAccessLog).GetLogFormat(), "/dev/stdout", ctx, path, errs)
}

// BuildAccessLogger implements extension.AccessLoggerFactory.
func (s Stderr) BuildAccessLogger(
	msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	conf.Check(msg, s.Fields()[0], path, errs)
	return build(msg.(*streamv3.StderrAccessLog).GetLogFormat(), "/dev/stderr", ctx, path, errs)
}

func build(
	config *corev3.SubstitutionFormatString, name string, ctx extension.Context, path conf.Path, errs *conf.Errors,
) accesslog.Logger {
	compiled := ctx.Formats.FromProto(config, path.Field("log_format"), errs)
	if compiled == nil {
		return nil
	}
	return linelog.New(compiled, name, ctx, path, errs)
}
