package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

const (
	defaultOriginalDstHeader = "x-envoy-original-dst-host"
	defaultCleanupInterval   = 5 * time.Second
)

// OriginalDst says where connections of an ORIGINAL_DST cluster go, besides to where the
// downstream connection was for before it was redirected.
type OriginalDst struct {
	Header  string // of requests, with an address that comes first; "" for none
	Port    uint16 // in place of the port, if HasPort is set
	HasPort bool
	Cleanup time.Duration // hosts that nobody uses for so long go
}

func (c *Config) parseOriginalDst(msg *clusterv3.Cluster, path conf.Path, errs *conf.Errors) {
	m, at := msg.GetOriginalDstLbConfig(), path.Field("original_dst_lb_config")
	if c.Discovery != OriginalDestination {
		if msg.GetLbPolicy() == clusterv3.Cluster_CLUSTER_PROVIDED && msg.GetLoadBalancingPolicy() == nil {
			errs.Add(path.Field("lb_policy"), "LB policy CLUSTER_PROVIDED is not valid for Cluster type %s", c.Discovery)
		}
		return
	}
	if msg.GetLbPolicy() != clusterv3.Cluster_CLUSTER_PROVIDED || msg.GetLoadBalancingPolicy() != nil {
		errs.Add(path.Field("lb_policy"), "LB policy %s is not valid for Cluster type ORIGINAL_DST. "+
			"Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'", msg.GetLbPolicy())
	}
	if msg.GetLoadAssignment() != nil {
		errs.Add(path.Field("load_assignment"), "ORIGINAL_DST clusters must have no load assignment configured")
	}
	d := OriginalDst{Cleanup: durationOr(msg.GetCleanupInterval(), defaultCleanupInterval)}
	switch name := strings.ToLower(m.GetHttpHeaderName()); {
	case !m.GetUseHttpHeader() && name != "":
		errs.Add(at.Field("http_header_name"), "needs use_http_header")
	case m.GetUseHttpHeader() && name == "":
		d.Header = defaultOriginalDstHeader
	default:
		d.Header = name
	}
	if port := m.GetUpstreamPortOverride(); port != nil {
		d.Port, d.HasPort = uint16(port.GetValue()), true // which was found to fit before
	}
	c.OriginalDst = d
}

// destinations are the hosts of an ORIGINAL_DST cluster: made when a request for one comes,
// on its worker, and removed when nobody has used them for a while.
type destinations struct {
	cluster *Cluster
	invalid *stats.Counter
	hosts   sync.Map // address.Address to *destination
	cleanup event.Timer
}

type destination struct {
	host *host.Host
	used atomic.Bool // since the last cleanup
}

// startDestinations makes the cluster one of destinations. Main goroutine.
func (c *Cluster) startDestinations() {
	d := &destinations{cluster: c, invalid: c.scopes[0].Counter("original_dst_host_invalid")}
	d.cleanup = c.dispatcher.NewTimer(d.clean)
	d.cleanup.Enable(c.config.OriginalDst.Cleanup)
	c.destinations = d
	c.setHosts(nil)
}

// pick returns the host that pick is for, nil if nothing says which. Any worker.
func (d *destinations) pick(now time.Time, pick *upstream.Pick, shard int) *host.Host {
	a, ok := d.address(pick, shard)
	if !ok {
		return nil
	}
	if c := &d.cluster.config.OriginalDst; c.HasPort {
		a = address.FromAddrPort(netip.AddrPortFrom(a.IP(), c.Port))
	}
	found, ok := d.hosts.Load(a)
	if !ok {
		found = d.add(a, now)
	}
	one := found.(*destination)
	if !one.used.Load() {
		one.used.Store(true)
	}
	return one.host
}

// address is where pick is to go: what the filter state says, or the header, or where the
// downstream connection was for.
func (d *destinations) address(pick *upstream.Pick, shard int) (address.Address, bool) {
	if pick.Stream != nil {
		if a, ok := match.FilterStateObject(pick.Stream, filterstate.OriginalDst).(filterstate.Address); ok {
			return a.Address, true
		}
	}
	if name := d.cluster.config.OriginalDst.Header; name != "" && pick.Request != nil {
		if text, ok := pick.Request.Find(name); ok {
			if ap, err := netip.ParseAddrPort(text); err == nil {
				return address.FromAddrPort(ap), true
			}
			d.invalid.Inc(shard)
		}
	}
	if c := pick.Downstream; c != nil && c.Local != c.DirectLocal && c.Local.IP().IsValid() {
		return c.Local, true
	}
	return address.Address{}, false
}

// add makes the host at an address. The main goroutine makes it one of the cluster's.
func (d *destinations) add(a address.Address, now time.Time) any {
	c := d.cluster
	h := c.newHost(host.Config{Hostname: c.info.Name + a.String(), Weight: 1, Address: a, Added: now})
	found, there := d.hosts.LoadOrStore(a, &destination{host: h})
	if !there {
		c.dispatcher.Post(func() { d.adopt(h) })
	}
	return found
}

func (d *destinations) adopt(h *host.Host) {
	if d.cluster.closed {
		h.Drain()
		return
	}
	d.cluster.setHosts(append(d.all(), h))
}

// clean removes the hosts that nobody has used since it was called last.
func (d *destinations) clean() {
	d.cleanup.Enable(d.cluster.config.OriginalDst.Cleanup)
	all := d.all()
	kept := slices.DeleteFunc(slices.Clone(all), func(h *host.Host) bool {
		found, _ := d.hosts.Load(h.Address())
		if found.(*destination).used.Swap(false) || h.Stats().CxActive.Load() > 0 {
			return false
		}
		d.hosts.Delete(h.Address())
		return true
	})
	if len(kept) < len(all) {
		d.cluster.setHosts(kept)
	}
}

// all returns the hosts that the main goroutine knows, in the order in which they came.
func (d *destinations) all() []*host.Host {
	return slices.Clone(d.cluster.hosts.Load().Levels[0].Hosts)
}
