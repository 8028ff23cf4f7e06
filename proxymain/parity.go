package proxymain

import (
	"io"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// WriteParity writes the list of what is implemented of Envoy's configuration, with
// these extensions, as Markdown.
func WriteParity(w io.Writer, factories []extension.Factory) error {
	return server.WriteParity(w, factories)
}
