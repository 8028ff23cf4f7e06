package route

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// A rewrite is a route.RequestRewrite: headers first, then the host, then the path.
type rewrite struct {
	headers   mutations
	host      hostRewrite
	path      pathRewrite
	forwarded bool // append_x_forwarded_host
	// inner is made first: what a weighted cluster adds to its route.
	inner *rewrite
}

// RewriteRequest implements route.RequestRewrite.
func (r *rewrite) RewriteRequest(h *httpmsg.Headers, e *format.Entry, keepOriginal bool) {
	if r.inner != nil {
		r.inner.RewriteRequest(h, e, keepOriginal)
	}
	r.headers.MutateHeaders(h, e)
	if host := r.host.of(h); host != "" {
		route.SetAuthority(h, host, keepOriginal, r.forwarded)
	}
	old := h.Get(httpmsg.Path)
	if path, changed := r.path.of(old); changed {
		if keepOriginal {
			h.Set(httpmsg.XEnvoyOriginalPath, old)
		}
		h.Set(httpmsg.Path, path)
	}
}

// A hostRewrite says what the host becomes; the zero value leaves it.
type hostRewrite struct {
	literal string
	header  string              // its first value
	regex   *match.Substitution // of the path
}

func (r *hostRewrite) of(h *httpmsg.Headers) string {
	switch {
	case r.literal != "":
		return r.literal
	case r.header != "":
		value, _ := h.Find(r.header)
		return value
	case r.regex != nil:
		return r.regex.Replace(h.PathWithoutQuery())
	default:
		return ""
	}
}

// A pathRewrite says what a path becomes; the zero value leaves it. The query
// stays.
type pathRewrite struct {
	prefix string // in place of what the route matched
	regex  *match.Substitution
	// matched is the length of what the route matched, -1 for the whole path.
	matched int
}

func (r *pathRewrite) of(path string) (rewritten string, changed bool) {
	if r.prefix == "" && r.regex == nil {
		return path, false
	}
	end := len(path)
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		end = i
	}
	if r.regex != nil {
		rewritten := r.regex.Replace(path[:end])
		return rewritten + path[end:], rewritten != ""
	}
	if r.matched >= 0 {
		end = min(r.matched, len(path))
	}
	return r.prefix + path[end:], true
}
