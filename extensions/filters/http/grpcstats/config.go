// Package grpcstats is the filter envoy.filters.http.grpc_stats: it counts the calls and
// messages of gRPC and Connect in the statistics of the cluster they go to.
package grpcstats

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.HTTPFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.grpc_stats" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &grpcstatsv3.FilterConfig{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
		Names: []string{
			"emit_filter_state", "individual_method_stats_allowlist", "stats_for_all_methods", "enable_upstream_stats",
			"replace_dots_in_grpc_service_name",
		},
	}}
}

// settings are immutable.
type settings struct {
	clusters        upstream.Clusters
	emitFilterState bool
	upstreamStats   bool
	allMethods      bool
	replaceDots     bool
	// listed are the prefixes of the methods that are counted one by one.
	listed map[method]string
}

// A method is a gRPC method.
type method struct{ service, name string }

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	m := msg.(*grpcstatsv3.FilterConfig)
	before := len(*errs)
	cfg := &settings{
		clusters:        ctx.Clusters,
		emitFilterState: m.GetEmitFilterState(),
		upstreamStats:   m.GetEnableUpstreamStats(),
		allMethods:      m.GetStatsForAllMethods().GetValue(),
		replaceDots:     m.GetReplaceDotsInGrpcServiceName(),
		listed:          newList(m.GetIndividualMethodStatsAllowlist(), path.Field("individual_method_stats_allowlist"), errs),
	}
	if len(*errs) > before {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

func newList(m *corev3.GrpcMethodList, path conf.Path, errs *conf.Errors) map[method]string {
	listed := map[method]string{}
	for i, service := range m.GetServices() {
		at := path.Field("services").Index(i)
		if service.GetName() == "" {
			errs.Add(at.Field("name"), "must not be empty")
		}
		if len(service.GetMethodNames()) == 0 {
			errs.Add(at.Field("method_names"), "must not be empty")
		}
		for _, name := range service.GetMethodNames() {
			listed[method{service.GetName(), name}] = string(appendPrefix(nil, service.GetName(), name))
		}
	}
	return listed
}

// allPrefix is that of the statistics of all methods together.
const allPrefix = "grpc."

// appendPrefix appends the prefix of the statistics of a method to dst.
func appendPrefix(dst []byte, service, name string) []byte {
	dst = append(append(dst, allPrefix...), service...)
	return append(append(append(dst, '.'), name...), '.')
}

// undotted returns the name of a service with underscores for dots.
func undotted(service string) string { return strings.ReplaceAll(service, ".", "_") }
