// Package host holds the endpoints of a cluster: their addresses, health and
// counts, and the immutable sets of them that load balancers pick from.
package host

import (
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Config describes a host.
type Config struct {
	Address  address.Address
	Hostname string
	Weight   uint32 // 0 counts as 1
	Priority int    // that of the host's locality, 0 the first
	Locality streaminfo.Locality
	// LocalityWeight is the share of traffic of the locality, relative to the others of
	// the same priority, where localities are balanced by weight; 0 for none.
	LocalityWeight   uint32
	LocalityMetadata map[string]*structpb.Struct
	// Added is when the host came into the cluster.
	Added    time.Time
	Metadata map[string]*structpb.Struct
	// Health holds the flags that the configuration gives.
	Health HealthFlags
	// Transport makes the transports of connections to the host; nil for plain ones.
	Transport transport.ClientFactory
}

// Stats counts what happens with a host, exactly and for the whole process. Any
// goroutine.
type Stats struct {
	CxActive, RqActive, RqPendingActive atomic.Int64

	CxConnectFail, CxTotal, RqError, RqSuccess, RqTimeout, RqTotal atomic.Uint64
}

// A Pool makes streams and connections to one host, for one routing priority.
type Pool interface {
	// NewStream and NewConnection are those of upstream.Cluster, for this host. They
	// are called on the worker of d.
	NewStream(d event.Dispatcher, pick *upstream.Pick, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel
	NewConnection(d event.Dispatcher, pick *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel
	// Preconnect makes a connection for a request like pick that is expected, if there are
	// not enough for ratio times the requests there are, and it. It reports whether it did.
	// It is called on the worker of d.
	Preconnect(d event.Dispatcher, pick *upstream.Pick, ratio float64) bool
	// Drain says that the host is gone: idle connections close at once, the others
	// when their request is done. Any goroutine.
	Drain()
}

// A Host is one endpoint. It is the same object as long as the endpoint exists, and
// implements upstream.Host. Any goroutine.
type Host struct {
	config Config // immutable but for what has its own field below
	canary bool
	pools  [2]Pool // by upstream.Priority; set before the host is published

	address atomic.Pointer[address.Address]
	weight  atomic.Uint32
	health  atomic.Uint32
	stats   Stats
}

// New returns a host without pools.
func New(c Config) *Host {
	h := &Host{config: c, canary: c.Metadata["envoy.lb"].GetFields()["canary"].GetBoolValue()}
	h.SetAddress(c.Address)
	h.SetWeight(c.Weight)
	h.health.Store(uint32(c.Health))
	return h
}

// SetPool gives the host its pool for a priority. The cluster calls it before it
// publishes the host.
func (h *Host) SetPool(p upstream.Priority, pool Pool) { h.pools[p] = pool }

// Pool returns the pool for a priority.
func (h *Host) Pool(p upstream.Priority) Pool { return h.pools[p] }

// Drain drains the pools. The cluster calls it when it removed the host.
func (h *Host) Drain() {
	for _, p := range h.pools {
		if p != nil {
			p.Drain()
		}
	}
}

// Address implements upstream.Host.
func (h *Host) Address() address.Address { return *h.address.Load() }

// SetAddress changes the address of a logical host: connections that are made from
// now on go there, those that exist stay.
func (h *Host) SetAddress(a address.Address) { h.address.Store(&a) }

// Hostname implements upstream.Host.
func (h *Host) Hostname() string { return h.config.Hostname }

// Canary implements upstream.Host: metadata envoy.lb has canary set.
func (h *Host) Canary() bool { return h.canary }

// Locality implements upstream.Host.
func (h *Host) Locality() *streaminfo.Locality { return &h.config.Locality }

// LocalityMetadata implements upstream.Host.
func (h *Host) LocalityMetadata() map[string]*structpb.Struct { return h.config.LocalityMetadata }

// Metadata implements upstream.Host.
func (h *Host) Metadata() map[string]*structpb.Struct { return h.config.Metadata }

// Transport returns what makes the transports of connections to the host, nil for plain
// ones.
func (h *Host) Transport() transport.ClientFactory { return h.config.Transport }

// RecordResponse implements upstream.Host.
func (h *Host) RecordResponse(_ int, status int, failed bool) {
	if failed || status >= 500 {
		h.stats.RqError.Add(1)
		return
	}
	h.stats.RqSuccess.Add(1)
}

// RecordTimeout implements upstream.Host.
func (h *Host) RecordTimeout(int) { h.stats.RqTimeout.Add(1) }

// Stats returns the counts of the host.
func (h *Host) Stats() *Stats { return &h.stats }

// LocalityWeight returns the weight of where the host runs, 0 for none.
func (h *Host) LocalityWeight() uint32 { return h.config.LocalityWeight }

// Added returns when the host came into the cluster.
func (h *Host) Added() time.Time { return h.config.Added }

// Priority implements upstream.Host.
func (h *Host) Priority() int { return h.config.Priority }

// Weight returns the share of traffic, relative to the other hosts.
func (h *Host) Weight() uint32 { return h.weight.Load() }

// SetWeight changes the weight; the next Set takes it up.
func (h *Host) SetWeight(w uint32) { h.weight.Store(max(w, 1)) }
