package httpfilter

import (
	"fmt"
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Context returns what the factory of a filter gets: statistics below http.in. in
// scope, an empty runtime, a log that is dropped. The test replaces what it wants.
func Context(scope stats.Scope, clusters upstream.Clusters) extension.HTTPContext {
	const prefix = "http.in."
	return extension.HTTPContext{
		Context: extension.Context{
			Registry: &extension.Registry{}, Stats: scope.Scope(prefix), Runtime: Runtime{}, Clusters: clusters, Log: &Log{},
			Server: &Server{},
		},
		Root:       scope,
		StatPrefix: prefix,
	}
}

// Loggers is an extension.AccessLogs that gives these loggers, whatever is
// configured.
type Loggers []accesslog.Logger

// Build returns the loggers.
func (l Loggers) Build([]*accesslogv3.AccessLog, conf.Path, *conf.Errors) []accesslog.Logger {
	return l
}

// BuildFilter returns a filter that lets everything pass.
func (l Loggers) BuildFilter(*accesslogv3.AccessLogFilter, conf.Path, *conf.Errors) accesslog.Filter {
	return func(*format.Entry) bool { return true }
}

// A Log is an extension.Logger that keeps what it is told.
type Log struct{ Lines []string }

// Debugf keeps a line, as do the other methods.
func (l *Log) Debugf(format string, args ...any) { l.add("debug", format, args) }

// Infof keeps a line.
func (l *Log) Infof(format string, args ...any) { l.add("info", format, args) }

// Warnf keeps a line.
func (l *Log) Warnf(format string, args ...any) { l.add("warning", format, args) }

// Errorf keeps a line.
func (l *Log) Errorf(format string, args ...any) { l.add("error", format, args) }

func (l *Log) add(level, format string, args []any) {
	l.Lines = append(l.Lines, level+" "+fmt.Sprintf(format, args...))
}

// Runtime is a runtimeconf.Loader and its only snapshot. Percentages are whole.
type Runtime map[string]string

// Snapshot returns r.
func (r Runtime) Snapshot() runtimeconf.Snapshot { return r }

// Get implements runtimeconf.Snapshot, as do the methods that follow.
func (r Runtime) Get(key string) (text string, ok bool) {
	text, ok = r[key]
	return text, ok
}

// Integer returns a whole number.
func (r Runtime) Integer(key string, defaultValue uint64) uint64 {
	if n, err := strconv.ParseUint(r[key], 10, 64); err == nil {
		return n
	}
	return defaultValue
}

// Double returns a number.
func (r Runtime) Double(key string, defaultValue float64) float64 {
	if n, err := strconv.ParseFloat(r[key], 64); err == nil {
		return n
	}
	return defaultValue
}

// Boolean returns a truth value.
func (r Runtime) Boolean(key string, defaultValue bool) bool {
	if b, err := strconv.ParseBool(r[key]); err == nil {
		return b
	}
	return defaultValue
}

// Percent returns a percentage in millionths.
func (r Runtime) Percent(key string, defaultMillionths uint32) uint32 {
	if text, ok := r[key]; ok {
		if n, err := strconv.ParseUint(text, 10, 7); err == nil {
			return uint32(n) * 10_000
		}
	}
	return defaultMillionths
}
