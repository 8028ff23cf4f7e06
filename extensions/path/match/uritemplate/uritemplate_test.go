package uritemplate_test

import (
	"strings"
	"testing"

	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/extensions/path/match/uritemplate"
)

func TestMatch(t *testing.T) {
	var errs conf.Errors
	m := uritemplate.Factory{}.BuildPathMatcher(&templatev3.UriTemplateMatchConfig{PathTemplate: "/videos/{id}/*.m4s"}, conf.Path{}, &errs)
	if m == nil {
		t.Fatal(errs)
	}
	for path, want := range map[string]bool{"/videos/1/a.m4s": true, "/videos/1/2/a.m4s": false, "/videos//a.m4s": false} {
		if m.MatchPath(path) != want {
			t.Error(path)
		}
	}
	if m.Prefix() != "/videos/" || m.Template() != "/videos/{id}/*.m4s" {
		t.Error(m.Prefix(), m.Template())
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "path_template: must have from 1 to 256 bytes",
		strings.Repeat("/a", 129): "path_template: must have from 1 to 256 bytes",
		"/a b":                    `path_template: template /a b is not valid: must begin with "/" and have printable ASCII characters only`,
		"/***":                    "path_template: template /*** is not valid: error parsing regexp: invalid nested repetition operator: `**`",
	} {
		var errs conf.Errors
		m := uritemplate.Factory{}.BuildPathMatcher(&templatev3.UriTemplateMatchConfig{PathTemplate: text}, conf.Path{}, &errs)
		if m != nil || errs.Error() != want {
			t.Errorf("%s: %s", text, errs)
		}
	}
}
