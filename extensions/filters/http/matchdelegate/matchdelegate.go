// Package matchdelegate is the filter envoy.filters.http.match_delegate: it wraps
// another filter, which a tree of the matching API skips for some streams.
package matchdelegate

import (
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factory is the extension.HTTPRouteFilterFactory of the filter.
type Factory struct{}

var _ extension.HTTPRouteFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.http.match_delegate" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.HTTPFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &matchingv3.ExtensionWithMatcher{} }

// RouteConfig implements extension.HTTPRouteFilterFactory.
func (Factory) RouteConfig() proto.Message { return &matchingv3.ExtensionWithMatcherPerRoute{} }

// Terminal implements extension.HTTPFilterFactory. As in Envoy it does not depend on the
// wrapped filter: even a router may be skipped.
func (Factory) Terminal() bool { return false }

// ServesUpstream implements extension.UpstreamHTTPFilterFactory.
func (Factory) ServesUpstream() {}

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
		Names:   []string{"xds_matcher", "matcher", "extension_config"},
	}, {
		Message: "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
		Names:   []string{"xds_matcher"},
	}, {
		Message: "envoy.config.common.matcher.v3.Matcher",
		Names:   []string{"matcher_list", "matcher_tree", "on_no_match"},
	}}
}

// BuildHTTPFilter implements extension.HTTPFilterFactory.
func (Factory) BuildHTTPFilter(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	m := msg.(*matchingv3.ExtensionWithMatcher)
	before := len(*errs)
	wrapped := buildWrapped(m, ctx, path.Field("extension_config"), errs)
	var tree matcher.Tree // nil skips always, as in Envoy
	switch {
	case m.GetXdsMatcher() != nil:
		tree = buildTree(m.GetXdsMatcher(), ctx, path.Field("xds_matcher"), errs)
	case m.GetMatcher() != nil:
		tree = buildTree(translated(m.GetMatcher(), path.Field("matcher"), errs), ctx, path.Field("matcher"), errs)
	}
	if len(*errs) > before {
		return nil
	}
	return func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(wrapped(cb), tree, cb) }
}

func buildWrapped(m *matchingv3.ExtensionWithMatcher, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder {
	if m.GetExtensionConfig() == nil {
		errs.Add(path, "is required")
		return nil
	}
	path = path.Field("typed_config")
	msg := extension.Unpack(m.GetExtensionConfig().GetTypedConfig(), path, errs)
	if msg == nil {
		return nil
	}
	f, ok := ctx.Registry.ForMessage(extension.HTTPFilters, msg).(extension.HTTPFilterFactory)
	if !ok {
		errs.Add(path, "no HTTP filter is registered for type %s", msg.ProtoReflect().Descriptor().FullName())
		return nil
	}
	return f.BuildHTTPFilter(msg, ctx, path, errs)
}

// translated returns a tree in Envoy's own messages, which are the older ones, in those
// of xDS: these have the same fields with the same numbers.
func translated(old proto.Message, path conf.Path, errs *conf.Errors) *xdsmatcher.Matcher {
	same := new(xdsmatcher.Matcher)
	wire, err := proto.Marshal(old)
	if err == nil {
		err = proto.Unmarshal(wire, same)
	}
	if err != nil {
		errs.Add(path, "%v", err)
	}
	return same
}

func buildTree(cfg *xdsmatcher.Matcher, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) matcher.Tree {
	return matcher.Build(cfg, matcher.Config{Factories: ctx.Matching(ctx.Root), Action: skip}, path, errs)
}

// skip is the only action. It has no value: that the tree matches is enough.
func skip(msg proto.Message, path conf.Path, errs *conf.Errors) any {
	if _, ok := msg.(*actionv3.SkipFilter); !ok {
		errs.Add(path, "the action must be of type envoy.extensions.filters.common.matcher.action.v3.SkipFilter, not %s",
			msg.ProtoReflect().Descriptor().FullName())
	}
	return nil
}

// routeConfig is the tree of a route, in place of the filter's own.
type routeConfig struct{ tree matcher.Tree }

// BuildRouteConfig implements extension.HTTPRouteFilterFactory. Without a tree nothing
// is skipped.
func (Factory) BuildRouteConfig(msg proto.Message, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) any {
	m := msg.(*matchingv3.ExtensionWithMatcherPerRoute)
	tree := buildTree(m.GetXdsMatcher(), ctx, path.Field("xds_matcher"), errs)
	if tree == nil {
		return nil
	}
	return &routeConfig{tree}
}
