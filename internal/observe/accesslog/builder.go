// Package accesslog builds access loggers with their filters, and writes the files
// of those that log to one.
//
// A worker that logs never waits: a line goes into a buffer of the worker, and a
// goroutine per file hands the buffers to the system.
package accesslog

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// A Builder implements api/extension.AccessLogs. Main goroutine.
type Builder struct {
	ctx extension.Context
}

// NewBuilder returns a builder that gives the factories of loggers ctx, in which it
// stands for AccessLogs.
func NewBuilder(ctx extension.Context) *Builder {
	b := &Builder{ctx: ctx}
	b.ctx.AccessLogs = b
	return b
}

// Fields lists the fields of AccessLog that Build implements.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.config.accesslog.v3.AccessLog", Names: []string{
		"name", "typed_config",
		"filter.status_code_filter", "filter.duration_filter", "filter.not_health_check_filter",
		"filter.traceable_filter", "filter.runtime_filter", "filter.and_filter", "filter.or_filter",
		"filter.header_filter", "filter.response_flag_filter", "filter.grpc_status_filter",
		"filter.metadata_filter", "filter.log_type_filter", "filter.extension_filter",
	}}
}

// Build implements api/extension.AccessLogs.
func (b *Builder) Build(config []*accesslogv3.AccessLog, path conf.Path, errs *conf.Errors) []accesslog.Logger {
	var loggers []accesslog.Logger
	for i, c := range config {
		before := len(*errs)
		if l := b.build(c, path.Index(i), errs); len(*errs) == before {
			loggers = append(loggers, l)
		}
	}
	return loggers
}

// BuildFilter implements api/extension.AccessLogs.
func (b *Builder) BuildFilter(c *accesslogv3.AccessLogFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	return b.filter(c, path, errs)
}

// build returns one logger. It is of no use if there are errors.
func (b *Builder) build(c *accesslogv3.AccessLog, path conf.Path, errs *conf.Errors) accesslog.Logger {
	conf.Check(c, Fields(), path, errs)
	var pass accesslog.Filter
	if c.GetFilter() != nil {
		pass = b.filter(c.GetFilter(), path.Field("filter"), errs)
	}
	at := path.Field("typed_config")
	msg := extension.Unpack(c.GetTypedConfig(), at, errs)
	if msg == nil {
		return nil
	}
	factory, ok := b.ctx.Registry.ForMessage(extension.AccessLoggers, msg).(extension.AccessLoggerFactory)
	if !ok {
		errs.Add(at, "Didn't find a registered implementation for '%s' with type URL: '%s'", c.GetName(), c.GetTypedConfig().GetTypeUrl())
		return nil
	}
	logger := factory.BuildAccessLogger(msg, b.ctx, at, errs)
	if pass == nil {
		return logger
	}
	return &filtered{pass: pass, logger: logger}
}

// filtered is a logger with a filter.
type filtered struct {
	pass   accesslog.Filter
	logger accesslog.Logger
}

// Log implements api/accesslog.Logger.
func (f *filtered) Log(e *format.Entry) {
	if f.pass(e) {
		f.logger.Log(e)
	}
}
