// Package directresponse is the filter envoy.filters.network.direct_response: it
// answers each connection with the same bytes and closes it.
package directresponse

import (
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
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
	return []conf.Fields{{Message: "envoy.extensions.filters.network.direct_response.v3.Config", Names: []string{
		"response.filename", "response.inline_bytes", "response.inline_string"}}}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return true }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (f Factory) BuildNetworkFilter(msg proto.Message, _ extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	before := len(*errs)
	conf.Check(msg, f.Fields()[0], path, errs)
	response := read(msg.(*responsev3.Config).GetResponse(), path.Field("response"), errs)
	if len(*errs) > before {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{response: response}) }
}

// read returns the bytes of a data source, which may be nil.
func read(source *corev3.DataSource, path conf.Path, errs *conf.Errors) []byte {
	switch s := source.GetSpecifier().(type) {
	case *corev3.DataSource_InlineBytes:
		return s.InlineBytes
	case *corev3.DataSource_InlineString:
		return []byte(s.InlineString)
	case *corev3.DataSource_Filename:
		data, err := os.ReadFile(s.Filename)
		if err != nil {
			errs.Add(path.Field("filename"), "%v", err)
		}
		return data
	}
	return nil
}
