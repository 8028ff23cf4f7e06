package allowlistedroutes

import (
	"testing"

	listedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

func TestAccept(t *testing.T) {
	var errs conf.Errors
	p := Factory{}.BuildRedirectPredicate(&listedv3.AllowListedRoutesConfig{AllowedRouteNames: []string{"a", "b"}}, conf.Path{}, &errs)
	for name, want := range map[string]bool{"a": true, "b": true, "c": false, "": false} {
		if p.Accept(nil, &route.Route{Name: "a"}, &route.Route{Name: name}, false, false) != want {
			t.Errorf("route %q", name)
		}
	}
	Factory{}.BuildRedirectPredicate(&listedv3.AllowListedRoutesConfig{AllowedRouteNames: []string{"a", ""}}, conf.Path{}, &errs)
	if errs.Error() != "allowed_route_names[1]: must not be empty" {
		t.Error(errs)
	}
}
