package filterstate

import (
	"testing"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/filter_state/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func TestAccept(t *testing.T) {
	for _, tc := range []struct {
		ifAbsent bool
		state    map[string]any
		want     bool
	}{
		{false, nil, false}, {true, nil, true}, {true, map[string]any{"other": false}, true},
		{false, map[string]any{"k": filterstate.Bool(true)}, true}, {true, map[string]any{"k": filterstate.Bool(false)}, false}, {true, map[string]any{"k": "true"}, false},
	} {
		var errs conf.Errors
		p := Factory{}.BuildRedirectPredicate(&statev3.FilterStateConfig{RedirectEnabledKey: "k", RedirectIfAbsent: tc.ifAbsent}, conf.Path{}, &errs)
		if p.Accept(&streaminfo.Stream{FilterState: tc.state}, nil, nil, false, false) != tc.want {
			t.Errorf("%+v", tc)
		}
	}
	var errs conf.Errors
	if (Factory{}).BuildRedirectPredicate(&statev3.FilterStateConfig{}, conf.Path{}, &errs) != nil || errs.Error() != "redirect_enabled_key: must not be empty" {
		t.Error(errs)
	}
}
