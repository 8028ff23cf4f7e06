// Package expr is the rate limit descriptor envoy.rate_limit_descriptors.expr: the
// value of an expression of the Common Expression Language.
package expr

import (
	exprv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rate_limit_descriptors/expr/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/common/cel"
)

// Factory is the extension.RateLimitDescriptorFactory of the descriptor.
type Factory struct{}

var _ extension.RateLimitDescriptorFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.rate_limit_descriptors.expr" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RateLimitDescriptors }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &exprv3.Descriptor{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor",
		Names:   []string{"descriptor_key", "skip_if_error", "text"},
	}}
}

// BuildRateLimitDescriptor implements extension.RateLimitDescriptorFactory.
func (f Factory) BuildRateLimitDescriptor(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) ratelimit.Action {
	m := msg.(*exprv3.Descriptor)
	before := len(*errs)
	conf.Check(m, f.Fields()[0], path, errs)
	if m.GetDescriptorKey() == "" {
		errs.Add(path.Field("descriptor_key"), "must not be empty")
	}
	x, err := cel.New(nil, ctx.Server.Node()).Compile("descriptor expression", m.GetText())
	if err != nil {
		errs.Add(path.Field("text"), "%v", err)
	}
	if len(*errs) > before {
		return nil
	}
	return &action{x, m.GetDescriptorKey(), m.GetSkipIfError()}
}

// An action is the entry with the value of an expression.
type action struct {
	expression  *cel.Expression
	key         string
	skipIfError bool
}

// Describe implements ratelimit.Action.
func (a *action) Describe(r *ratelimit.Request) (ratelimit.Entry, bool) {
	var scratch [128]byte
	text, ok := a.expression.AppendText(scratch[:0], r.Entry)
	if !ok {
		return ratelimit.Entry{}, a.skipIfError
	}
	return ratelimit.Entry{Key: a.key, Value: r.Request.String(text)}, true
}
