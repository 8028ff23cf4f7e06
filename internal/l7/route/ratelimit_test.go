package route

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// ratedServer is a server whose node is called "me".
type ratedServer struct{ extension.Server }

func (ratedServer) ServiceCluster() string { return "me" }

// defaults is a runtime without values.
type defaults struct{ values }

type values struct{ runtimeconf.Snapshot }

func (d defaults) Snapshot() runtimeconf.Snapshot { return d.values }
func (values) Boolean(_ string, value bool) bool  { return value }

func TestRateLimits(t *testing.T) {
	cfg, err := parse(`
virtual_hosts:
- name: v
  domains: ["*"]
  rate_limits: [{stage: 2, actions: [{source_cluster: {}}]}]
  routes:
  - match: {prefix: /}
    route:
      cluster: one
      include_vh_rate_limits: true
      rate_limits: [{disable_key: x, actions: [{generic_key: {descriptor_value: a}}]}]`)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	ctx.ValidateClusters = false
	ctx.Server, ctx.Runtime = ratedServer{}, defaults{}
	var errs conf.Errors
	table := Build(cfg, ctx, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	h := headers("/")
	r := table.Match(h, nil, 0)
	of := func(p *ratelimit.Policy, stage uint32) ratelimit.Entry {
		rules := p.Stage(stage)
		if len(rules) != 1 {
			t.Fatalf("%d rules", len(rules))
		}
		d := rules[0].Append(nil, &ratelimit.Request{Entry: &format.Entry{Request: h, Stream: &streaminfo.Stream{}}})
		return d[0].Entries[0]
	}
	if e := of(r.Forward.RateLimits, 0); e.Value != "a" || !r.Forward.IncludeHostRateLimits || r.Forward.RateLimits.Stage(0)[0].DisableKey != "x" {
		t.Error(e)
	}
	if e := of(r.VirtualHost.RateLimits, 2); e != (ratelimit.Entry{Key: "source_cluster", Value: "me"}) {
		t.Error(e)
	}
}
