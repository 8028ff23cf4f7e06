package connpool

import (
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Pools are the pools of one host for one routing priority: one for most clusters,
// several where requests ask for different protocols or transports. It implements
// host.Pool.
type Pools struct {
	// read-only
	config    *Config
	host      *host.Host
	resources *upstream.Resources
	perHost   int64 // limit of connections
	main      *Pool // for requests that ask for nothing in particular

	// any worker
	connections atomic.Int64 // of all pools
	others      sync.Map     // poolKey to *Pool; those that have connections
}

var _ host.Pool = (*Pools)(nil)

// A poolKey tells what the connections of a pool have in common.
type poolKey struct {
	protocol  Protocol
	transport string
	source    streaminfo.Source
}

// New returns pools without connections.
func New(c *Config, h *host.Host, p upstream.Priority, r *upstream.Resources) *Pools {
	of := &Pools{config: c, host: h, resources: r, perHost: c.MaxConnectionsPerHost[p]}
	protocol := c.Protocol
	if protocol == AsDownstream {
		protocol = HTTP1
	}
	of.main = newPool(of, protocol, nil)
	return of
}

// NewStream implements host.Pool.
func (ps *Pools) NewStream(d event.Dispatcher, pick *upstream.Pick, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel {
	return ps.pool(pick).newStream(d, h, cb)
}

// pool returns the pool for what a request asks for.
func (ps *Pools) pool(pick *upstream.Pick) *Pool {
	key := poolKey{protocol: ps.main.protocol}
	if ps.config.Protocol == AsDownstream && pick.Downstream != nil && pick.Downstream.HasVersion && pick.Downstream.Version >= httpmsg.HTTP2 {
		key.protocol = HTTP2
	}
	if pick.Transport != nil && ps.config.TransportKey != nil {
		key.transport = ps.config.TransportKey(ps.host, pick.Transport)
	}
	if pick.Downstream != nil && pick.Downstream.Source != nil {
		key.source = *pick.Downstream.Source
	}
	if key == (poolKey{protocol: ps.main.protocol}) {
		return ps.main
	}
	if p, ok := ps.others.Load(key); ok {
		return p.(*Pool)
	}
	p := newPool(ps, key.protocol, options(pick))
	// One that has no connections is forgotten: requests may ask for anything.
	p.ended = func() { ps.others.CompareAndDelete(key, p) }
	kept, _ := ps.others.LoadOrStore(key, p)
	return kept.(*Pool)
}

// options returns what a request asks of its connection; nil for nothing.
func options(pick *upstream.Pick) *transport.Options {
	if pick.Downstream == nil || pick.Downstream.Source == nil {
		return pick.Transport
	}
	var o transport.Options
	if pick.Transport != nil {
		o = *pick.Transport
	}
	o.Source = pick.Downstream.Source
	return &o
}

// Drain implements host.Pool.
func (ps *Pools) Drain() {
	ps.main.drain()
	ps.others.Range(func(_, p any) bool {
		p.(*Pool).drain()
		return true
	})
}
