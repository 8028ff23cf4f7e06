package extension

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// HeaderFormatters is the category of what stateful_formatter of HTTP/1 names, in
// Envoy's words.
const HeaderFormatters = "envoy.http.stateful_header_formatters"

// A HeaderFormatterFactory makes formatters of header names for HTTP/1.
type HeaderFormatterFactory interface {
	Factory
	// BuildHeaderFormatter checks the configuration, once, on the main goroutine. Errors
	// go to errs with the path of the field; the result is nil then. The codec calls the
	// result on any worker, for every message that it reads.
	BuildHeaderFormatter(msg proto.Message, path conf.Path, errs *conf.Errors) func() httpmsg.KeyFormatter
}

// HeaderFormatter builds the formatter that a stateful_formatter field at path
// configures. Without the field, or with an error, which goes to errs, it is nil.
func (r *Registry) HeaderFormatter(config *corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) func() httpmsg.KeyFormatter {
	if config == nil {
		return nil
	}
	at := path.Field("typed_config")
	msg := Unpack(config.GetTypedConfig(), at, errs)
	if msg == nil {
		return nil
	}
	f, ok := r.ForMessage(HeaderFormatters, msg).(HeaderFormatterFactory)
	if !ok {
		errs.Add(at, "header formatter %s is not implemented", config.GetName())
		return nil
	}
	return f.BuildHeaderFormatter(msg, at, errs)
}
