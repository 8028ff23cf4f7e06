package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// factoryFor returns the factory of a category for the message in a typed_config, and
// the message; ok is false after an error.
func factoryFor[F extension.Factory](b *builder, category string, packed *anypb.Any, path conf.Path) (f F, msg proto.Message, ok bool) {
	if msg = extension.Unpack(packed, path, b.errs); msg == nil {
		return f, nil, false
	}
	if f, ok = b.Registry.ForMessage(category, msg).(F); !ok {
		b.errs.Add(path, "no implementation of %s is registered for type %s", category, packed.GetTypeUrl())
	}
	return f, msg, ok
}

// specifiers builds cluster_specifier_plugins, by name: the last of a name counts, as
// in Envoy.
func (b *builder) specifiers(cfgs []*routev3.ClusterSpecifierPlugin, path conf.Path) map[string]route.ClusterSpecifier {
	out := map[string]route.ClusterSpecifier{}
	for i, cfg := range cfgs {
		out[cfg.GetExtension().GetName()] = b.specifier(cfg, path.Index(i))
	}
	return out
}

// specifier builds a cluster specifier. It returns nil, without an error, for an
// optional one that is not known.
func (b *builder) specifier(cfg *routev3.ClusterSpecifierPlugin, path conf.Path) route.ClusterSpecifier {
	conf.Check(cfg, SpecifierFields(), path, b.errs)
	path = path.Field("extension").Field("typed_config")
	before := *b.errs
	f, msg, ok := factoryFor[extension.ClusterSpecifierFactory](b, extension.ClusterSpecifiers, cfg.GetExtension().GetTypedConfig(), path)
	if !ok {
		if cfg.GetIsOptional() {
			*b.errs = before
		}
		return nil
	}
	return f.BuildClusterSpecifier(msg, extension.ClusterSpecifierContext{HTTPContext: b.HTTPContext, ValidateClusters: b.ValidateClusters}, path, b.errs)
}

// namedSpecifier finds one of cluster_specifier_plugins.
func (b *builder) namedSpecifier(name string, path conf.Path) route.ClusterSpecifier {
	s, found := b.plugins[name]
	if !found {
		b.errs.Add(path, "unknown cluster specifier plugin %q", name)
	}
	return s
}
