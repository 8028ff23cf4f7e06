package lb

import (
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Hash is the configuration of the consistent-hashing policies, RingHash and Maglev.
type Hash struct {
	// MinRingSize and MaxRingSize bound the entries of a ring, which are hashed with
	// MurmurHash 2 if Murmur is set, else with xxHash. TableSize is the number of
	// entries of a Maglev table, a prime.
	MinRingSize, MaxRingSize uint64
	Murmur                   bool
	TableSize                uint64
	// UseHostname hashes hosts by their names instead of their addresses.
	UseHostname bool
	// BalanceFactor is the load of a host, in percent of the average, from which on
	// requests go to another one; 0 for no limit. ActiveRequests returns the requests of
	// the whole cluster, on any goroutine.
	BalanceFactor  uint32
	ActiveRequests func() uint64
	// Size is nil for Maglev.
	Size, MinPerHost, MaxPerHost *stats.Gauge
}

// hashes reports whether the policy picks hosts by a hash.
func (p Policy) hashes() bool { return p == RingHash || p == Maglev }

// weighted is a host with its part of the traffic. All parts add up to 1.
type weighted struct {
	host   *host.Host
	weight float64
}

// consistent maps hashes to hosts, so that few hashes move when the hosts change. It
// is immutable.
type consistent struct {
	hosts  []weighted
	table  table
	bounds *bounds // nil for none
}

// A table maps hashes to indexes of hosts. attempt counts the hosts that were turned
// down before.
type table interface {
	index(hash uint64, attempt int) int
}

// newConsistent returns the map over hosts, nil if there are none, or no entries.
func newConsistent(hosts []weighted, c *Config) *consistent {
	if len(hosts) == 0 || c.Policy == RingHash && c.Hash.MinRingSize == 0 {
		return nil
	}
	m := &consistent{hosts: hosts}
	if c.Policy == RingHash {
		m.table = newRing(hosts, &c.Hash)
	} else {
		m.table = newMaglev(hosts, &c.Hash)
	}
	if c.Hash.BalanceFactor > 0 {
		m.bounds = newBounds(hosts, &c.Hash)
	}
	return m
}

// pick returns the host for a hash, nil if there is none.
func (m *consistent) pick(hash uint64, attempt int) *host.Host {
	if m == nil {
		return nil
	}
	i := m.table.index(hash, attempt)
	if m.bounds != nil {
		i = m.bounds.index(i, hash)
	}
	return m.hosts[i].host
}

// pickByHash is Pick of the consistent-hashing policies: hash and attempt decide.
func (b *Balancer) pickByHash(src Source, p *upstream.Pick) *host.Host {
	hash := p.Hash
	if !p.HasHash {
		hash = src.Random()
	}
	s := b.state.Load()
	to := s.share(hash, p.Retry)
	if to == nil {
		return nil
	}
	l := &s.levels[to.level]
	if l.panic {
		b.panics.Inc(src.Shard())
	}
	h := l.hashed.pick(hash, 0)
	if p.Retry == nil || h == nil {
		return h
	}
	for attempt := 1; attempt <= p.Retry.MaxAttempts() && p.Retry.Reject(h); attempt++ {
		h = l.hashed.pick(hash, attempt)
	}
	return h
}

// hashKey is the text that stands for a host: its metadata hash_key, else its name
// or address.
func hashKey(h *host.Host, useHostname bool) string {
	if key := h.Metadata()["envoy.lb"].GetFields()["hash_key"].GetStringValue(); key != "" {
		return key
	}
	if useHostname {
		return h.Hostname()
	}
	return h.Address().String()
}
