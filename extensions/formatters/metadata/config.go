// Package metadata is the formatter envoy.formatter.metadata. Every format knows its
// operator METADATA, listed or not.
package metadata

import (
	"google.golang.org/protobuf/proto"

	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/metadata/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Factory is the extension.FormatterFactory of the formatter.
type Factory struct{}

var _ extension.FormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.formatter.metadata" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.Formatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &metadatav3.Metadata{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.formatter.metadata.v3.Metadata"}}
}

// BuiltIn implements extension.FormatterFactory.
func (Factory) BuiltIn() bool { return false }

// BuildFormatter implements extension.FormatterFactory. It adds nothing to what formats
// know.
func (Factory) BuildFormatter(proto.Message, extension.Context, conf.Path, *conf.Errors) format.Commands {
	return nil
}
