package route

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// A rewrite is a route.RequestRewrite: headers first, then the host, then the path.
type rewrite struct {
	// cluster and clusterHost come first: the mutations and the host_rewrite_literal of a
	// weighted cluster, "" for none.
	cluster     *headeroption.List
	clusterHost string

	headers   mutations
	host      hostRewrite
	path      pathRewrite
	forwarded bool // append_x_forwarded_host
}

// RewriteRequest implements route.RequestRewrite.
func (r *rewrite) RewriteRequest(h *httpmsg.Headers, e *format.Entry, keepOriginal bool) {
	r.cluster.MutateHeaders(h, e)
	if r.clusterHost != "" {
		h.Set(httpmsg.Authority, r.clusterHost) // of which Envoy tells nobody
	}
	r.headers.MutateHeaders(h, e)
	if host := r.host.of(h, e); host != "" {
		route.SetAuthority(h, host, keepOriginal, r.forwarded)
	}
	old := h.Get(httpmsg.Path)
	if path, changed := r.path.of(old, e); changed {
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
	format  format.Format
}

func (r *hostRewrite) of(h *httpmsg.Headers, e *format.Entry) string {
	switch {
	case r.literal != "":
		return r.literal
	case r.header != "":
		value, _ := h.Find(r.header)
		return value
	case r.regex != nil:
		return r.regex.Replace(h.PathWithoutQuery())
	case r.format != nil:
		return h.Take(r.format.Append(h.Room(), e))
	default:
		return ""
	}
}

// A pathRewrite says what a path becomes; the zero value leaves it. The query
// stays.
type pathRewrite struct {
	prefix string // in place of what the route matched
	regex  *match.Substitution
	policy route.PathRewriter
	text   *headeroption.Value // in place of all of the path
	// matched is the length of what the route matched, -1 for the whole path.
	matched int
}

func (r *pathRewrite) of(path string, e *format.Entry) (rewritten string, changed bool) {
	if r.prefix == "" && r.regex == nil && r.policy == nil && r.text == nil {
		return path, false
	}
	end := len(path)
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		end = i
	}
	switch {
	case r.regex != nil:
		rewritten = r.regex.Replace(path[:end])
	case r.policy != nil:
		rewritten, _ = r.policy.RewritePath(path[:end])
	case r.text != nil:
		rewritten = r.text.String(e.Request, e)
	default:
		if r.matched >= 0 {
			end = min(r.matched, len(path))
		}
		rewritten = r.prefix
	}
	if rewritten == "" {
		return path, false
	}
	return rewritten + path[end:], true
}

func (s *hostScope) rewrite(cfg *routev3.RouteAction, matched *pathMatch, levels [3]level, path conf.Path) *rewrite {
	return &rewrite{
		headers:   newMutations(levels[0].request, levels[1].request, levels[2].request),
		host:      s.hostRewrite(cfg, path),
		path:      s.pathRewrite(cfg, matched, path),
		forwarded: cfg.GetAppendXForwardedHost(),
	}
}

func (s *hostScope) hostRewrite(cfg *routev3.RouteAction, path conf.Path) (r hostRewrite) {
	switch h := cfg.GetHostRewriteSpecifier().(type) {
	case *routev3.RouteAction_HostRewriteLiteral:
		r.literal = h.HostRewriteLiteral
	case *routev3.RouteAction_HostRewriteHeader:
		r.header = headerName(h.HostRewriteHeader)
	case *routev3.RouteAction_HostRewritePathRegex:
		r.regex = match.NewSubstitution(h.HostRewritePathRegex, path.Field("host_rewrite_path_regex"), s.errs)
	case *routev3.RouteAction_HostRewrite:
		var err error
		if r.format, err = s.Formats.Compile(h.HostRewrite); err != nil {
			s.errs.Add(path.Field("host_rewrite"), "%v", err)
		}
	}
	return r
}

func (s *hostScope) pathRewrite(cfg *routev3.RouteAction, matched *pathMatch, path conf.Path) pathRewrite {
	r := pathRewrite{prefix: cfg.GetPrefixRewrite(), matched: matched.length()}
	ways := 0
	if r.prefix != "" {
		ways++
		if matched.policy != nil {
			s.errs.Add(path.Field("prefix_rewrite"), "does not go with path_match_policy")
		}
	}
	if re := cfg.GetRegexRewrite(); re != nil {
		ways++
		r.regex = match.NewSubstitution(re, path.Field("regex_rewrite"), s.errs)
	}
	if p := cfg.GetPathRewritePolicy(); p != nil {
		ways++
		r.policy = s.pathRewriter(p, matched, path.Field("path_rewrite_policy").Field("typed_config"))
	}
	if text := cfg.GetPathRewrite(); text != "" {
		ways++
		value := headeroption.NewValue(text, s.Formats, path.Field("path_rewrite"), s.errs)
		r.text = &value
	}
	if ways > 1 {
		s.errs.Add(path, "only one of prefix_rewrite, regex_rewrite, path_rewrite_policy, path_rewrite may be set")
	}
	return r
}

func (s *hostScope) pathRewriter(cfg *corev3.TypedExtensionConfig, matched *pathMatch, path conf.Path) route.PathRewriter {
	f, msg, ok := factoryFor[extension.PathRewriterFactory](s.builder, extension.PathRewriters, cfg.GetTypedConfig(), path)
	if !ok {
		return nil
	}
	return f.BuildPathRewriter(msg, matched.policy, path, s.errs)
}
