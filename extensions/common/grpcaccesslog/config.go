// Package grpcaccesslog is what the access loggers that send entries to a gRPC service
// share: their common configuration, the entries, and a stream of them per worker.
package grpcaccesslog

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
)

const (
	defaultInterval = time.Second
	defaultSize     = 16 << 10
)

// Fields lists the fields of CommonGrpcAccessLogConfig that are implemented.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig", Names: []string{
		"log_name", "grpc_service", "transport_api_version", "buffer_flush_interval", "buffer_size_bytes",
		"filter_state_objects_to_log", "custom_tags",
	}}
}

// NewHTTP returns a logger of HTTP requests. Errors go to errs; the logger is nil then.
// Main goroutine.
func NewHTTP(cfg *grpcv3.CommonGrpcAccessLogConfig, h HTTPHeaders, ctx extension.Context, path conf.Path, errs *conf.Errors) accesslog.Logger {
	l := parse(cfg, ctx, path, errs)
	if l == nil {
		return nil
	}
	l.headers, l.encode, l.field = h, l.http, httpLogs
	return l
}

// NewTCP returns a logger of connections. Errors go to errs; the logger is nil then. Main
// goroutine.
func NewTCP(cfg *grpcv3.CommonGrpcAccessLogConfig, ctx extension.Context, path conf.Path, errs *conf.Errors) accesslog.Logger {
	l := parse(cfg, ctx, path, errs)
	if l == nil {
		return nil
	}
	l.encode, l.field = l.tcp, tcpLogs
	return l
}

// parse makes a logger of what is common to all, nil if there are errors.
func parse(cfg *grpcv3.CommonGrpcAccessLogConfig, ctx extension.Context, path conf.Path, errs *conf.Errors) *logger {
	before := len(*errs)
	if cfg == nil {
		errs.Add(path, "must be set")
		return nil
	}
	conf.Check(cfg, Fields(), path, errs)
	if cfg.GetLogName() == "" {
		errs.Add(path.Field("log_name"), "must not be empty")
	}
	if cfg.GetTransportApiVersion() != corev3.ApiVersion_V3 {
		errs.Add(path.Field("transport_api_version"), "V2 (and AUTO) xDS transport protocol versions are deprecated")
	}
	l := &logger{stats: newStats(ctx.Stats), interval: defaultInterval, size: defaultSize, filterState: cfg.GetFilterStateObjectsToLog()}
	if d := cfg.GetBufferFlushInterval(); d != nil {
		if l.interval = d.AsDuration(); d.CheckValid() != nil || l.interval <= 0 {
			errs.Add(path.Field("buffer_flush_interval"), "must be greater than zero")
		}
	}
	if n := cfg.GetBufferSizeBytes(); n != nil {
		l.size = int(n.GetValue())
	}
	for i, t := range cfg.GetCustomTags() {
		l.customTags = append(l.customTags, newTag(t, ctx, path.Field("custom_tags").Index(i), errs))
	}
	if cfg.GetGrpcService() == nil {
		errs.Add(path.Field("grpc_service"), "must be set")
	} else {
		l.client = ctx.GRPC.Client(cfg.GetGrpcService(), path.Field("grpc_service"), errs)
	}
	identifier, err := identify(ctx.Server.Node(), cfg.GetLogName())
	if err != nil {
		errs.Add(path.Field("log_name"), "%v", err)
	}
	if len(*errs) > before {
		return nil
	}
	l.identifier = identifier
	l.senders = make([]sender, len(ctx.Workers))
	for i, d := range ctx.Workers {
		l.senders[i] = sender{logger: l, d: d}
	}
	return l
}

// identify encodes an Identifier, the beginning of each stream.
func identify(node *corev3.Node, name string) ([]byte, error) {
	var e Encoder
	if node != nil {
		b, err := proto.Marshal(node)
		if err != nil {
			return nil, err
		}
		e.Bytes(1, b)
	}
	e.Text(2, name)
	return e.b, nil
}
