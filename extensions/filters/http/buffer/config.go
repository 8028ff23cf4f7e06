// Package buffer is the filter envoy.filters.http.buffer: it holds a request back
// until it is complete, for upstreams that do not cope with slow or chunked ones.
package buffer

import (
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.buffer" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &bufferv3.Buffer{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &bufferv3.BufferPerRoute{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// ServesUpstream implements extension.UpstreamHTTPFilterFactory.
func (Factory) ServesUpstream() {}

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields(), routeFields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.buffer.v3.Buffer",
		Names:   []string{"max_request_bytes"},
	}
}

func routeFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
		Names:   []string{"disabled", "buffer"},
	}
}

// settings are those of the filter or of a route. They are immutable.
type settings struct {
	disabled bool
	maxBytes int
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	cfg := newSettings(msg.(*bufferv3.Buffer), path, errs)
	if cfg == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, _ extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	m := msg.(*bufferv3.BufferPerRoute)
	conf.Check(m, routeFields(), path, errs)
	switch o := m.GetOverride().(type) {
	case *bufferv3.BufferPerRoute_Disabled:
		if o.Disabled {
			return &settings{disabled: true}
		}
		errs.Add(path.Field("disabled"), "must be true")
	case *bufferv3.BufferPerRoute_Buffer:
		if cfg := newSettings(o.Buffer, path.Field("buffer"), errs); cfg != nil {
			return cfg
		}
	default:
		errs.Add(path, "one of disabled and buffer must be set")
	}
	return nil
}

// newSettings returns nil if it reported an error.
func newSettings(m *bufferv3.Buffer, path conf.Path, errs *conf.Errors) *settings {
	conf.Check(m, fields(), path, errs)
	n := m.GetMaxRequestBytes().GetValue()
	if n == 0 {
		errs.Add(path.Field("max_request_bytes"), "must be greater than 0")
		return nil
	}
	return &settings{maxBytes: int(n)}
}
