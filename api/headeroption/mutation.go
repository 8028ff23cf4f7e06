package headeroption

import (
	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// Mutations are HeaderMutation messages, made one after the other. They are a
// route.HeaderMutation, and immutable. Any worker.
type Mutations []mutation

// A mutation does one thing to headers.
type mutation struct {
	remove  string        // a name, unless matches or option is set
	matches *match.String // of the names to remove
	option  *Option
}

// MutationFields lists the implemented fields of HeaderMutation.
func MutationFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.common.mutation_rules.v3.HeaderMutation",
		Names:   []string{"remove", "append", "remove_on_match"},
	}
}

// NewMutations builds the mutations of the list at path. Errors go to errs. Main
// goroutine.
func NewMutations(cfgs []*rulesv3.HeaderMutation, formats format.Compiler, path conf.Path, errs *conf.Errors) Mutations {
	var out Mutations
	for i, cfg := range cfgs {
		conf.Check(cfg, MutationFields(), path.Index(i), errs)
		out = append(out, newMutation(cfg, formats, path.Index(i), errs))
	}
	return out
}

func newMutation(cfg *rulesv3.HeaderMutation, formats format.Compiler, path conf.Path, errs *conf.Errors) mutation {
	switch action := cfg.GetAction().(type) {
	case *rulesv3.HeaderMutation_Remove:
		if action.Remove == ":status" {
			errs.Add(path.Field("remove"), "a response cannot be without :status")
		}
		return mutation{remove: match.Lower(action.Remove)}
	case *rulesv3.HeaderMutation_Append:
		option := New(action.Append, formats, path.Field("append"), errs)
		return mutation{option: &option}
	case *rulesv3.HeaderMutation_RemoveOnMatch_:
		at := path.Field("remove_on_match").Field("key_matcher")
		return mutation{matches: match.NewString(action.RemoveOnMatch.GetKeyMatcher(), at, errs)}
	}
	errs.Add(path, "one of remove, append and remove_on_match must be set")
	return mutation{}
}

// MutateHeaders changes h, which may be the Request, Response or Trailers of e.
func (m Mutations) MutateHeaders(h *httpmsg.Headers, e *format.Entry) {
	for i := range m {
		m[i].apply(h, e)
	}
}

func (m *mutation) apply(h *httpmsg.Headers, e *format.Entry) {
	switch {
	case m.option != nil:
		m.option.Apply(h, e)
	case m.matches != nil:
		h.RemoveIf(func(f *httpmsg.Field) bool { return f.ID() != httpmsg.Status && m.matches.Match(f.Name) })
	default:
		h.RemoveName(m.remove)
	}
}
