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
	value, found := QueryValue(path, q.name)
	if q.str == nil {
		return found != q.absent
	}
	return found && q.str.Match(value)
}

// MatchDecoded is Match for names and values whose percent-encoding is undone.
func (q *QueryParameter) MatchDecoded(path string) bool {
	value, found := DecodedQueryValue(path, q.name)
	if q.str == nil {
		return found != q.absent
	}
	return found && q.str.Match(value)
}

// DecodedQueryValue returns the first value of a query parameter of a :path. The
// percent-encoding of names and values is undone, where it is correct; it allocates
// only for that. Any worker.
func DecodedQueryValue(path, name string) (value string, found bool) {
	_, query, more := strings.Cut(path, "?")
	for more {
		var param string
		param, query, more = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(param, "="); percentDecoded(key) == name {
			return percentDecoded(value), true
		}
	}
	return "", false
}

func percentDecoded(text string) string {
	i := strings.IndexByte(text, '%')
	if i < 0 {
		return text
	}
	out := append(make([]byte, 0, len(text)), text[:i]...)
	for ; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && hex(text[i+1]) < 16 && hex(text[i+2]) < 16 {
			out = append(out, hex(text[i+1])<<4|hex(text[i+2]))
			i += 2
			continue
		}
		out = append(out, text[i])
	}
	return string(out)
}

// hex returns the value of a hexadecimal digit, 16 for anything else.
func hex(c byte) byte {
	switch c = toLower(c); {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// QueryValue returns the first value of a query parameter of a :path, as it was sent.
// Any worker.
func QueryValue(path, name string) (value string, found bool) {
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
