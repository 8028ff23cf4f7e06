package accesslog

import (
	"slices"
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// filter compiles a filter. Errors go to errs; the result is of no use then.
func (b *Builder) filter(c *accesslogv3.AccessLogFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	switch f := c.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		return b.comparison(f.StatusCodeFilter.GetComparison(), func(e *format.Entry) uint64 {
			return uint64(e.Stream.ResponseCode)
		})
	case *accesslogv3.AccessLogFilter_DurationFilter:
		return b.comparison(f.DurationFilter.GetComparison(), milliseconds)
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return func(e *format.Entry) bool { return !e.Stream.HealthCheck }
	case *accesslogv3.AccessLogFilter_TraceableFilter:
		// Only a connection manager that traces makes a request traceable.
		return func(*format.Entry) bool { return false }
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		return b.runtime(f.RuntimeFilter)
	case *accesslogv3.AccessLogFilter_AndFilter:
		all := b.filters(f.AndFilter.GetFilters(), path.Field("and_filter").Field("filters"), errs)
		return func(e *format.Entry) bool {
			for _, pass := range all {
				if !pass(e) {
					return false
				}
			}
			return true
		}
	case *accesslogv3.AccessLogFilter_OrFilter:
		some := b.filters(f.OrFilter.GetFilters(), path.Field("or_filter").Field("filters"), errs)
		return func(e *format.Entry) bool {
			return slices.ContainsFunc(some, func(pass accesslog.Filter) bool { return pass(e) })
		}
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		return header(f.HeaderFilter, path.Field("header_filter"), errs)
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		return responseFlags(f.ResponseFlagFilter, path.Field("response_flag_filter"), errs)
	case *accesslogv3.AccessLogFilter_GrpcStatusFilter:
		return grpcStatus(f.GrpcStatusFilter)
	case *accesslogv3.AccessLogFilter_MetadataFilter:
		return metadata(f.MetadataFilter, path.Field("metadata_filter"), errs)
	case *accesslogv3.AccessLogFilter_LogTypeFilter:
		return logType(f.LogTypeFilter)
	case *accesslogv3.AccessLogFilter_ExtensionFilter:
		return b.extension(f.ExtensionFilter, path.Field("extension_filter"), errs)
	default:
		errs.Add(path, "filter_specifier is required")
	}
	return nil
}

func (b *Builder) extension(c *accesslogv3.ExtensionFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	at := path.Field("typed_config")
	msg := extension.Unpack(c.GetTypedConfig(), at, errs)
	if msg == nil {
		return nil
	}
	factory, ok := b.ctx.Registry.ForMessage(extension.AccessLogFilters, msg).(extension.AccessLogFilterFactory)
	if !ok {
		errs.Add(at, "Didn't find a registered implementation for '%s' with type URL: '%s'", c.GetName(), c.GetTypedConfig().GetTypeUrl())
		return nil
	}
	return factory.BuildAccessLogFilter(msg, b.ctx, at, errs)
}

func (b *Builder) filters(config []*accesslogv3.AccessLogFilter, path conf.Path, errs *conf.Errors) []accesslog.Filter {
	out := make([]accesslog.Filter, len(config))
	for i, c := range config {
		out[i] = b.filter(c, path.Index(i), errs)
	}
	return out
}

// milliseconds returns the time that the stream took, or has taken so far.
func milliseconds(e *format.Entry) uint64 {
	end := e.Stream.End
	if end.IsZero() {
		end = e.Now
	}
	return uint64(max(end.Sub(e.Stream.Start).Milliseconds(), 0))
}

// comparison compares a number with one that the runtime may override.
func (b *Builder) comparison(c *accesslogv3.ComparisonFilter, get func(*format.Entry) uint64) accesslog.Filter {
	loader, key, value := b.ctx.Runtime, c.GetValue().GetRuntimeKey(), uint64(c.GetValue().GetDefaultValue())
	op := c.GetOp()
	return func(e *format.Entry) bool {
		limit := value
		if key != "" {
			limit = loader.Snapshot().Integer(key, value)
		}
		switch got := get(e); op {
		case accesslogv3.ComparisonFilter_GE:
			return got >= limit
		case accesslogv3.ComparisonFilter_LE:
			return got <= limit
		case accesslogv3.ComparisonFilter_NE:
			return got != limit
		default:
			return got == limit
		}
	}
}

// runtime logs a share of the requests. All proxies that a request passes decide the
// same, by its ID, unless they are told otherwise or it has none.
func (b *Builder) runtime(c *accesslogv3.RuntimeFilter) accesslog.Filter {
	denominator := uint64(100)
	switch c.GetPercentSampled().GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		denominator = 10_000
	case typev3.FractionalPercent_MILLION:
		denominator = 1_000_000
	}
	unit := 1_000_000 / denominator
	share := min(uint64(c.GetPercentSampled().GetNumerator())*unit, 1_000_000)
	loader, key := b.ctx.Runtime, c.GetRuntimeKey()
	independent := c.GetUseIndependentRandomness()
	return func(e *format.Entry) bool {
		random := e.Random
		if id := e.Stream.RequestID; !independent && len(id) >= 8 {
			if n, err := strconv.ParseUint(id[:8], 16, 64); err == nil {
				random = n
			}
		}
		return random%denominator*unit < uint64(loader.Snapshot().Percent(key, uint32(share)))
	}
}

func header(c *accesslogv3.HeaderFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	m := match.NewHeader(c.GetHeader(), path.Field("header"), errs)
	none := &httpmsg.Headers{} // of a connection; only read
	return func(e *format.Entry) bool {
		if e.Request == nil {
			return m.MatchHeaders(none)
		}
		return m.MatchHeaders(e.Request)
	}
}

// responseFlags passes entries with one of the flags, or with any if none is named.
func responseFlags(c *accesslogv3.ResponseFlagFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	var wanted streaminfo.Flags
	for i, name := range c.GetFlags() {
		flag, ok := streaminfo.ParseFlag(name)
		if !ok {
			errs.Add(path.Field("flags").Index(i), "%q is no response flag", name)
		}
		wanted |= flag
	}
	if wanted == 0 {
		wanted = ^streaminfo.Flags(0)
	}
	return func(e *format.Entry) bool { return e.Stream.Flags&wanted != 0 }
}

func grpcStatus(c *accesslogv3.GrpcStatusFilter) accesslog.Filter {
	var wanted [17]bool
	for _, s := range c.GetStatuses() {
		if s >= 0 && int(s) < len(wanted) {
			wanted[s] = true
		}
	}
	exclude := c.GetExclude()
	return func(e *format.Entry) bool {
		status, ok := e.GRPCStatus()
		if !ok {
			status = 2 // Unknown
		}
		found := status >= 0 && status < len(wanted) && wanted[status]
		return found != exclude
	}
}

func logType(c *accesslogv3.LogTypeFilter) accesslog.Filter {
	var names []string
	for _, t := range c.GetTypes() {
		names = append(names, t.String())
	}
	exclude := c.GetExclude()
	return func(e *format.Entry) bool { return slices.Contains(names, e.Type.String()) != exclude }
}
