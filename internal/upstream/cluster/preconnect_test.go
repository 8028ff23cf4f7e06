package cluster

import (
	"slices"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// aheadPool is a host's pool that counts as connected from when it is asked for.
type aheadPool struct {
	host.Pool
	cluster *Cluster
	of      *host.Host
	asked   *[]string
}

func (p *aheadPool) Preconnect(_ event.Dispatcher, _ *upstream.Pick, ratio float64) bool {
	*p.asked = append(*p.asked, p.of.Address().String())
	p.cluster.stats.UpstreamCxActive.Inc(stats.Any)
	return ratio == 2.5
}

func (p *aheadPool) NewStream(event.Dispatcher, *upstream.Pick, upstream.ResponseHandler, upstream.StreamPoolCallbacks) upstream.Cancel {
	*p.asked = append(*p.asked, "request")
	p.cluster.stats.UpstreamRqActive.Inc(stats.Any)
	return nil
}

// TestPredictivePreconnect connects to the hosts that are picked next: as many as the
// ratio asks for, and each once.
func TestPredictivePreconnect(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, `
name: a
preconnect_policy: {predictive_preconnect_ratio: 2.5}
load_assignment:
  cluster_name: a
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}
    - endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 1}}}
    - endpoint: {address: {socket_address: {address: 10.0.0.3, port_value: 1}}}
    - endpoint: {address: {socket_address: {address: 10.0.0.4, port_value: 1}}}
`), nil)
	c := b.Get("a").(*Cluster)
	var asked []string
	for _, h := range c.byAddress {
		h.SetPool(upstream.Default, &aheadPool{cluster: c, of: h, asked: &asked})
	}
	for range 3 {
		c.NewStream(b.loop, &upstream.Pick{HTTP: true}, nil, nil)
	}
	want := []string{"10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "request", "10.0.0.1:1", "10.0.0.2:1", "request", "10.0.0.3:1", "request"}
	if !slices.Equal(asked, want) {
		t.Errorf("%v", asked)
	}
}
