// Package matcher is the cluster specifier
// envoy.router.cluster_specifier_plugin.matcher: a tree of the matching API names the
// cluster.
package matcher

import (
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factory is the extension.ClusterSpecifierFactory of the specifier.
type Factory struct{}

var _ extension.ClusterSpecifierFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.router.cluster_specifier_plugin.matcher" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ClusterSpecifiers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &matcherv3.MatcherClusterSpecifier{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier",
		Names:   []string{"cluster_matcher"},
	}, {
		Message: "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction",
		Names:   []string{"cluster"},
	}}
}

// BuildClusterSpecifier implements extension.ClusterSpecifierFactory. As in Envoy the
// names of clusters are not checked.
func (Factory) BuildClusterSpecifier(msg proto.Message, ctx extension.ClusterSpecifierContext, path conf.Path, errs *conf.Errors) route.ClusterSpecifier {
	m := msg.(*matcherv3.MatcherClusterSpecifier)
	path = path.Field("cluster_matcher")
	if m.GetClusterMatcher() == nil {
		errs.Add(path, "is required")
		return nil
	}
	tree := matcher.Build(m.GetClusterMatcher(), matcher.Config{Factories: ctx.Matching(ctx.Root), Action: clusterAction}, path, errs)
	return &specifier{tree}
}

// clusterAction returns the name of a cluster.
func clusterAction(msg proto.Message, path conf.Path, errs *conf.Errors) any {
	action, ok := msg.(*matcherv3.ClusterAction)
	switch {
	case !ok:
		errs.Add(path, "the action must be of type envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction, not %s",
			msg.ProtoReflect().Descriptor().FullName())
	case action.GetCluster() == "":
		errs.Add(path.Field("cluster"), "must not be empty")
	}
	return action.GetCluster()
}

type specifier struct{ tree matcher.Tree }

// SpecifyCluster implements route.ClusterSpecifier.
func (s *specifier) SpecifyCluster(_ *route.Forward, h *httpmsg.Headers, info *streaminfo.Stream, _ uint64) string {
	name, _ := s.tree.Match(matcher.Data{Request: h, Stream: info}).Action.(string)
	return name
}
