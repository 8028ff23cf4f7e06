// Package acme is the filter nuncio.filters.http.acme: it answers the HTTP-01 challenges
// of the authority that the server has its certificates from.
package acme

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "nuncio.filters.http.acme" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &acmev1.HttpChallenges{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "nuncio.extensions.acme.v1.HttpChallenges"}}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(_ proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	if ctx.ACME == nil {
		errs.Add(path, "there is nothing to answer: bootstrap_extensions has no nuncio.extensions.acme.v1.Acme")
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{acme: ctx.ACME, cb: cb} }
}
