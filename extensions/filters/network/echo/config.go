// Package echo is the filter envoy.filters.network.echo: it sends back what it
// receives.
package echo

import (
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// Factory is the extension.NetworkFilterFactory of the filter.
type Factory struct{}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.echo" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &echov3.Echo{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.echo.v3.Echo"}}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return true }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (Factory) BuildNetworkFilter(proto.Message, extension.NetworkContext, conf.Path, *conf.Errors) network.FilterBuilder {
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{}) }
}
