package match

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A QueryParameter is a condition on the first value of a query parameter: the
// message envoy.config.route.v3.QueryParameterMatcher. Names and values are
// compared as they were sent, without decoding.
type QueryParameter struct {
	name   string
	str    *String // nil: the parameter must be there, or not
	absent bool
}

// NewQueryParameter builds a condition. Errors go to errs; the result is nil then.
func NewQueryParameter(cfg *routev3.QueryParameterMatcher, path conf.Path, errs *conf.Errors) *QueryParameter {
	before := len(*errs)
	conf.Check(cfg, QueryParameterFields(), path, errs)
	q := &QueryParameter{name: cfg.GetName()}
	if q.name == "" {
		errs.Add(path.Field("name"), "must not be empty")
	}
	switch s := cfg.GetQueryParameterMatchSpecifier().(type) {
	case *routev3.QueryParameterMatcher_StringMatch:
		q.str = NewString(s.StringMatch, path.Field("string_match"), errs)
	case *routev3.QueryParameterMatcher_PresentMatch:
		q.absent = !s.PresentMatch
	}
	if len(*errs) > before {
		return nil
	}
	return q
}

// NewQueryParameters builds the conditions of a list. Errors go to errs.
func NewQueryParameters(cfgs []*routev3.QueryParameterMatcher, path conf.Path, errs *conf.Errors) []*QueryParameter {
	var out []*QueryParameter
	for i, cfg := range cfgs {
		if q := NewQueryParameter(cfg, path.Index(i), errs); q != nil {
			out = append(out, q)
		}
	}
	return out
}

// Match reports whether the query of a :path meets the condition. Any worker.
func (q *QueryParameter) Match(path string) bool {
	value, found := queryValue(path, q.name)
	if q.str == nil {
		return found != q.absent
	}
	return found && q.str.Match(value)
}

func queryValue(path, name string) (value string, found bool) {
	_, query, more := strings.Cut(path, "?")
	for more {
		var param string
		param, query, more = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(param, "="); key == name {
			return value, true
		}
	}
	return "", false
}
