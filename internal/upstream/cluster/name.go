package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/upstream/dns"
)

// A Resolver resolves names; *dns.Resolver is one. It calls done on the loop of d,
// never before it returns.
type Resolver interface {
	Resolve(d event.Dispatcher, name string, f dns.Family, done func(dns.Answer, error))
}

// A name is one endpoint of a DNS cluster: a name and the addresses it stands for.
// It belongs to the main goroutine.
type name struct {
	cluster    *Cluster
	endpoint   *Endpoint
	resolver   Resolver
	dispatcher event.Dispatcher
	timer      event.Timer
	addresses  []address.Address // the last good answer
	answered   bool
	backOff    time.Duration // the next wait after a failure is below
}

func newName(c *Cluster, e *Endpoint, o *Options) *name {
	n := &name{cluster: c, endpoint: e, resolver: o.Resolver, dispatcher: o.Dispatcher, backOff: c.config.DNS.FailureBase}
	n.timer = o.Dispatcher.NewTimer(n.resolve)
	return n
}

func (n *name) resolve() {
	n.cluster.members.updateAttempt.Inc(stats.Any)
	n.resolver.Resolve(n.dispatcher, n.endpoint.Name, n.cluster.config.DNS.Family, n.onAnswer)
}

// onAnswer takes the answer over. An error keeps the addresses there are; an answer
// without addresses is one from the owner of the name, and removes the hosts.
func (n *name) onAnswer(a dns.Answer, err error) {
	c := n.cluster
	if c.closed {
		return
	}
	if err != nil {
		c.members.updateFailure.Inc(stats.Any)
		n.timer.Enable(n.waitAfterFailure())
	} else {
		c.members.updateSuccess.Inc(stats.Any)
		n.backOff = c.config.DNS.FailureBase
		n.timer.Enable(n.wait(a))
		n.use(a)
	}
	if !n.answered {
		n.answered = true
		if c.waiting--; c.waiting == 0 {
			c.isReady()
		}
	}
}

// use makes the addresses of an answer the hosts of the name.
func (n *name) use(a dns.Answer) {
	addresses := make([]address.Address, len(a.Addrs))
	for i, ip := range a.Addrs {
		addresses[i] = address.FromAddrPort(netip.AddrPortFrom(ip, n.endpoint.Port))
	}
	if n.cluster.config.Discovery == LogicalDNS {
		n.useFirst(addresses)
		return
	}
	members := &n.cluster.members
	members.maxHostWeight.Set(uint64(max(n.endpoint.Host.Weight, 1)))
	before := slices.SortedFunc(slices.Values(n.addresses), byText)
	if slices.Equal(before, slices.SortedFunc(slices.Values(addresses), byText)) {
		members.updateNoRebuild.Inc(stats.Any)
		members.matched.Add(stats.Any, uint64(len(addresses)))
		return
	}
	n.addresses = addresses
	n.cluster.rebuild()
}

func byText(a, b address.Address) int { return cmp.Compare(a.String(), b.String()) }

// useFirst moves the one host of a logical cluster to the first address. Its
// connections stay; new ones go to the new address.
func (n *name) useFirst(addresses []address.Address) {
	c := n.cluster
	switch {
	case len(addresses) == 0 || len(n.addresses) == 1 && n.addresses[0] == addresses[0]:
		c.members.updateNoRebuild.Inc(stats.Any)
		c.members.matched.Inc(stats.Any)
	case len(n.addresses) == 0:
		n.addresses = addresses[:1]
		c.rebuild()
	default:
		h := c.byAddress[n.addresses[0]]
		delete(c.byAddress, n.addresses[0])
		n.addresses = addresses[:1]
		h.SetAddress(addresses[0])
		c.byAddress[addresses[0]] = h
	}
}

// wait returns when to ask again after a good answer.
func (n *name) wait(a dns.Answer) time.Duration {
	d := &n.cluster.config.DNS
	wait := d.RefreshRate
	if d.RespectTTL && a.TTL > 0 {
		wait = max(a.TTL, d.MinRefreshRate)
	}
	return wait + n.random(d.Jitter)
}

// waitAfterFailure returns when to ask again after a bad one.
func (n *name) waitAfterFailure() time.Duration {
	d := &n.cluster.config.DNS
	if d.FailureBase == 0 {
		return d.RefreshRate + n.random(d.Jitter)
	}
	wait := n.random(n.backOff)
	n.backOff = min(2*n.backOff, d.FailureMax)
	return wait
}

func (n *name) random(below time.Duration) time.Duration {
	if below <= 0 {
		return 0
	}
	return time.Duration(n.dispatcher.Random() % uint64(below))
}
