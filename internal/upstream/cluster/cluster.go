package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// A Cluster implements upstream.Cluster.
type Cluster struct {
	// read-only
	config     *Config
	info       upstream.Info
	stats      *upstream.Stats
	pools      connpool.Config
	balancer   *lb.Balancer
	dispatcher event.Dispatcher      // of the main goroutine
	resources  [2]upstream.Resources // by priority; any goroutine

	hosts atomic.Pointer[host.Set] // stored by the main goroutine

	// owned by the main goroutine
	members   members
	matched   []*stats.Counter // by config.Transports' matches
	byAddress map[address.Address]*host.Host
	scopes    []stats.Scope
	names     []*name // of DNS clusters
	waiting   int     // names without a first answer
	ready     func()  // called once, when there are none
	closed    bool
	// destinations takes the place of the balancer; nil unless Discovery is OriginalDestination.
	// It is set before the cluster is published.
	destinations *destinations
	slowStart    event.Timer // for the weights of new hosts
}

var (
	_ upstream.Cluster          = (*Cluster)(nil)
	_ httpfilter.ClusterOptions = (*Cluster)(nil)
)

// newCluster returns a cluster without hosts; start finds them.
func newCluster(c *Config, o *Options) *Cluster {
	cl := &Cluster{config: c, dispatcher: o.Dispatcher, info: c.Info, byAddress: map[address.Address]*host.Host{}}
	scope := o.Stats.Scope("cluster." + c.Info.ObservabilityName + ".")
	cl.scopes = []stats.Scope{scope}
	sub := func(prefix string) stats.Scope {
		s := scope.Scope(prefix)
		cl.scopes = append(cl.scopes, s)
		return s
	}
	cl.members = newMembers(scope)
	cl.matched = c.Transports.transportCounters(scope)
	cl.stats = newStats(scope, sub)
	for p := range cl.resources {
		initResources(&cl.resources[p], c.Limits[p], sub("circuit_breakers."+upstream.Priority(p).String()+"."))
	}
	cl.pools = connpool.Config{
		Dial: connpool.NewDialer(connpool.DialConfig{
			Socket: c.Socket, ConnectTimeout: c.Info.ConnectTimeout, BufferLimit: c.Info.PerConnectionBufferLimit,
			NextID: o.NextConnectionID, Transport: hostTransport, Internal: o.ConnectInternal,
		}),
		TransportKey:             transportKey,
		Protocol:                 c.Protocol.Speaks,
		HTTP1:                    &c.Protocol.Codec,
		HTTP2:                    &c.Protocol.HTTP2,
		KeepAlive:                c.Protocol.KeepAlive,
		HTTP2Stats:               sync.OnceValue(func() *h2.Stats { return h2.NewStats(scope) }),
		IdleTimeout:              c.Protocol.IdleTimeout,
		MaxConnectionDuration:    c.Protocol.MaxConnectionDuration,
		MaxRequestsPerConnection: c.Protocol.MaxRequestsPerConnection,
		Preconnect:               c.Preconnect.perUpstream(scope),
		MaxConnectionsPerHost:    [2]int64{c.Limits[0].ConnectionsPerHost, c.Limits[1].ConnectionsPerHost},
		Stats:                    cl.stats,
		Bytes:                    connectionStats(cl.stats),
		Shards:                   o.Shards,
	}
	balancing := c.Balancing.balancer(o.Runtime)
	if c.Preconnect.Predictive > 1 {
		balancing.Shards = o.Shards
	}
	hashStats(&balancing, cl.stats.UpstreamRqActive, sub)
	cl.balancer = lb.New(balancing, cl.members.panics)
	cl.slowStart = o.Dispatcher.NewTimer(cl.balance)
	cl.hosts.Store(host.NewSet(nil))
	return cl
}

// HTTPFilters implements httpfilter.ClusterOptions.
func (c *Cluster) HTTPFilters() httpfilter.UpstreamFilters { return c.config.Protocol.Filters }

// Policies implements httpfilter.ClusterOptions.
func (c *Cluster) Policies() *route.Policies { return &c.config.Protocol.Policies }

// start finds the hosts and calls ready when they are known, or when each name was
// asked for once; before it returns if there are no names.
func (c *Cluster) start(o *Options, ready func()) {
	c.ready = ready
	switch c.config.Discovery {
	case Static:
		c.rebuild()
		c.isReady()
		return
	case OriginalDestination:
		c.startDestinations()
		c.isReady()
		return
	}
	c.setHosts(nil)
	for i := range c.config.Endpoints {
		c.names = append(c.names, newName(c, &c.config.Endpoints[i], o))
	}
	c.waiting = len(c.names)
	if c.waiting == 0 || !c.config.WaitForWarm {
		c.isReady()
	}
	for _, n := range c.names {
		n.resolve()
	}
}

// whenReady calls f when the cluster is ready, at once if it is.
func (c *Cluster) whenReady(f func()) {
	before := c.ready
	if before == nil {
		f()
		return
	}
	c.ready = func() {
		before()
		f()
	}
}

func (c *Cluster) isReady() {
	if ready := c.ready; ready != nil {
		c.ready = nil
		ready()
	}
}

