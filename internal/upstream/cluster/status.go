package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Each calls f for each active cluster, by name, with the time it was added. Any
// goroutine.
func (m *Manager) Each(f func(c *Cluster, added time.Time)) {
	for _, e := range m.sorted() {
		f(e.cluster, e.added)
	}
}

// Message is the configuration of the cluster; nobody may change it. Any goroutine.
func (c *Cluster) Message() *clusterv3.Cluster { return c.config.Message }

// EachHost calls f for each host, by priority. Any goroutine.
func (c *Cluster) EachHost(f func(*host.Host)) {
	set := c.hosts.Load()
	for i := range set.Levels {
		for _, h := range set.Levels[i].Hosts {
			f(h)
		}
	}
}
