package hcm

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	routetable "github.com/nuncio-proxy/nuncio/internal/l7/route"
)

// readRoutes builds the route table, or those of the scopes, and returns what they
// were built from.
func (c *config) readRoutes(m *hcmv3.HttpConnectionManager, ctx extension.HTTPContext, path conf.Path,
	errs *conf.Errors) {
	build := func(r *routev3.RouteConfiguration, at conf.Path) route.Table {
		t := routetable.Build(r, routetable.BuildContext{HTTPContext: ctx, ValidateClusters: true}, at, errs)
		if t == nil {
			return nil
		}
		return t
	}
	switch m.GetRouteSpecifier().(type) {
	case *hcmv3.HttpConnectionManager_RouteConfig:
		c.routes = build(m.GetRouteConfig(), path.Field("route_config"))
	case *hcmv3.HttpConnectionManager_ScopedRoutes:
		at := path.Field("scoped_routes")
		c.scopes = &scopes{key: readScopeKey(m.GetScopedRoutes().GetScopeKeyBuilder(), at.Field("scope_key_builder"), errs)}
		list := at.Field("scoped_route_configurations_list").Field("scoped_route_configurations")
		c.scopes.fill(m.GetScopedRoutes().GetScopedRouteConfigurationsList().GetScopedRouteConfigurations(), list, build, errs)
	case nil:
		errs.Add(path, "one of route_config, rds and scoped_routes must be set")
	} // rds is refused by conf.Check
}

// table returns the route table for a request, nil if its scope has none.
func (c *config) table(h *httpmsg.Headers) route.Table {
	if c.scopes == nil {
		return c.routes
	}
	return c.scopes.find(h)
}

// scopes are route tables by a key that is made of request headers. They are
// immutable.
type scopes struct {
	key  []keyFragment
	root scope
}

// A scope is what fragments of a key, as far as they were looked up, lead to.
type scope struct {
	table route.Table // nil if the key is not complete
	next  map[string]*scope
}

// fill adds the tables. As in Envoy, the last configuration of a name counts, and
// the last one of a key.
func (x *scopes) fill(configs []*routev3.ScopedRouteConfiguration, path conf.Path,
	build func(*routev3.RouteConfiguration, conf.Path) route.Table, errs *conf.Errors) {
	if len(configs) == 0 {
		errs.Add(path, "must not be empty")
	}
	seen := map[string]bool{}
	for i, cfg := range slices.Backward(configs) {
		at := path.Index(i)
		if cfg.GetRouteConfiguration() == nil {
			errs.Add(at.Field("route_configuration"), "must be set: routes are not discovered")
			continue
		}
		t := build(cfg.GetRouteConfiguration(), at.Field("route_configuration"))
		if seen[cfg.GetName()] {
			continue
		}
		seen[cfg.GetName()] = true
		s := &x.root
		for _, f := range cfg.GetKey().GetFragments() {
			if s.next == nil {
				s.next = map[string]*scope{}
			}
			if s.next[f.GetStringKey()] == nil {
				s.next[f.GetStringKey()] = new(scope)
			}
			s = s.next[f.GetStringKey()]
		}
		if s.table == nil {
			s.table = t
		}
	}
}

func (x *scopes) find(h *httpmsg.Headers) route.Table {
	s := &x.root
	for i := range x.key {
		text, ok := x.key[i].extract(h)
		if !ok {
			return nil
		}
		if s = s.next[text]; s == nil {
			return nil
		}
	}
	return s.table
}

// A keyFragment takes a part of a key from the first field of a header: the element
// at index, or the value of the element named key.
type keyFragment struct {
	header    string // lower case
	separator string // of elements; "" if the value is one element
	index     int
	byKey     bool
	key       string
	keyEnd    string // between key and value
}

func readScopeKey(m *hcmv3.ScopedRoutes_ScopeKeyBuilder, path conf.Path, errs *conf.Errors) (key []keyFragment) {
	if len(m.GetFragments()) == 0 {
		errs.Add(path.Field("fragments"), "must not be empty")
	}
	for i, f := range m.GetFragments() {
		at := path.Field("fragments").Index(i).Field("header_value_extractor")
		x := f.GetHeaderValueExtractor()
		fragment := keyFragment{header: match.Lower(x.GetName()), separator: x.GetElementSeparator(), index: int(x.GetIndex())}
		if fragment.header == "" {
			errs.Add(at.Field("name"), "must not be empty")
		}
		switch e := x.GetExtractType().(type) {
		case *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Element:
			fragment.byKey, fragment.key, fragment.keyEnd = true, e.Element.GetKey(), e.Element.GetSeparator()
			if fragment.key == "" || fragment.keyEnd == "" {
				errs.Add(at.Field("element"), "separator and key must not be empty")
			}
		case *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index:
			if fragment.separator == "" && fragment.index > 0 {
				errs.Add(at.Field("index"), "Index > 0 for empty string element separator.")
			}
		default:
			errs.Add(at, "one of index and element must be set")
		}
		key = append(key, fragment)
	}
	return key
}

func (f *keyFragment) extract(h *httpmsg.Headers) (string, bool) {
	rest, more := h.Find(f.header)
	for i := 0; more; i++ {
		element := rest
		if f.separator == "" {
			more = false
		} else {
			element, rest, more = strings.Cut(rest, f.separator)
		}
		switch {
		case !f.byKey:
			if i == f.index {
				return element, true
			}
		case element != "":
			if key, value, _ := strings.Cut(element, f.keyEnd); key == f.key {
				return value, true
			}
		}
	}
	return "", false
}
