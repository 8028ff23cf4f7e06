package route

import (
	routesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"
	canaryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A fake is an extension of any category that routes ask, and what its factory builds.
type fake struct {
	category string
	config   proto.Message
}

// fakes returns one of each.
func fakes() []extension.Factory {
	return []extension.Factory{
		fake{extension.RetryHostPredicates, new(previousv3.PreviousHostsPredicate)},
		fake{extension.RetryPriorities, new(prioritiesv3.PreviousPrioritiesConfig)},
		fake{extension.RedirectPredicates, new(routesv3.PreviousRoutesConfig)},
		fake{extension.ClusterSpecifiers, new(matcherv3.ClusterAction)},
		fake{extension.PathRewriters, new(templatev3.UriTemplateRewriteConfig)},
		canary{fake{extension.RetryHostPredicates, new(canaryv3.OmitCanaryHostsPredicate)}},
	}
}

type canary struct{ fake }

func (canary) Name() string { return "canary" }

func (f fake) Name() string          { return "fake" }
func (f fake) Category() string      { return f.category }
func (f fake) Config() proto.Message { return f.config }
func (f fake) Fields() []conf.Fields { return nil }

func (f fake) BuildRetryHostPredicate(proto.Message, conf.Path, *conf.Errors) route.RetryHostPredicate {
	return f
}
func (f fake) BuildRetryPriority(proto.Message, conf.Path, *conf.Errors) route.RetryPriority {
	return f
}
func (f fake) BuildRedirectPredicate(proto.Message, conf.Path, *conf.Errors) route.RedirectPredicate {
	return f
}

func (f fake) BuildPathRewriter(proto.Message, route.PathMatcher, conf.Path, *conf.Errors) route.PathRewriter {
	return f
}

func (f fake) BuildClusterSpecifier(msg proto.Message, ctx extension.ClusterSpecifierContext, _ conf.Path, _ *conf.Errors) route.ClusterSpecifier {
	return specifiedCluster(msg.(*matcherv3.ClusterAction).GetCluster())
}

func (f fake) Reject(upstream.Host, []upstream.Host) bool                             { return true }
func (f fake) PriorityLoad(load []uint32, _ []upstream.Host) []uint32                 { return load }
func (f fake) Accept(*streaminfo.Stream, *route.Route, *route.Route, bool, bool) bool { return true }

// RewritePath turns down paths that end with "no".
func (f fake) RewritePath(path string) (string, bool) {
	if path[len(path)-1] == 'o' {
		return "", false
	}
	return "/rewritten" + path, true
}

type specifiedCluster string

func (c specifiedCluster) SpecifyCluster(*route.Forward, *httpmsg.Headers, *streaminfo.Stream, uint64) string {
	return string(c)
}
