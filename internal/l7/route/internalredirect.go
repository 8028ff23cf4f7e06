package route

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// internalRedirect builds what a route says about internal redirects, nil if they go
// to the client. internal_redirect_policy hides the deprecated fields.
func (b *builder) internalRedirect(cfg *routev3.RouteAction, path conf.Path) *route.InternalRedirect {
	if p := cfg.GetInternalRedirectPolicy(); p != nil {
		return b.redirectPolicy(p, path.Field("internal_redirect_policy"))
	}
	if cfg.GetInternalRedirectAction() != routev3.RouteAction_HANDLE_INTERNAL_REDIRECT {
		return nil
	}
	return b.redirectPolicy(&routev3.InternalRedirectPolicy{MaxInternalRedirects: cfg.GetMaxInternalRedirects()}, path)
}

func (b *builder) redirectPolicy(cfg *routev3.InternalRedirectPolicy, path conf.Path) *route.InternalRedirect {
	conf.Check(cfg, InternalRedirectFields(), path, b.errs)
	r := &route.InternalRedirect{MaxRedirects: 1, AllowCrossScheme: cfg.GetAllowCrossSchemeRedirect()}
	if n := cfg.GetMaxInternalRedirects(); n != nil {
		r.MaxRedirects = int(n.GetValue())
	}
	if len(cfg.GetRedirectResponseCodes()) == 0 {
		r.Codes = []int{302}
	}
	for _, code := range cfg.GetRedirectResponseCodes() {
		if slices.Contains([]uint32{301, 302, 303, 307, 308}, code) { // others are ignored, as Envoy says
			r.Codes = append(r.Codes, int(code))
		}
	}
	for i, p := range cfg.GetPredicates() {
		at := path.Field("predicates").Index(i).Field("typed_config")
		if f, msg, ok := factoryFor[extension.RedirectPredicateFactory](b, extension.RedirectPredicates, p.GetTypedConfig(), at); ok {
			r.Predicates = append(r.Predicates, f.BuildRedirectPredicate(msg, at, b.errs))
		}
	}
	for i, name := range cfg.GetResponseHeadersToCopy() {
		name = match.Lower(name)
		if name == "" || name[0] == ':' || name == "host" {
			b.errs.Add(path.Field("response_headers_to_copy").Index(i), ":-prefixed or host headers may not be copied")
		}
		r.CopyHeaders = append(r.CopyHeaders, name)
	}
	return r
}
