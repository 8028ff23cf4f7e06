// Package reqwithoutquery is the formatter envoy.formatter.req_without_query: the
// operator REQ_WITHOUT_QUERY is REQ without what follows a question mark.
package reqwithoutquery

import (
	"strings"

	"google.golang.org/protobuf/proto"

	reqwithoutqueryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/req_without_query/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Factory is the extension.FormatterFactory of the formatter.
type Factory struct{}

var _ extension.FormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.formatter.req_without_query" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.Formatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &reqwithoutqueryv3.ReqWithoutQuery{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"}}
}

// BuiltIn implements extension.FormatterFactory.
func (Factory) BuiltIn() bool { return false }

// BuildFormatter implements extension.FormatterFactory.
func (Factory) BuildFormatter(proto.Message, extension.Context, conf.Path, *conf.Errors) format.Commands {
	return format.Commands{"REQ_WITHOUT_QUERY": compile}
}

// compile compiles REQ_WITHOUT_QUERY(X?Y): the header X, or else Y.
func compile(arg string) (format.Operator, error) {
	names, err := format.ParseHeaderNames(arg)
	if err != nil {
		return format.Operator{}, err
	}
	return format.Operator{Text: func(dst []byte, e *format.Entry) ([]byte, bool) {
		if e.Request == nil {
			return dst, false
		}
		for _, name := range names {
			if value, ok := e.Request.Find(name); ok {
				path, _, _ := strings.Cut(value, "?")
				return append(dst, path...), true
			}
		}
		return dst, false
	}}, nil
}
