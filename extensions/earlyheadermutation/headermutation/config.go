// Package headermutation is the extension
// envoy.http.early_header_mutation.header_mutation: it changes the headers of
// requests before all that the connection manager does with them.
package headermutation

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// Factory is the extension.EarlyHeaderMutationFactory.
type Factory struct{}

var _ extension.EarlyHeaderMutationFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.http.early_header_mutation.header_mutation" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.EarlyHeaderMutation }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &mutationv3.HeaderMutation{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
		Names:   []string{"mutations"},
	}
}

// BuildEarlyHeaderMutation implements extension.EarlyHeaderMutationFactory.
func (Factory) BuildEarlyHeaderMutation(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) route.HeaderMutation {
	m := msg.(*mutationv3.HeaderMutation)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	if len(m.GetMutations()) == 0 {
		errs.Add(path.Field("mutations"), "must not be empty")
	}
	list := headeroption.NewMutations(m.GetMutations(), ctx.Formats, path.Field("mutations"), errs)
	if len(*errs) > before {
		return nil
	}
	return list
}
