package match

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Cookie is a condition on the first cookie of a name: the message
// envoy.config.route.v3.CookieMatcher. A cookie that is missing does not match.
type Cookie struct {
	name   string
	str    *String
	invert bool
}

// NewCookie builds a condition. Errors go to errs; the result is nil then.
func NewCookie(cfg *routev3.CookieMatcher, path conf.Path, errs *conf.Errors) *Cookie {
	before := len(*errs)
	conf.Check(cfg, CookieFields(), path, errs)
	c := &Cookie{name: cfg.GetName(), invert: cfg.GetInvertMatch()}
	if c.name == "" {
		errs.Add(path.Field("name"), "must not be empty")
	}
	if cfg.GetStringMatch() == nil {
		errs.Add(path.Field("string_match"), "is required")
	} else {
		c.str = NewString(cfg.GetStringMatch(), path.Field("string_match"), errs)
	}
	if len(*errs) > before {
		return nil
	}
	return c
}

// NewCookies builds the conditions of a list. Errors go to errs.
func NewCookies(cfgs []*routev3.CookieMatcher, path conf.Path, errs *conf.Errors) []*Cookie {
	var out []*Cookie
	for i, cfg := range cfgs {
		if c := NewCookie(cfg, path.Index(i), errs); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// MatchHeaders reports whether the cookies of a request meet the condition. Any
// worker.
func (c *Cookie) MatchHeaders(h *httpmsg.Headers) bool {
	value, ok := CookieValue(h, c.name)
	return (ok && c.str.Match(value)) != c.invert
}

// CookieValue returns the value of the first cookie of that name, without the double
// quotes around it. Names are compared as they are. Something without "=" is no
// cookie.
func CookieValue(h *httpmsg.Headers, name string) (value string, ok bool) {
	fields := h.Fields()
	for i := range fields {
		if fields[i].Name != "cookie" {
			continue
		}
		for rest, more := fields[i].Value, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			key, value, ok := strings.Cut(strings.TrimLeft(pair, " "), "=")
			if ok && key == name {
				return unquote(value), true
			}
		}
	}
	return "", false
}

func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}
