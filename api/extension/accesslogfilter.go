package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

// AccessLogFilters is the category of extension filters of access logs.
const AccessLogFilters = "envoy.access_loggers.extension_filters"

// An AccessLogFilterFactory makes filters that choose what is logged.
type AccessLogFilterFactory interface {
	Factory
	// BuildAccessLogFilter checks the configuration. Errors go to errs; it returns nil
	// then.
	BuildAccessLogFilter(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) accesslog.Filter
}
