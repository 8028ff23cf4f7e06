package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// The categories of extensions that match and rewrite paths.
const (
	PathMatchers  = "envoy.path.match"
	PathRewriters = "envoy.path.rewrite"
)

// A PathMatcherFactory makes the conditions of path_match_policy. Main goroutine.
type PathMatcherFactory interface {
	Factory
	// BuildPathMatcher checks the configuration. Errors go to errs with the path of the
	// field; the result is nil then.
	BuildPathMatcher(msg proto.Message, path conf.Path, errs *conf.Errors) route.PathMatcher
}

// A PathRewriterFactory makes the rewriters of path_rewrite_policy. Main goroutine.
type PathRewriterFactory interface {
	Factory
	// BuildPathRewriter checks the configuration, and that it fits matched: the
	// condition of the route's path_match_policy, nil if the route has none. Errors go to
	// errs with the path of the field; the result is nil then.
	BuildPathRewriter(msg proto.Message, matched route.PathMatcher, path conf.Path, errs *conf.Errors) route.PathRewriter
}
