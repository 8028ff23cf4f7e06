package filterchain

import (
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// CodecFactory is the extension.HTTPFilterFactory of envoy.filters.http.upstream_codec:
// the end of a chain between a router and its hosts. What passes its filter, as
// everything does, goes to the stream.
type CodecFactory struct{}

var _ extension.HTTPFilterFactory = CodecFactory{}

// Name implements extension.Factory.
func (CodecFactory) Name() string { return "envoy.filters.http.upstream_codec" }

// Category implements extension.Factory.
func (CodecFactory) Category() string { return extension.UpstreamHTTPFilters }

// Config implements extension.Factory.
func (CodecFactory) Config() proto.Message { return &codecv3.UpstreamCodec{} }

// Fields implements extension.Factory.
func (CodecFactory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}, Fields()}
}

// Terminal implements extension.HTTPFilterFactory.
func (CodecFactory) Terminal() bool { return true }

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (CodecFactory) BuildHTTPFilter(proto.Message, extension.HTTPContext, conf.Path, *conf.Errors) httpfilter.Builder {
	return func(httpfilter.Callbacks) httpfilter.Filter { return codecFilter{} }
}

type codecFilter struct{}

// OnDestroy implements httpfilter.Filter.
func (codecFilter) OnDestroy() {}
