// Package fault is the filter envoy.filters.http.fault: it delays requests, aborts
// them and slows responses down, to show how clients cope.
package fault

import (
	"cmp"
	"math"
	"time"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.fault" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &faultv3.HTTPFault{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &faultv3.HTTPFault{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.fault.v3.HTTPFault",
		Names: []string{
			"delay.fixed_delay", "delay.header_delay", "delay.percentage",
			"abort.http_status", "abort.grpc_status", "abort.header_abort", "abort.percentage", "abort.response_body",
			"response_rate_limit.fixed_limit", "response_rate_limit.header_limit", "response_rate_limit.percentage",
			"upstream_cluster", "headers", "downstream_nodes", "max_active_faults",
			"delay_percent_runtime", "abort_percent_runtime", "delay_duration_runtime", "abort_http_status_runtime",
			"max_active_faults_runtime", "response_rate_limit_percent_runtime", "abort_grpc_status_runtime",
			"disable_downstream_cluster_stats", "filter_metadata",
		},
	}
}

// config is shared by the filters of a chain.
type config struct {
	runtime runtimeconf.Loader
	stats   *faultStats
	*settings
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	s := newSettings(msg.(*faultv3.HTTPFault), path, errs)
	if s == nil {
		return nil
	}
	cfg := &config{runtime: ctx.Runtime, stats: newStats(ctx.Stats), settings: s}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(cfg, cb) }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	if s := newSettings(msg.(*faultv3.HTTPFault), path, errs); s != nil {
		return s
	}
	return nil
}

// settings are those of the filter or of a route. They are immutable.
type settings struct {
	delay *delay // nil for none, as abort and rate
	abort *abort
	rate  *rate

	cluster   string          // "" for any
	nodes     map[string]bool // empty for any
	headers   []*match.Header
	maxActive uint64
	keys      runtimeKeys
	metadata  *structpb.Struct
	// perCluster asks for statistics and runtime keys of downstream clusters.
	perCluster bool
}

// runtimeKeys are the keys that override the configuration.
type runtimeKeys struct {
	delayPercent, delayDuration, abortPercent, abortHTTP, abortGRPC, ratePercent, maxActive string
}

// A share of requests: numerator times unit millionths. A request header may make
// the numerator smaller.
type share struct {
	numerator, unit uint64
	header          string // "" if none is asked
}

func newShare(p *typev3.FractionalPercent) share {
	one := typev3.FractionalPercent{Numerator: 1, Denominator: p.GetDenominator()}
	return share{numerator: uint64(p.GetNumerator()), unit: uint64(runtimeconf.Millionths(&one))}
}

// A delay has either a fixed duration or that of a header.
type delay struct {
	share
	fixed time.Duration
}

// An abort has a status of HTTP or of gRPC, or those of headers.
type abort struct {
	share
	http, grpc       int
	hasHTTP, hasGRPC bool
	body             string
}

// A rate limits responses to a fixed number of KiB per second or that of a header.
type rate struct {
	share
	kbps uint64
}

// newSettings returns nil if it reported an error.
func newSettings(m *faultv3.HTTPFault, path conf.Path, errs *conf.Errors) *settings {
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	s := &settings{
		delay:     newDelay(m.GetDelay(), path.Field("delay"), errs),
		abort:     newAbort(m.GetAbort(), path.Field("abort"), errs),
		rate:      newRate(m.GetResponseRateLimit(), path.Field("response_rate_limit"), errs),
		cluster:   m.GetUpstreamCluster(),
		headers:   match.NewHeaders(m.GetHeaders(), path.Field("headers"), errs),
		maxActive: math.MaxUint64,
		keys: runtimeKeys{
			delayPercent:  cmp.Or(m.GetDelayPercentRuntime(), "fault.http.delay.fixed_delay_percent"),
			delayDuration: cmp.Or(m.GetDelayDurationRuntime(), "fault.http.delay.fixed_duration_ms"),
			abortPercent:  cmp.Or(m.GetAbortPercentRuntime(), "fault.http.abort.abort_percent"),
			abortHTTP:     cmp.Or(m.GetAbortHttpStatusRuntime(), "fault.http.abort.http_status"),
			abortGRPC:     cmp.Or(m.GetAbortGrpcStatusRuntime(), "fault.http.abort.grpc_status"),
			ratePercent:   cmp.Or(m.GetResponseRateLimitPercentRuntime(), "fault.http.rate_limit.response_percent"),
			maxActive:     cmp.Or(m.GetMaxActiveFaultsRuntime(), "fault.http.max_active_faults"),
		},
		metadata:   m.GetFilterMetadata(),
		perCluster: !m.GetDisableDownstreamClusterStats(),
	}
	if s.metadata == nil {
		s.metadata = &structpb.Struct{} // an injected fault has metadata, if only empty ones
	}
	if n := m.GetMaxActiveFaults(); n != nil {
		s.maxActive = uint64(n.GetValue())
	}
	if nodes := m.GetDownstreamNodes(); len(nodes) > 0 {
		s.nodes = map[string]bool{}
		for _, node := range nodes {
			s.nodes[node] = true
		}
	}
	if len(*errs) > before {
		return nil
	}
	return s
}

func newDelay(m *commonv3.FaultDelay, path conf.Path, errs *conf.Errors) *delay {
	if m == nil {
		return nil
	}
	d := &delay{share: newShare(m.GetPercentage())}
	switch kind := m.GetFaultDelaySecifier().(type) {
	case *commonv3.FaultDelay_FixedDelay:
		if d.fixed = kind.FixedDelay.AsDuration(); d.fixed <= 0 {
			errs.Add(path.Field("fixed_delay"), "must be greater than 0")
		}
	case *commonv3.FaultDelay_HeaderDelay_:
		d.header = "x-envoy-fault-delay-request-percentage"
	default:
		errs.Add(path, "one of fixed_delay and header_delay must be set")
	}
	return d
}

func newAbort(m *faultv3.FaultAbort, path conf.Path, errs *conf.Errors) *abort {
	if m == nil {
		return nil
	}
	a := &abort{share: newShare(m.GetPercentage()), body: cmp.Or(m.GetResponseBody(), "fault filter abort")}
	switch kind := m.GetErrorType().(type) {
	case *faultv3.FaultAbort_HttpStatus:
		if a.http, a.hasHTTP = int(kind.HttpStatus), true; a.http < 200 || a.http >= 600 {
			errs.Add(path.Field("http_status"), "must be from 200 to 599")
		}
	case *faultv3.FaultAbort_GrpcStatus:
		a.grpc, a.hasGRPC = int(kind.GrpcStatus), true
	case *faultv3.FaultAbort_HeaderAbort_:
		a.header = "x-envoy-fault-abort-request-percentage"
	default:
		errs.Add(path, "one of http_status, grpc_status and header_abort must be set")
	}
	return a
}

func newRate(m *commonv3.FaultRateLimit, path conf.Path, errs *conf.Errors) *rate {
	if m == nil {
		return nil
	}
	r := &rate{share: newShare(m.GetPercentage())}
	switch kind := m.GetLimitType().(type) {
	case *commonv3.FaultRateLimit_FixedLimit_:
		if r.kbps = kind.FixedLimit.GetLimitKbps(); r.kbps == 0 {
			errs.Add(path.Field("fixed_limit").Field("limit_kbps"), "must be greater than 0")
		}
	case *commonv3.FaultRateLimit_HeaderLimit_:
		r.header = "x-envoy-fault-throughput-response-percentage"
	default:
		errs.Add(path, "one of fixed_limit and header_limit must be set")
	}
	return r
}
