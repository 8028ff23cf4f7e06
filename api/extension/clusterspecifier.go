package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// ClusterSpecifiers is the category of extensions that choose the cluster of a route.
const ClusterSpecifiers = "envoy.router.cluster_specifier_plugin"

// A ClusterSpecifierFactory makes what cluster_specifier_plugins and
// inline_cluster_specifier_plugin name. Main goroutine.
type ClusterSpecifierFactory interface {
	Factory
	// BuildClusterSpecifier checks the configuration. Errors go to errs with the path of
	// the field; the result is nil then.
	BuildClusterSpecifier(msg proto.Message, ctx ClusterSpecifierContext, path conf.Path, errs *conf.Errors) route.ClusterSpecifier
}

// ClusterSpecifierContext is what the factory of a cluster specifier may use.
type ClusterSpecifierContext struct {
	HTTPContext
	// ValidateClusters says whether a name that is not in Clusters is an error.
	ValidateClusters bool
}
