package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// Formatters is the category of extensions that add operators to format strings.
const Formatters = "envoy.formatter"

// A FormatterFactory adds operators to format strings.
type FormatterFactory interface {
	Factory
	// BuiltIn reports whether every format knows the operators, also one that does not
	// list the formatter. Then BuildFormatter accepts an empty message.
	BuiltIn() bool
	// BuildFormatter checks the configuration and returns the operators. Errors go to
	// errs; they are nil then. It is called for every format that lists the formatter, and
	// once before the first format if it is built in: what is expensive waits for a
	// command. ctx has no Formats.
	BuildFormatter(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) format.Commands
}
