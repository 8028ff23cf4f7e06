// Package cel is the filter of access logs envoy.access_loggers.extension_filters.cel:
// it logs what an expression of the Common Expression Language is true for.
package cel

import (
	"google.golang.org/protobuf/proto"

	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/common/cel"
)

// Factory is the extension.AccessLogFilterFactory of the filter.
type Factory struct{}

var _ extension.AccessLogFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.access_loggers.extension_filters.cel" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.AccessLogFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &celv3.ExpressionFilter{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
		Names:   []string{"expression", "cel_config"},
	}}
}

// BuildAccessLogFilter implements extension.AccessLogFilterFactory.
func (f Factory) BuildAccessLogFilter(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) accesslog.Filter {
	config := msg.(*celv3.ExpressionFilter)
	conf.Check(config, f.Fields()[0], path, errs)
	x, err := cel.New(config.GetCelConfig(), ctx.Server.Node()).Compile("filter expression", config.GetExpression())
	if err != nil {
		errs.Add(path.Field("expression"), "%v", err)
		return nil
	}
	return x.Match
}
