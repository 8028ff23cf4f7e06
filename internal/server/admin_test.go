package server

import (
	"slices"
	"testing"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestAllowPaths(t *testing.T) {
	ready := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "/ready"}}
	stats := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "/stats"}}
	var errs conf.Errors
	allow := allowPaths([]*matcherv3.StringMatcher{ready, stats}, conf.Path{}, &errs)
	for path, want := range map[string]bool{"/ready": true, "/ready?x": false, "/stats/prometheus": true, "/quitquitquit": false} {
		if got := slices.ContainsFunc(allow, func(f func(string) bool) bool { return f(path) }); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if errs.Err() != nil {
		t.Error(errs)
	}
	allowPaths([]*matcherv3.StringMatcher{ready, {}}, conf.Path{}.Field("allow_paths"), &errs)
	if want := "allow_paths[1]: one of exact, prefix, suffix, contains, safe_regex is required"; errs.Error() != want {
		t.Errorf("got %s, want %s", errs.Error(), want)
	}
}
