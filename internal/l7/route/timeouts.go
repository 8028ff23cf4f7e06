package route

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	earlydatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/early_data/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

func (s *hostScope) timeouts(f *route.Forward, cfg *routev3.RouteAction, path conf.Path) {
	s.optional(&f.Timeout, cfg.GetTimeout(), path.Field("timeout"))
	f.HasIdleTimeout = cfg.GetIdleTimeout() != nil
	s.optional(&f.IdleTimeout, cfg.GetIdleTimeout(), path.Field("idle_timeout"))
	longest := cfg.GetMaxStreamDuration().GetMaxStreamDuration()
	f.HasMaxStreamDuration = longest != nil
	s.optional(&f.MaxStreamDuration, longest, path.Field("max_stream_duration").Field("max_stream_duration"))
	f.HasFlushTimeout = cfg.GetFlushTimeout() != nil
	s.optional(&f.FlushTimeout, cfg.GetFlushTimeout(), path.Field("flush_timeout"))
}

// grpcTimeout builds how grpc-timeout counts: max_stream_duration, even an empty one,
// hides the deprecated fields.
func (s *hostScope) grpcTimeout(cfg *routev3.RouteAction, path conf.Path) (g route.GRPCTimeout) {
	d := cfg.GetMaxStreamDuration()
	if d == nil {
		g.Response = cfg.GetMaxGrpcTimeout() != nil
		s.optional(&g.Max, cfg.GetMaxGrpcTimeout(), path.Field("max_grpc_timeout"))
		s.optional(&g.Offset, cfg.GetGrpcTimeoutOffset(), path.Field("grpc_timeout_offset"))
		return g
	}
	path = path.Field("max_stream_duration")
	g.Stream = d.GetGrpcTimeoutHeaderMax() != nil
	s.optional(&g.Max, d.GetGrpcTimeoutHeaderMax(), path.Field("grpc_timeout_header_max"))
	s.optional(&g.Offset, d.GetGrpcTimeoutHeaderOffset(), path.Field("grpc_timeout_header_offset"))
	return g
}

// earlyData checks the policy for TLS early data. The default one lets no request use
// it, and no request does.
func (s *hostScope) earlyData(cfg *corev3.TypedExtensionConfig, path conf.Path) {
	if cfg == nil {
		return
	}
	at := path.Field("typed_config")
	msg := extension.Unpack(cfg.GetTypedConfig(), at, s.errs)
	if _, ok := msg.(*earlydatav3.DefaultEarlyDataPolicy); !ok && msg != nil {
		s.errs.Add(at, "no implementation of envoy.route.early_data_policy is registered for type %s", cfg.GetTypedConfig().GetTypeUrl())
	}
}

func (b *builder) hedgePolicy(cfg *routev3.HedgePolicy, path conf.Path) bool {
	conf.Check(cfg, HedgeFields(), path, b.errs)
	return cfg.GetHedgeOnPerTryTimeout()
}

// optional sets to if a duration is configured.
func (b *builder) optional(to *time.Duration, d *durationpb.Duration, path conf.Path) {
	if d != nil {
		*to = b.duration(d, path)
	}
}
