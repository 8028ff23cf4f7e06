// Package headermutation is the filter envoy.filters.http.header_mutation: it
// changes headers, trailers and query parameters.
package headermutation

import (
	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/extensions/common/headeroption"
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

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{fields(), routeFields(), mutationFields(), headeroption.Fields()}
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
		Names: []string{"request_mutations", "query_parameter_mutations.append.record", "query_parameter_mutations.append.action",
			"query_parameter_mutations.remove", "response_mutations", "response_trailers_mutations", "request_trailers_mutations"},
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
	request, response, requestTrailers, responseTrailers []mutation
	query                                                []queryMutation
}

// newMutations returns nil if it reported an error.
func newMutations(m *mutationv3.Mutations, formats format.Compiler, path conf.Path, errs *conf.Errors) *mutations {
	before := len(*errs)
	if m == nil {
		return &mutations{}
	}
	conf.Check(m, mutationFields(), path, errs)
	list := func(cfgs []*rulesv3.HeaderMutation, field string) (out []mutation) {
		for i, cfg := range cfgs {
			out = append(out, newMutation(cfg, formats, path.Field(field).Index(i), errs))
		}
		return out
	}
	out := &mutations{
		request:          list(m.GetRequestMutations(), "request_mutations"),
		response:         list(m.GetResponseMutations(), "response_mutations"),
		requestTrailers:  list(m.GetRequestTrailersMutations(), "request_trailers_mutations"),
		responseTrailers: list(m.GetResponseTrailersMutations(), "response_trailers_mutations"),
	}
	for i, cfg := range m.GetQueryParameterMutations() {
		out.query = append(out.query, newQueryMutation(cfg, formats, path.Field("query_parameter_mutations").Index(i), errs))
	}
	if len(*errs) > before {
		return nil
	}
	return out
}

// A mutation does one thing to headers: the message
// envoy.config.common.mutation_rules.v3.HeaderMutation.
type mutation struct {
	remove  string        // a name, unless matches or option is set
	matches *match.String // of the names to remove
	option  *headeroption.Option
}

func newMutation(cfg *rulesv3.HeaderMutation, formats format.Compiler, path conf.Path, errs *conf.Errors) mutation {
	switch action := cfg.GetAction().(type) {
	case *rulesv3.HeaderMutation_Remove:
		if action.Remove == ":status" {
			errs.Add(path.Field("remove"), "a response cannot be without :status")
		}
		return mutation{remove: match.Lower(action.Remove)}
	case *rulesv3.HeaderMutation_Append:
		option := headeroption.New(action.Append, formats, path.Field("append"), errs)
		return mutation{option: &option}
	case *rulesv3.HeaderMutation_RemoveOnMatch_:
		at := path.Field("remove_on_match").Field("key_matcher")
		return mutation{matches: match.NewString(action.RemoveOnMatch.GetKeyMatcher(), at, errs)}
	}
	errs.Add(path, "one of remove, append and remove_on_match must be set")
	return mutation{}
}

func (m *mutation) apply(h *httpmsg.Headers, e *format.Entry, scratch *[]byte) {
	switch {
	case m.option != nil:
		m.option.Apply(h, e, scratch)
	case m.matches != nil:
		h.RemoveIf(func(f *httpmsg.Field) bool { return f.ID() != httpmsg.Status && m.matches.Match(f.Name) })
	default:
		h.RemoveName(m.remove)
	}
}
