// Package lb picks hosts: round robin, least request, random, and by a hash with a
// ring or a Maglev table, over priorities, with health, weights and panic mode as
// Envoy has them.
//
// A Balancer's state is shared by all workers, so that its choices are exact for
// the whole process; a pick takes no lock and allocates nothing.
package lb

import (
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// A Policy is how a host is chosen among those that are equally good.
type Policy uint8

// The policies.
const (
	RoundRobin Policy = iota
	LeastRequest
	Random
	RingHash
	Maglev
)

// Config is the balancing of a cluster. The zero value is not usable: Envoy's
// defaults are 140, 50, 2 and 1. What the runtime may override is a function, which
// is called on any goroutine.
type Config struct {
	Policy Policy
	// OverprovisioningFactor is the percentage by which the healthy share of a
	// priority is multiplied before traffic spills over to the next one.
	OverprovisioningFactor uint32
	// PanicThreshold is the percentage of available hosts below which health is
	// ignored; 0 for never. Update asks for it.
	PanicThreshold func() float64
	// ChoiceCount is how many hosts least request compares, ActiveRequestBias how
	// much their requests count next to their weights; it is asked for if weights
	// differ.
	ChoiceCount       int
	ActiveRequestBias func() float64
	// FullScan has least request compare all hosts, if their weights are equal.
	FullScan bool
	Hash     Hash // of RingHash and Maglev
	// SlowStart lowers the weights of new hosts for round robin and least request; nil
	// for none.
	SlowStart *SlowStart
	// LocalityWeighted gives localities their share of a priority by their weights and
	// by how many of their hosts are available, before a host is chosen among those of
	// one. Panic takes all hosts of the priority.
	LocalityWeighted bool
	// Shards is the number of shards of dispatchers, if Peek is going to be called.
	Shards int
}

// A Balancer picks the hosts of one cluster.
type Balancer struct {
	config Config
	panics *stats.Counter
	state  atomic.Pointer[state]

	cursors map[place]*cursor // main goroutine only; the cursors themselves any
	peeks   []peeks           // by shard, of its worker
}

// place is what a round robin goes over: the hosts of a kind, its localities, or the
// hosts of one of these.
type place struct {
	level    int
	kind     kind
	part     part
	locality streaminfo.Locality
}

type part uint8

const (
	allHosts part = iota
	localities
	inLocality
)

type kind uint8

const (
	healthy kind = iota
	degraded
	all // in panic
	kinds
)

// state is what Pick reads. It is immutable but for the cursors.
type state struct {
	levels []level
	// available is the part of the traffic, in percent, that the healthy and the
	// degraded hosts of each level can take, and both together; nil if all levels panic.
	available *availability
	loads     []share // in the order in which the load is handed out
}

type level struct {
	groups [kinds]group
	zones  [2]zones    // of the healthy and the degraded hosts; empty unless weighted
	hashed *consistent // instead of groups, if a hash picks; nil without hosts
	panic  bool
}

// share is the part of the traffic, in percent, that goes to hosts of a kind.
type share struct {
	level   int
	kind    kind
	percent uint32
}

// New returns a balancer without hosts. panics is lb_healthy_panic.
func New(c Config, panics *stats.Counter) *Balancer {
	b := &Balancer{config: c, panics: panics, cursors: map[place]*cursor{}, peeks: make([]peeks, c.Shards)}
	b.Update(host.NewSet(nil), time.Time{})
	return b
}

// Update takes up hosts, their health and weights. It reports whether a host starts
// slowly: then weights change with the time, and Update is to be called again soon.
// Main goroutine.
func (b *Balancer) Update(set *host.Set, now time.Time) (slow bool) {
	w := weigher{slow: b.config.SlowStart, now: now}
	s := &state{levels: make([]level, len(set.Levels))}
	s.distribute(set, b.config)
	for i := range set.Levels {
		from, to := &set.Levels[i], &s.levels[i]
		switch {
		case !b.config.Policy.hashes():
			for k, hosts := range [kinds][]*host.Host{from.Healthy, from.Degraded, from.Hosts} {
				to.groups[k] = newGroup(hosts, &w, b.cursor(place{level: i, kind: kind(k)}))
			}
			if b.config.LocalityWeighted {
				to.zones = [2]zones{b.zones(from, i, healthy, &w), b.zones(from, i, degraded, &w)}
			}
		case to.panic:
			to.hashed = newConsistent(b.config.normalize(from, all), &b.config)
		default: // degraded hosts get nothing, as in Envoy
			to.hashed = newConsistent(b.config.normalize(from, healthy), &b.config)
		}
	}
	b.state.Store(s)
	return w.any
}

func (b *Balancer) cursor(p place) *cursor {
	c := b.cursors[p]
	if c == nil {
		c = new(cursor)
		b.cursors[p] = c
	}
	return c
}

// A Source is where a pick gets its random numbers: a Dispatcher.
type Source interface {
	Random() uint64
	Shard() int
}

// Pick chooses a host, nil if there is none. On the worker of src.
func (b *Balancer) Pick(src Source, p *upstream.Pick) *host.Host {
	if b.config.Policy.hashes() {
		return b.pickByHash(src, p)
	}
	if len(b.peeks) > 0 {
		src = b.peeks[src.Shard()].replay(src)
	}
	h := b.pick(src, p.Retry)
	if p.Retry == nil || h == nil {
		return h
	}
	for range p.Retry.MaxAttempts() {
		if !p.Retry.Reject(h) {
			break
		}
		h = b.pick(src, p.Retry)
	}
	return h
}

func (b *Balancer) pick(src Source, retry upstream.RetryHosts) *host.Host {
	s := b.state.Load()
	to := s.choose(src, retry)
	if to == nil {
		return nil
	}
	l, k := &s.levels[to.level], to.kind
	if l.panic {
		k = all
		b.panics.Inc(src.Shard())
	}
	g := &l.groups[k]
	if k != all && len(l.zones[k].groups) > 0 {
		g = l.zones[k].next()
	}
	if len(g.hosts) == 0 {
		return nil
	}
	return g.pick(src, &b.config)
}

// choose draws a share for a pick without a hash.
func (s *state) choose(src Source, retry upstream.RetryHosts) *share {
	if len(s.loads) == 1 && retry == nil {
		return &s.loads[0]
	}
	return s.share(src.Random(), retry)
}

// share chooses a level and a kind of hosts by their loads, nil if nothing has any.
// random may be a hash.
func (s *state) share(random uint64, retry upstream.RetryHosts) *share {
	loads := s.loads
	if retry != nil && s.available != nil {
		total := s.available.total
		if changed := retry.PriorityLoad(total); len(changed) == len(total) && &changed[0] != &total[0] {
			loads = s.available.limit(changed).spread()
		}
	}
	if len(loads) == 0 {
		return nil
	}
	at := uint32(random % 100)
	for i := range loads {
		if at < loads[i].percent {
			return &loads[i]
		}
		at -= loads[i].percent
	}
	return &loads[0] // not reached: the loads add up to 100
}
