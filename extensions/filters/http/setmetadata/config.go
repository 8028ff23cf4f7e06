// Package setmetadata is the filter envoy.filters.http.set_metadata: it adds values of the
// configuration to the dynamic metadata of requests.
package setmetadata

import (
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.set_metadata" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &metadatav3.Config{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &metadatav3.Config{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{
		{Message: "envoy.extensions.filters.http.set_metadata.v3.Config", Names: []string{"metadata_namespace", "value", "metadata"}},
		{Message: "envoy.extensions.filters.http.set_metadata.v3.Metadata", Names: []string{
			"metadata_namespace", "allow_overwrite", "value", "typed_value"}},
	}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newConfig(msg.(*metadatav3.Config), ctx.Stats, path, errs)
	if cfg == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory. As in Envoy the statistic of
// routes is not below that of the connection manager.
func (Factory) BuildRouteConfig(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	if cfg := newConfig(msg.(*metadatav3.Config), ctx.Root, path, errs); cfg != nil {
		return cfg
	}
	return nil
}

// newConfig returns nil if it reported an error.
func newConfig(m *metadatav3.Config, scope stats.Scope, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	cfg := &config{denied: scope.Scope("set_metadata.").Counter("overwrite_denied")}
	if namespace, value := m.GetMetadataNamespace(), m.GetValue(); namespace != "" && value != nil {
		cfg.untyped = append(cfg.untyped, untyped{namespace, value, true})
	}
	for i, entry := range m.GetMetadata() {
		if entry.GetMetadataNamespace() == "" {
			errs.Add(path.Field("metadata").Index(i).Field("metadata_namespace"), "must not be empty")
		}
		cfg.add(entry)
	}
	if len(*errs) > before {
		return nil
	}
	return cfg
}

// config is the filter's or a route's, shared by all streams. It is immutable.
type config struct {
	untyped []untyped
	typed   []typed
	denied  *stats.Counter
}

// An untyped is fields to set in a name space.
type untyped struct {
	namespace string
	fields    *structpb.Struct
	overwrite bool // merge them with those that are there
}

// A typed is the message to set in a name space.
type typed struct {
	namespace string
	message   *anypb.Any
	overwrite bool
}

// add takes an entry. As in Envoy, one with both kinds of value is an untyped one, and one
// without any counts for nothing.
func (c *config) add(m *metadatav3.Metadata) {
	switch {
	case m.GetValue() != nil:
		c.untyped = append(c.untyped, untyped{m.GetMetadataNamespace(), m.GetValue(), m.GetAllowOverwrite()})
	case m.GetTypedValue() != nil:
		c.typed = append(c.typed, typed{m.GetMetadataNamespace(), m.GetTypedValue(), m.GetAllowOverwrite()})
	}
}
