package omitcanaryhosts

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func TestReject(t *testing.T) {
	var errs conf.Errors
	p := Factory{}.BuildRetryHostPredicate(Factory{}.Config(), conf.Path{}, &errs)
	h := filtertest.NewHost("1.2.3.4:5", "a")
	if p.Reject(h, nil) {
		t.Error("a host that is no canary is turned down")
	}
	if h.IsCanary = true; !p.Reject(h, nil) {
		t.Error("a canary passes")
	}
}
