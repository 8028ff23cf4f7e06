// Package headermutation is the filter envoy.filters.http.header_mutation: it
// changes headers, trailers and query parameters.
package headermutation

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.header_mutation" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &mutationv3.HeaderMutation{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &mutationv3.HeaderMutationPerRoute{} }

// Terminal implements extension.HTTPFilterFactory.
func (Factory) Terminal() bool { return false }

// ServesUpstream implements extension.UpstreamHTTPFilterFactory.
func (Factory) ServesUpstream() {}

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{fields(), routeFields(), mutationFields(), headeroption.MutationFields(), headeroption.Fields()}
}

func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
		Names:   []string{"mutations", "most_specific_header_mutations_wins"},
	}
}

func routeFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
		Names:   []string{"mutations"},
	}
}

func mutationFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.filters.http.header_mutation.v3.Mutations",
		// The entry of query_parameter_mutations.append is deprecated: there must be a record, and
		// beside it an entry has no effect, as in Envoy.
		Names: []string{"request_mutations", "query_parameter_mutations", "response_mutations", "response_trailers_mutations",
			"request_trailers_mutations", "formatters"},
	}
}

// config is shared by the filters of a chain. It is immutable.
type config struct {
	own              *mutations
	mostSpecificLast bool // and so it wins
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	m := msg.(*mutationv3.HeaderMutation)
	conf.Check(m, fields(), path, errs)
	cfg := &config{
		own:              newMutations(m.GetMutations(), ctx.Formats, path.Field("mutations"), errs),
		mostSpecificLast: m.GetMostSpecificHeaderMutationsWins(),
	}
	if cfg.own == nil {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return &filter{cfg: cfg, cb: cb} }
}

// BuildRouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) BuildRouteConfig(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	m := msg.(*mutationv3.HeaderMutationPerRoute)
	conf.Check(m, routeFields(), path, errs)
	if own := newMutations(m.GetMutations(), ctx.Formats, path.Field("mutations"), errs); own != nil {
		return own
	}
	return nil
}

// mutations are those of the filter or of one level of the routes. They are
// immutable.
type mutations struct {
	request, response, requestTrailers, responseTrailers headeroption.Mutations
	query                                                []queryMutation
}

// newMutations returns nil if it reported an error.
func newMutations(m *mutationv3.Mutations, formats format.Compiler, path conf.Path, errs *conf.Errors) *mutations {
	before := len(*errs)
	if m == nil {
		return &mutations{}
	}
	conf.Check(m, mutationFields(), path, errs)
	formats = formats.With(m.GetFormatters(), path.Field("formatters"), errs)
	out := &mutations{
		request:          headeroption.NewMutations(m.GetRequestMutations(), formats, path.Field("request_mutations"), errs),
		response:         headeroption.NewMutations(m.GetResponseMutations(), formats, path.Field("response_mutations"), errs),
		requestTrailers:  headeroption.NewMutations(m.GetRequestTrailersMutations(), formats, path.Field("request_trailers_mutations"), errs),
		responseTrailers: headeroption.NewMutations(m.GetResponseTrailersMutations(), formats, path.Field("response_trailers_mutations"), errs),
	}
	for i, cfg := range m.GetQueryParameterMutations() {
		out.query = append(out.query, newQueryMutation(cfg, formats, path.Field("query_parameter_mutations").Index(i), errs))
	}
	if len(*errs) > before {
		return nil
	}
	return out
}
