package route

import (
	"maps"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// routeFilters finds the factories of HTTP filters by their per-route message.
func routeFilters(r *extension.Registry) map[string]extension.HTTPRouteFilterFactory {
	m := map[string]extension.HTTPRouteFilterFactory{}
	if r == nil {
		return m
	}
	for f := range r.All() {
		if f, ok := f.(extension.HTTPRouteFilterFactory); ok && f.Category() == extension.HTTPFilters {
			m[string(f.RouteConfig().ProtoReflect().Descriptor().FullName())] = f
		}
	}
	return m
}

// filterConfigs builds typed_per_filter_config, in the order of the names.
func (b *builder) filterConfigs(cfg map[string]*anypb.Any, path conf.Path) (out []route.FilterConfig) {
	for _, name := range slices.Sorted(maps.Keys(cfg)) {
		c := route.FilterConfig{Filter: name}
		if b.filterConfig(&c, cfg[name], path.Key(name)) {
			out = append(out, c)
		}
	}
	return out
}

// filterConfig fills in the configuration of one filter, and reports whether it
// counts: an optional one for a filter that is not there does not. A FilterConfig
// can turn a filter off, or on without configuration.
func (b *builder) filterConfig(c *route.FilterConfig, packed *anypb.Any, path conf.Path) bool {
	if typeName(packed) != "envoy.config.route.v3.FilterConfig" {
		return b.factoryConfig(c, packed, false, path)
	}
	cfg, ok := extension.Unpack(packed, path, b.errs).(*routev3.FilterConfig)
	if !ok {
		return false
	}
	conf.Check(cfg, FilterConfigFields(), path, b.errs)
	switch {
	case cfg.GetDisabled():
		c.Disabled = true
		return true
	case cfg.GetConfig() == nil:
		b.errs.Add(path.Field("config"), "is required, unless disabled is set; an empty one enables the filter")
		return false
	case cfg.GetConfig().GetTypeUrl() == "":
		return true
	default:
		return b.factoryConfig(c, cfg.GetConfig(), cfg.GetIsOptional(), path.Field("config"))
	}
}

func (b *builder) factoryConfig(c *route.FilterConfig, packed *anypb.Any, optional bool, path conf.Path) bool {
	factory := b.routeFilters[typeName(packed)]
	if factory == nil {
		if !optional {
			b.errs.Add(path, "no HTTP filter takes %q as configuration of a route", typeName(packed))
		}
		return false
	}
	if msg := extension.Unpack(packed, path, b.errs); msg != nil {
		c.Config = factory.BuildRouteConfig(msg, b.HTTPContext, path, b.errs)
	}
	return c.Config != nil
}

func typeName(packed *anypb.Any) string {
	url := packed.GetTypeUrl()
	return url[strings.LastIndexByte(url, '/')+1:]
}
