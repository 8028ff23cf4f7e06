package routecheck

import (
	"fmt"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// A source is a route configuration and where it stands.
type source struct {
	config *routev3.RouteConfiguration
	path   conf.Path
}

// readSources finds the route configurations in a file: a bootstrap, a configuration
// dump of admin, or a route configuration.
func readSources(name string, data []byte, o protoconv.Options) ([]source, *protoconv.Positions, error) {
	in := protoconv.Source{Name: name, Kind: protoconv.KindOf(name, data), Data: data}
	var found finder
	msg, collect := found.formOf(in)
	res, err := protoconv.Load(msg, o, in)
	if err != nil {
		return nil, nil, err
	}
	collect()
	res.Positions.Locate(found.errs)
	return found.sources, res.Positions, found.errs.Err()
}

// A finder collects route configurations.
type finder struct {
	sources []source
	errs    conf.Errors
}

// formOf tells from the keys of a file which message it holds, and returns that with
// what is to be done when it is read.
func (f *finder) formOf(in protoconv.Source) (msg proto.Message, collect func()) {
	keys := new(structpb.Struct)
	_, _ = protoconv.Load(keys, protoconv.Options{}, in) // what is wrong with it is reported by the next one
	has := func(names ...string) bool {
		for _, name := range names {
			if keys.GetFields()[name] != nil {
				return true
			}
		}
		return false
	}
	switch {
	case has("configs"):
		dump := new(adminv3.ConfigDump)
		return dump, func() { f.dump(dump) }
	case has("static_resources", "staticResources", "dynamic_resources", "admin", "node", "layered_runtime") || in.Kind == protoconv.Binary:
		bootstrap := new(bootstrapv3.Bootstrap)
		return bootstrap, func() { f.bootstrap(bootstrap) }
	default:
		config := new(routev3.RouteConfiguration)
		return config, func() { f.add(config, conf.Path{}) }
	}
}

func (f *finder) add(config *routev3.RouteConfiguration, path conf.Path) {
	if config != nil {
		f.sources = append(f.sources, source{config, path})
	}
}

// unpack reads a packed message of the wanted type; another type is no error.
func unpack[M proto.Message](f *finder, a *anypb.Any, to M, path conf.Path) bool {
	if a == nil || !a.MessageIs(to) {
		return false
	}
	if err := a.UnmarshalTo(to); err != nil {
		f.errs.Add(path, "%v", err)
		return false
	}
	return true
}

func (f *finder) bootstrap(b *bootstrapv3.Bootstrap) {
	at := conf.Path{}.Field("static_resources").Field("listeners")
	for i, l := range b.GetStaticResources().GetListeners() {
		for j, chain := range l.GetFilterChains() {
			f.chain(chain, at.Index(i).Field("filter_chains").Index(j))
		}
		f.chain(l.GetDefaultFilterChain(), at.Index(i).Field("default_filter_chain"))
	}
}

func (f *finder) chain(c *listenerv3.FilterChain, path conf.Path) {
	for i, filter := range c.GetFilters() {
		at := path.Field("filters").Index(i).Field("typed_config")
		hcm := new(hcmv3.HttpConnectionManager)
		if !unpack(f, filter.GetTypedConfig(), hcm, at) {
			continue
		}
		f.add(hcm.GetRouteConfig(), at.Field("route_config"))
		list := hcm.GetScopedRoutes().GetScopedRouteConfigurationsList().GetScopedRouteConfigurations()
		at = at.Field("scoped_routes").Field("scoped_route_configurations_list").Field("scoped_route_configurations")
		for j, scope := range list {
			f.add(scope.GetRouteConfiguration(), at.Index(j).Field("route_configuration"))
		}
	}
}

func (f *finder) dump(d *adminv3.ConfigDump) {
	for i, packed := range d.GetConfigs() {
		at, routes := conf.Path{}.Field("configs").Index(i), new(adminv3.RoutesConfigDump)
		if !unpack(f, packed, routes, at) {
			continue
		}
		for j, r := range routes.GetStaticRouteConfigs() {
			f.packed(r.GetRouteConfig(), at.Field("static_route_configs").Index(j).Field("route_config"))
		}
		for j, r := range routes.GetDynamicRouteConfigs() {
			f.packed(r.GetRouteConfig(), at.Field("dynamic_route_configs").Index(j).Field("route_config"))
		}
	}
}

func (f *finder) packed(a *anypb.Any, path conf.Path) {
	config := new(routev3.RouteConfiguration)
	if unpack(f, a, config, path) {
		f.add(config, path)
	}
}

// choose returns the configuration with that name, or the only one.
func choose(all []source, name string) (*source, error) {
	var names []string
	var chosen *source
	for i := range all {
		own := all[i].config.GetName()
		names = append(names, fmt.Sprintf("%q", own))
		if name != "" && own == name || name == "" && len(all) == 1 {
			if chosen != nil {
				return nil, fmt.Errorf("there are several route configurations named %q", name)
			}
			chosen = &all[i]
		}
	}
	switch {
	case chosen != nil:
		return chosen, nil
	case len(all) == 0:
		return nil, fmt.Errorf("there is no route configuration")
	case name == "":
		return nil, fmt.Errorf("there are several route configurations, choose one with --route-config: %s", strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("there is no route configuration named %q, but: %s", name, strings.Join(names, ", "))
	}
}
