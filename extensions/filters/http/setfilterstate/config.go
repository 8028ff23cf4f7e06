// Package setfilterstate is the filter envoy.filters.http.set_filter_state: it puts values
// into the filter state of requests.
package setfilterstate

import (
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/setfilterstate"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.set_filter_state" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &statev3.Config{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &statev3.Config{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.http.set_filter_state.v3.Config", Names: []string{
		"on_request_headers", "clear_route_cache"}}, setfilterstate.Fields()}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	m := msg.(*statev3.Config)
	values, ok := read(m, ctx, path, errs)
	if !ok {
		return nil
	}
	clears := m.GetClearRouteCache()
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &filter{values: values, clearsRoute: clears, cb: cb}
	}
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory. As in Envoy clear_route_cache
// counts in the filter's own configuration only.
func (Factory) BuildRouteConfig(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	if values, ok := read(msg.(*statev3.Config), ctx, path, errs); ok {
		return values
	}
	return nil
}

func read(m *statev3.Config, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) (_ setfilterstate.Values, ok bool) {
	before := len(*errs)
	values := setfilterstate.New(m.GetOnRequestHeaders(), ctx.Formats, path.Field("on_request_headers"), errs)
	return values, len(*errs) == before
}

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	values      setfilterstate.Values
	clearsRoute bool
	cb          httpfilter.Callbacks
	entry       format.Entry
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter. The most specific level of the route has
// the last word.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	d, info := f.cb.Dispatcher(), f.cb.Stream()
	f.entry = format.Entry{Request: h, Stream: info, Now: d.Now(), Shard: d.Shard(), Random: f.cb.StreamID()}
	below := f.cb.Connection().Info().FilterState
	f.values.Set(info, below, &f.entry)
	if r := f.cb.Route(); r != nil {
		for i := len(r.FilterConfigs) - 1; i >= 0; i-- {
			if c := &r.FilterConfigs[i]; c.Filter == f.cb.Name() {
				if values, ok := c.Config.(setfilterstate.Values); ok {
					values.Set(info, below, &f.entry)
				}
			}
		}
	}
	if f.clearsRoute {
		f.cb.ClearRoute()
	}
	return httpfilter.Continue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.entry = format.Entry{} }
