// Package preservecase is the header formatter
// envoy.http.stateful_header_formatters.preserve_case: HTTP/1 header names leave as
// they came.
package preservecase

import (
	preservecasev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// Factory is the extension.HeaderFormatterFactory of the formatter.
type Factory struct{}

var _ extension.HeaderFormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.http.stateful_header_formatters.preserve_case" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HeaderFormatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(preservecasev3.PreserveCaseFormatterConfig) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
		Names:   []string{"forward_reason_phrase", "formatter_type_on_envoy_headers"},
	}
}

// BuildHeaderFormatter implements extension.HeaderFormatterFactory.
func (Factory) BuildHeaderFormatter(msg proto.Message, path conf.Path, errs *conf.Errors) func() httpmsg.KeyFormatter {
	m := msg.(*preservecasev3.PreserveCaseFormatterConfig)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	forward, proper := m.GetForwardReasonPhrase(), false
	switch t := m.GetFormatterTypeOnEnvoyHeaders(); t {
	case preservecasev3.PreserveCaseFormatterConfig_DEFAULT:
	case preservecasev3.PreserveCaseFormatterConfig_PROPER_CASE:
		proper = true
	default:
		errs.Add(path.Field("formatter_type_on_envoy_headers"), "unknown value %d", t)
	}
	if len(*errs) > before {
		return nil
	}
	return func() httpmsg.KeyFormatter { return &formatter{forwardReason: forward, properCase: proper} }
}
