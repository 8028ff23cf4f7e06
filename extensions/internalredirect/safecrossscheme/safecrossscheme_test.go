package safecrossscheme

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestAccept(t *testing.T) {
	var errs conf.Errors
	p := Factory{}.BuildRedirectPredicate(Factory{}.Config(), conf.Path{}, &errs)
	for _, tc := range []struct{ from, to, want bool }{{true, true, true}, {true, false, true}, {false, false, true}, {false, true, false}} {
		if p.Accept(nil, nil, nil, tc.from, tc.to) != tc.want {
			t.Errorf("%+v", tc)
		}
	}
}
