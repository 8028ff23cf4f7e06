package cluster

import (
	"testing"

	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// fakePolicies is an extension.RoutePolicies that reads the number of retries.
type fakePolicies struct{}

func (fakePolicies) Build(cfg *httpv3.HttpProtocolOptions, _ extension.Context, path conf.Path, errs *conf.Errors) (p route.Policies) {
	if r := cfg.GetRetryPolicy(); r != nil {
		p.Retry = &route.RetryPolicy{NumRetries: int(r.GetNumRetries().GetValue())}
		if p.Retry.NumRetries > 100 {
			errs.Add(path.Field("retry_policy").Field("num_retries"), "too many")
		}
	}
	return p
}

// TestPolicies: the router gets the policies of the cluster from the cluster.
func TestPolicies(t *testing.T) {
	const explicit = "explicit_http_config: {http_protocol_options: {}}, "
	b := newBench()
	b.Add(mustParse(t, httpOptions(explicit+"retry_policy: {num_retries: 7}")), nil)
	if p := b.Get("a").(httpfilter.ClusterOptions).Policies(); p.Retry == nil || p.Retry.NumRetries != 7 {
		t.Errorf("%+v", p)
	}
	var errs conf.Errors
	Parse(load(t, httpOptions(explicit+"retry_policy: {num_retries: 101}")), testContext(), conf.Path{}, &errs)
	if got, want := errs.Error(), `typed_extension_protocol_options["`+httpOptionsKey+`"].retry_policy.num_retries: too many`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
