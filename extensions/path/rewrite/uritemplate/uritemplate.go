// Package uritemplate rewrites paths with a URI template, from the variables that the
// matcher of URI templates captures.
package uritemplate

import (
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/uritemplate"
)

// Factory makes envoy.path.rewrite.uri_template.uri_template_rewriter.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.path.rewrite.uri_template.uri_template_rewriter" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.PathRewriters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(templatev3.UriTemplateRewriteConfig) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
		Names:   []string{"path_template_rewrite"},
	}}
}

// maxLength bounds a template, in bytes.
const maxLength = 256

// BuildPathRewriter implements extension.PathRewriterFactory.
func (Factory) BuildPathRewriter(msg proto.Message, matched route.PathMatcher, path conf.Path, errs *conf.Errors) route.PathRewriter {
	text, at := msg.(*templatev3.UriTemplateRewriteConfig).GetPathTemplateRewrite(), path.Field("path_template_rewrite")
	if text == "" || len(text) > maxLength {
		errs.Add(at, "must have from 1 to %d bytes", maxLength)
		return nil
	}
	if matched == nil || matched.Template() == "" {
		errs.Add(path, "needs a path_match_policy with a URI template")
		return nil
	}
	t, err := uritemplate.Parse(matched.Template())
	if err != nil {
		errs.Add(path, "the template of path_match_policy is not valid: %v", err)
		return nil
	}
	substitution, err := uritemplate.ParseRewrite(text, t.Variables)
	if err != nil {
		errs.Add(at, "template %s is not valid: %v", text, err)
		return nil
	}
	s := match.NewSubstitution(&matcherv3.RegexMatchAndSubstitute{
		Pattern:      &matcherv3.RegexMatcher{Regex: `\A(?:` + t.Regex + `)\z`},
		Substitution: substitution,
	}, at, errs)
	if s == nil {
		return nil
	}
	return &rewriter{matched, s}
}

type rewriter struct {
	matched      route.PathMatcher
	substitution *match.Substitution
}

func (r *rewriter) RewritePath(path string) (string, bool) {
	if !r.matched.MatchPath(path) {
		return path, false
	}
	return r.substitution.Replace(path), true
}
