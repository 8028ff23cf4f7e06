package hcm

import (
	"net/netip"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/internal/l7/route"
)

// readRoutes builds the route table.
func (c *config) readRoutes(m *hcmv3.HttpConnectionManager, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) {
	if m.GetRouteConfig() == nil {
		if m.GetRouteSpecifier() == nil {
			errs.Add(path, "one of route_config, rds and scoped_routes must be set")
		}
		return // rds and scoped_routes are refused by conf.Check
	}
	table := route.Build(m.GetRouteConfig(), route.BuildContext{HTTPContext: ctx, ValidateClusters: true},
		path.Field("route_config"), errs)
	if table != nil {
		c.routes = table
	}
}

var httpFilterFields = conf.Fields{
	Message: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
	Names:   []string{"name", "typed_config", "is_optional", "disabled"},
}

// readFilters builds the chain of HTTP filters: the last one, and only that, is
// terminal.
func (c *config) readFilters(m *hcmv3.HttpConnectionManager, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) {
	filters := m.GetHttpFilters()
	if len(filters) == 0 {
		errs.Add(path, "must end with a terminal filter such as envoy.filters.http.router")
	}
	seen := map[string]bool{}
	for i, f := range filters {
		at := path.Index(i)
		conf.Check(f, httpFilterFields, at, errs)
		if seen[f.GetName()] {
			errs.Add(at.Field("name"), "there are two filters named %s", f.GetName())
		}
		seen[f.GetName()] = true
		build, terminal := buildFilter(f, ctx, at, errs)
		if build == nil {
			continue
		}
		switch last := i == len(filters)-1; {
		case terminal && !last:
			errs.Add(at, "terminal filter %s must be the last one", f.GetName())
		case !terminal && last:
			errs.Add(at, "%s is not a terminal filter: the last filter must be one, such as envoy.filters.http.router", f.GetName())
		case terminal && f.GetDisabled():
			errs.Add(at.Field("disabled"), "a terminal filter cannot be disabled")
		}
		c.filters = append(c.filters, filterConfig{f.GetName(), build, f.GetDisabled()})
	}
}

// buildFilter returns nil if it reported an error, or if the filter is optional and
// unknown.
func buildFilter(f *hcmv3.HttpFilter, ctx extension.HTTPContext, at conf.Path, errs *conf.Errors) (httpfilter.Builder, bool) {
	at = at.Field("typed_config")
	var unknown conf.Errors
	msg := extension.Unpack(f.GetTypedConfig(), at, &unknown)
	var factory extension.HTTPFilterFactory
	if msg != nil {
		factory, _ = ctx.Registry.ForMessage(extension.HTTPFilters, msg).(extension.HTTPFilterFactory)
		if factory == nil {
			unknown.Add(at, "no HTTP filter is registered for type %s", msg.ProtoReflect().Descriptor().FullName())
		}
	}
	if factory == nil {
		if !f.GetIsOptional() {
			*errs = append(*errs, unknown...)
		}
		return nil, false
	}
	return factory.BuildHTTPFilter(msg, ctx, at, errs), factory.Terminal()
}

// A prefix is a range of IP addresses.
type prefix = netip.Prefix

func newPrefix(r *corev3.CidrRange, path conf.Path, errs *conf.Errors) prefix {
	ip, err := netip.ParseAddr(r.GetAddressPrefix())
	if err != nil {
		errs.Add(path.Field("address_prefix"), "%q is no IP address", r.GetAddressPrefix())
		return prefix{}
	}
	p := netip.PrefixFrom(ip, int(r.GetPrefixLen().GetValue()))
	if !p.IsValid() {
		errs.Add(path.Field("prefix_len"), "%d is too long", r.GetPrefixLen().GetValue())
	}
	return p.Masked()
}

// isInternal reports whether requests from a count as internal.
func (c *config) isInternal(a address.Address) bool {
	if a.IsUnix() {
		return c.internalUnix
	}
	for _, p := range c.internal {
		if p.Contains(a.IP()) {
			return true
		}
	}
	return false
}

// forwardedFor is the text that stands for a peer in x-forwarded-for: a peer on this
// machine appears with the machine's own address.
func (c *config) forwardedFor(peer address.Address) string {
	if peer.IP().IsLoopback() && c.localAddress.IsValid() {
		peer = c.localAddress
	}
	if peer.IsUnix() {
		return ""
	}
	return peer.WithoutPort()
}

// localPort is the port of the listener as it ends a host, ":80".
func (m *manager) localPort() string {
	return ":" + strconv.Itoa(int(m.conn.Info().Local.Port()))
}
