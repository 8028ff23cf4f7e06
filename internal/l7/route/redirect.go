package route

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A redirect makes the location of a redirect. Empty parts stay as they are in the
// request.
type redirect struct {
	scheme, host, port string // port begins with ":"
	path               string
	text               *headeroption.Value // in place of path; nil for none
	rewrite            pathRewrite
	stripQuery         bool
}

func redirectStatus(code routev3.RedirectAction_RedirectResponseCode) int {
	switch code {
	case routev3.RedirectAction_FOUND:
		return 302
	case routev3.RedirectAction_SEE_OTHER:
		return 303
	case routev3.RedirectAction_TEMPORARY_REDIRECT:
		return 307
	case routev3.RedirectAction_PERMANENT_REDIRECT:
		return 308
	default:
		return 301
	}
}

func (s *hostScope) redirect(cfg *routev3.RedirectAction, matched *pathMatch, path conf.Path) *route.Direct {
	conf.Check(cfg, RedirectFields(), path, s.errs)
	r := &redirect{
		scheme:     cfg.GetSchemeRedirect(),
		host:       cfg.GetHostRedirect(),
		path:       cfg.GetPathRedirect(),
		rewrite:    pathRewrite{prefix: cfg.GetPrefixRewrite(), matched: matched.length()},
		stripQuery: cfg.GetStripQuery(),
	}
	if cfg.GetPrefixRewrite() != "" && matched.kind == pathPolicy {
		s.errs.Add(path.Field("prefix_rewrite"), "does not go with path_match_policy")
	}
	if cfg.GetHttpsRedirect() {
		r.scheme = "https"
	}
	if p := cfg.GetPortRedirect(); p != 0 {
		r.port = ":" + strconv.FormatUint(uint64(p), 10)
	}
	if re := cfg.GetRegexRewrite(); re != nil {
		r.rewrite.regex = match.NewSubstitution(re, path.Field("regex_rewrite"), s.errs)
	}
	if text := cfg.GetPathRewrite(); text != "" {
		value := headeroption.NewValue(text, s.Formats, path.Field("path_rewrite"), s.errs)
		r.text = &value
	}
	return &route.Direct{Status: redirectStatus(cfg.GetResponseCode()), Details: "direct_response", Location: r.location}
}

func (r *redirect) location(h *httpmsg.Headers, info *streaminfo.Stream) string {
	scheme := r.scheme
	if scheme == "" {
		scheme = h.Get(httpmsg.Scheme)
	}
	host := r.host
	if host == "" {
		host = r.requestHost(h, scheme)
	}
	path := r.newPath(h, info)
	slash := ""
	if !strings.HasPrefix(path, "/") {
		slash = "/"
	}
	return scheme + "://" + host + r.port + slash + path
}

func (r *redirect) newPath(h *httpmsg.Headers, info *streaminfo.Stream) string {
	path, _ := r.rewrite.of(h.Get(httpmsg.Path), nil)
	whole := r.path
	if r.text != nil {
		whole = r.text.String(h, &format.Entry{Request: h, Stream: info})
	}
	if whole != "" {
		if strings.Contains(whole, "?") {
			return whole // its query takes precedence, and is not stripped
		}
		query := strings.IndexByte(path, '?')
		if query < 0 {
			query = len(path)
		}
		path = whole + path[query:]
	}
	if r.stripQuery {
		path, _, _ = strings.Cut(path, "?")
	}
	return path
}

// requestHost returns the host of the request. Its port goes if the redirect has
// one, or if it is the default one of a scheme that changes.
func (r *redirect) requestHost(h *httpmsg.Headers, scheme string) string {
	host := h.Get(httpmsg.Authority)
	end := strings.LastIndexByte(host, ':')
	if strings.HasPrefix(host, "[") {
		if end = strings.LastIndex(host, "]:"); end >= 0 {
			end++
		}
	}
	if end < 0 {
		return host
	}
	was, port := h.Get(httpmsg.XForwardedProto), host[end:]
	if r.port != "" || scheme != was && (was == "https" && port == ":443" || was == "http" && port == ":80") {
		return host[:end]
	}
	return host
}

// tlsRedirect sends the client to the same URL with https.
func tlsRedirect(host *route.VirtualHost) *route.Route {
	return &route.Route{
		VirtualHost: host,
		Direct: &route.Direct{Status: 301, Details: "direct_response", Location: func(h *httpmsg.Headers, _ *streaminfo.Stream) string {
			return "https://" + h.Get(httpmsg.Authority) + h.Get(httpmsg.Path)
		}},
	}
}
