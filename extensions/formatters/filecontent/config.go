// Package filecontent is the formatter envoy.formatter.file_content: the operator
// FILE_CONTENT is what a file contains, as it is now.
package filecontent

import (
	"fmt"
	"os"
	"sync/atomic"

	filecontentv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/file_content/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Factory is the extension.FormatterFactory of the formatter.
type Factory struct{}

var _ extension.FormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.formatter.file_content" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.Formatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &filecontentv3.FileContent{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.formatter.file_content.v3.FileContent"}}
}

// BuiltIn implements extension.FormatterFactory.
func (Factory) BuiltIn() bool { return false }

// BuildFormatter implements extension.FormatterFactory.
func (Factory) BuildFormatter(_ proto.Message, ctx extension.Context, _ conf.Path, _ *conf.Errors) format.Commands {
	return format.Commands{"FILE_CONTENT": func(path string) (format.Operator, error) {
		if path == "" {
			return format.Operator{}, fmt.Errorf("a file must be named")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return format.Operator{}, err
		}
		var content atomic.Pointer[[]byte]
		content.Store(&text)
		ctx.Secrets.Follow([]string{path}, func() {
			if text, err := os.ReadFile(path); err == nil {
				content.Store(&text)
			} else {
				ctx.Log.Warnf("FILE_CONTENT keeps what was read before: %v", err)
			}
		})
		return format.Operator{Text: func(dst []byte, _ *format.Entry) ([]byte, bool) {
			return append(dst, *content.Load()...), true
		}}, nil
	}}
}
