package hcm

import (
	"time"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// logFlush says when access logs are written besides the end of a stream.
type logFlush struct {
	interval            time.Duration // 0 for never
	onRequest, onTunnel bool
}

// readLogs takes the access logs. They are options of the connection manager since
// Envoy 1.27; the older fields still count.
func (c *config) readLogs(m *hcmv3.HttpConnectionManager, ctx extension.Context, path conf.Path, errs *conf.Errors) {
	c.accessLogs = ctx.AccessLogs.Build(m.GetAccessLog(), path.Field("access_log"), errs)
	interval, at := m.GetAccessLogFlushInterval(), path.Field("access_log_flush_interval")
	c.flushLogs.onRequest = m.GetFlushAccessLogOnNewRequest()
	if o := m.GetAccessLogOptions(); o != nil {
		if interval != nil {
			errs.Add(at, "Only one of access_log_flush_interval or access_log_options can be specified.")
		}
		if c.flushLogs.onRequest {
			errs.Add(path.Field("flush_access_log_on_new_request"),
				"Only one of flush_access_log_on_new_request or access_log_options can be specified.")
		}
		interval, at = o.GetAccessLogFlushInterval(), path.Field("access_log_options").Field("access_log_flush_interval")
		c.flushLogs.onRequest, c.flushLogs.onTunnel = o.GetFlushAccessLogOnNewRequest(), o.GetFlushLogOnTunnelSuccessfullyEstablished()
	}
	if interval != nil {
		if c.flushLogs.interval = interval.AsDuration(); c.flushLogs.interval < time.Millisecond {
			errs.Add(at, "must be at least 1 ms")
		}
	}
}

// log writes the access logs for an event of the stream.
func (s *stream) log(t format.EntryType) {
	if len(s.cfg.accessLogs) == 0 {
		return
	}
	e := s.entryFor(t)
	for _, l := range s.cfg.accessLogs {
		l.Log(e)
	}
}

// logPeriodically writes the access logs of a stream that lasts.
func (s *stream) logPeriodically() {
	s.log(format.DownstreamPeriodic)
	s.logTimer.Enable(s.cfg.flushLogs.interval)
}

// entryFor describes the stream for formats. The entry is the stream's: it is valid
// until the next call.
func (s *stream) entryFor(t format.EntryType) *format.Entry {
	s.entry = format.Entry{
		Request: s.request.Headers, Response: s.response.Headers, Trailers: s.response.Trailers, Stream: &s.info,
		Type: t, Now: s.m.d.Now(), Shard: s.m.shard, Random: s.random,
	}
	return &s.entry
}
