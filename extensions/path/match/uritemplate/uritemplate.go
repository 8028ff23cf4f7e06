// Package uritemplate matches paths with a URI template.
package uritemplate

import (
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/uritemplate"
)

// Factory makes envoy.path.match.uri_template.uri_template_matcher.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.path.match.uri_template.uri_template_matcher" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.PathMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(templatev3.UriTemplateMatchConfig) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
		Names:   []string{"path_template"},
	}}
}

// maxLength bounds a template, in bytes.
const maxLength = 256

// BuildPathMatcher implements extension.PathMatcherFactory.
func (Factory) BuildPathMatcher(msg proto.Message, path conf.Path, errs *conf.Errors) route.PathMatcher {
	text, at := msg.(*templatev3.UriTemplateMatchConfig).GetPathTemplate(), path.Field("path_template")
	if text == "" || len(text) > maxLength {
		errs.Add(at, "must have from 1 to %d bytes", maxLength)
		return nil
	}
	t, err := uritemplate.Parse(text)
	if err != nil {
		errs.Add(at, "template %s is not valid: %v", text, err)
		return nil
	}
	var problems conf.Errors
	re := match.NewRegex(&matcherv3.RegexMatcher{Regex: t.Regex}, at, &problems)
	if re == nil {
		errs.Add(at, "template %s is not valid: %s", text, problems[0].Message)
		return nil
	}
	return &template{text, re}
}

type template struct {
	text string
	re   *match.Regex
}

func (t *template) MatchPath(path string) bool { return t.re.Match(path) }
func (t *template) Prefix() string             { return t.re.Prefix() }
func (t *template) Template() string           { return t.text }