// rebuild makes the hosts from the endpoints and the answers to their names.
func (c *Cluster) rebuild() {
	var hosts []*host.Host
	seen := map[address.Address]bool{}
	add := func(e *Endpoint, a address.Address) {
		if !seen[a] { // the first of several endpoints with one address counts
			seen[a] = true
			hosts = append(hosts, c.host(e, a))
		}
	}
	if c.config.Discovery == Static {
		for i := range c.config.Endpoints {
			add(&c.config.Endpoints[i], c.config.Endpoints[i].Host.Address)
		}
	}
	for _, n := range c.names {
		for _, a := range n.addresses {
			add(n.endpoint, a)
		}
	}
	c.setHosts(hosts)
}

// host returns the host with that address: the one there is, or a new one.
func (c *Cluster) host(e *Endpoint, a address.Address) *host.Host {
	if h := c.byAddress[a]; h != nil {
		return h
	}
	config := e.Host
	config.Address, config.Added = a, c.dispatcher.Now()
	return c.newHost(config)
}

// newHost makes a host. Any goroutine.
func (c *Cluster) newHost(config host.Config) *host.Host {
	config.Transport = c.config.Transports.of(config.Metadata, c.matched, c.members.matched)
	h := host.New(config)
	for p := range c.resources {
		h.SetPool(upstream.Priority(p), connpool.New(&c.pools, h, upstream.Priority(p), &c.resources[p]))
	}
	return h
}

// setHosts publishes hosts. Those that are no longer among them drain.
func (c *Cluster) setHosts(hosts []*host.Host) {
	set := host.NewSet(hosts)
	now := make(map[address.Address]*host.Host, len(hosts))
	changed := false
	for _, h := range hosts {
		now[h.Address()] = h
		changed = changed || c.byAddress[h.Address()] != h
	}
	before := c.byAddress
	c.byAddress = now
	c.hosts.Store(set)
	c.balance()
	for a, h := range before {
		if now[a] != h {
			changed = true
			h.Drain()
		}
	}
	if !changed {
		return
	}
	c.members.change.Inc(stats.Any)
	total, healthy, degraded, excluded := set.Counts()
	c.members.total.Set(uint64(total))
	c.members.healthy.Set(uint64(healthy))
	c.members.degraded.Set(uint64(degraded))
	c.members.excluded.Set(uint64(excluded))
}

// balance gives the hosts to the balancer, again and again while some start slowly.
func (c *Cluster) balance() {
	if c.balancer.Update(c.hosts.Load(), c.dispatcher.Now()) {
		c.slowStart.Enable(max(c.config.Balancing.SlowStart.Window/slowStartSteps, minSlowStartStep))
	}
}

// close removes all hosts. Requests that are under way go on.
func (c *Cluster) close() {
	c.closed, c.ready = true, nil
	for _, n := range c.names {
		n.timer.Disable()
	}
	c.slowStart.Disable()
	if c.destinations != nil {
		c.destinations.cleanup.Disable()
	}
	c.balancer.Update(host.NewSet(nil), c.dispatcher.Now())
	c.hosts.Store(host.NewSet(nil))
	for _, h := range c.byAddress {
		h.Drain()
	}
	c.byAddress = nil
	for p := range c.resources {
		r := &c.resources[p]
		for _, one := range []*upstream.Resource{&r.Connections, &r.PendingRequests, &r.Requests, &r.Retries} {
			one.Close()
		}
	}
	c.config.Discard()
	c.stats.NamedResponses.Close()
	c.stats.GRPC.Close()
	for _, s := range c.scopes {
		s.Close()
	}
}

// Name implements upstream.Cluster.
func (c *Cluster) Name() string { return c.info.Name }

// Info implements upstream.Cluster.
func (c *Cluster) Info() *upstream.Info { return &c.info }

// Stats implements upstream.Cluster.
func (c *Cluster) Stats() *upstream.Stats { return c.stats }

// Resources implements upstream.Cluster.
func (c *Cluster) Resources(p upstream.Priority) *upstream.Resources { return &c.resources[p] }

// choose picks a host, nil if there is none.
func (c *Cluster) choose(d event.Dispatcher, pick *upstream.Pick) *host.Host {
	if c.destinations != nil {
		return c.destinations.pick(d.Now(), pick, d.Shard())
	}
	return c.balancer.Pick(d, pick)
}

// NewStream implements upstream.Cluster.
func (c *Cluster) NewStream(d event.Dispatcher, pick *upstream.Pick, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel {
	pick.Host = nil
	chosen := c.choose(d, pick)
	if chosen == nil {
		c.stats.UpstreamCxNoneHealthy.Inc(d.Shard())
		cb.OnStreamFailure(upstream.NoHealthyHost, "", nil)
		return nil
	}
	pick.Host = chosen
	c.preconnect(d, pick)
	c.askTransport(pick)
	return chosen.Pool(pick.Priority).NewStream(d, pick, h, cb)
}

// NewConnection implements upstream.Cluster.
func (c *Cluster) NewConnection(d event.Dispatcher, pick *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	pick.Host = nil
	chosen := c.choose(d, pick)
	if chosen == nil {
		c.stats.UpstreamCxNoneHealthy.Inc(d.Shard())
		cb.OnConnectionFailure(upstream.NoHealthyHost, "", nil)
		return nil
	}
	pick.Host = chosen
	c.preconnect(d, pick)
	c.askTransport(pick)
	return chosen.Pool(pick.Priority).NewConnection(d, pick, cb)
}

// Health implements upstream.Cluster.
func (c *Cluster) Health() (total, healthy, degraded int) {
	total, healthy, degraded, _ = c.hosts.Load().Counts()
	return total, healthy, degraded
}
