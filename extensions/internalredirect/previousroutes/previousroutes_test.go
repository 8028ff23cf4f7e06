package previousroutes

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func TestAccept(t *testing.T) {
	var errs conf.Errors
	p := Factory{}.BuildRedirectPredicate(Factory{}.Config(), conf.Path{}, &errs)
	info := &streaminfo.Stream{}
	for i, tc := range []struct {
		from, to string
		want     bool
	}{{"a", "b", true}, {"a", "c", true}, {"a", "b", false}, {"b", "b", true}, {"b", "b", false}, {"a", "c", false}, {"a", "a", true}} {
		if p.Accept(info, &route.Route{Name: tc.from}, &route.Route{Name: tc.to}, false, false) != tc.want {
			t.Errorf("%d: %+v", i, tc)
		}
	}
	if !p.Accept(&streaminfo.Stream{}, &route.Route{Name: "a"}, &route.Route{Name: "b"}, false, false) {
		t.Error("another request is not new")
	}
}
