package uritemplate_test

import (
	"testing"

	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/path/rewrite/uritemplate"
)

// template is a condition that was made from a template; it takes everything but
// /no.
type template string

func (template) MatchPath(path string) bool { return path != "/no" }
func (template) Prefix() string             { return "" }
func (t template) Template() string         { return string(t) }

func build(text string, matched route.PathMatcher) (route.PathRewriter, string) {
	var errs conf.Errors
	r := uritemplate.Factory{}.BuildPathRewriter(&templatev3.UriTemplateRewriteConfig{PathTemplateRewrite: text}, matched, conf.Path{}, &errs)
	return r, errs.Error()
}

func TestRewrite(t *testing.T) {
	for _, tc := range []struct{ template, rewrite, path, want string }{
		{"/{a}/{b}", "/x/{b}/{a}", "/1/2", "/x/2/1"},
		{"/{a=**}", "/new/{a}", "/1/2/3", "/new/1/2/3"},
		{"/v{version}/{file}.json", "/{file}-{version}", "/v2/x.y.json", "/x.y-2"},
		{"/a.b(c)/{x}", "/{x}{x}", "/a.b(c)/$1", "/$1$1"},
		{"/{a}", "/", "/anything", "/"},
	} {
		r, problem := build(tc.rewrite, template(tc.template))
		if r == nil {
			t.Error(problem)
			continue
		}
		if got, ok := r.RewritePath(tc.path); !ok || got != tc.want {
			t.Errorf("%s to %s: %s, %v", tc.template, tc.rewrite, got, ok)
		}
		if got, ok := r.RewritePath("/no"); ok || got != "/no" {
			t.Error("a path that does not match is rewritten to", got)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		matched route.PathMatcher
		text    string
		want    string
	}{
		{template("/{a}"), "", "path_template_rewrite: must have from 1 to 256 bytes"},
		{template("/{a}"), "x", `path_template_rewrite: template x is not valid: must begin with "/"`},
		{template("/{a}"), "/{b}", `path_template_rewrite: template /{b} is not valid: variable "b" is not in the template of path_match_policy`},
		{template(""), "/x", ": needs a path_match_policy with a URI template"},
		{nil, "/x", ": needs a path_match_policy with a URI template"},
	} {
		if r, problem := build(tc.text, tc.matched); r != nil || problem != tc.want && ": "+problem != tc.want {
			t.Errorf("%s: %s", tc.text, problem)
		}
	}
}
