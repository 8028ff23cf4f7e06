// Package directresponse is the filter envoy.filters.network.direct_response: it
// answers each connection with the same bytes and closes it.
package directresponse

import (
	responsev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// Factory is the extension.NetworkFilterFactory of the filter.
type Factory struct{}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.direct_response" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &responsev3.Config{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.direct_response.v3.Config", Names: []string{"response"}}}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return true }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	before := len(*errs)
	response := extension.NewDataSource(msg.(*responsev3.Config).GetResponse(), 0, ctx.Context, path.Field("response"), errs)
	if len(*errs) > before {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{response: response}) }
}
