package previoushosts

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func TestReject(t *testing.T) {
	var errs conf.Errors
	p := Factory{}.BuildRetryHostPredicate(Factory{}.Config(), conf.Path{}, &errs)
	a, b := filtertest.NewHost("1.2.3.4:5", "a"), filtertest.NewHost("1.2.3.4:5", "a")
	if !p.Reject(a, []upstream.Host{b, a}) || p.Reject(a, []upstream.Host{b}) || p.Reject(a, nil) {
		t.Error("a host that was tried passes, or another one does not")
	}
}
