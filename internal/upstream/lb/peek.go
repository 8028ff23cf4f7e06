package lb

import (
	"slices"

	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// peeks are the random numbers that a worker has drawn to see what its next picks are
// going to be. These get them, in the same order. It is the Source of both.
type peeks struct {
	Source
	peeking bool
	drawn   []uint64
}

// replay returns the Source of a pick.
func (p *peeks) replay(src Source) *peeks {
	p.Source, p.peeking = src, false
	return p
}

// peek returns the Source of a peek.
func (p *peeks) peek(src Source) *peeks {
	p.Source, p.peeking = src, true
	return p
}

// Random implements Source.
func (p *peeks) Random() uint64 {
	if p.peeking {
		p.drawn = append(p.drawn, p.Source.Random())
		return p.drawn[len(p.drawn)-1]
	}
	if len(p.drawn) == 0 {
		return p.Source.Random()
	}
	n := p.drawn[0]
	p.drawn = slices.Delete(p.drawn, 0, 1)
	return n
}

// maxPeeks bounds how far localities are seen ahead.
const maxPeeks = 16

// Peek returns the host that is likely to be picked next, after those that earlier calls
// returned; nil if that cannot be told, or if there were as many calls as there are
// hosts. As in Envoy, round robin and random choices can be told. On the worker of src;
// Config.Shards must have been set.
func (b *Balancer) Peek(src Source) *host.Host {
	p := b.peeks[src.Shard()].peek(src)
	s := b.state.Load()
	if b.config.Policy != RoundRobin && b.config.Policy != Random || len(p.drawn) >= s.hosts() {
		return nil
	}
	to := s.choose(p, nil)
	if to == nil {
		return nil
	}
	l, k := &s.levels[to.level], to.kind
	if l.panic {
		k = all
	}
	g := &l.groups[k]
	if z := &l.zones[min(k, degraded)]; k != all && len(z.groups) > 0 {
		i, ok := z.circle.peek(maxPeeks)
		if !ok {
			return nil
		}
		g = &z.groups[i]
	}
	if b.config.Policy == RoundRobin {
		if i, ok := g.circle.peek(len(g.hosts)); ok {
			return g.hosts[i]
		}
		return nil
	}
	if len(g.hosts) == 0 {
		return nil
	}
	return g.hosts[p.Random()%uint64(len(g.hosts))]
}

func (s *state) hosts() int {
	n := 0
	for i := range s.levels {
		n += len(s.levels[i].groups[all].hosts)
	}
	return n
}

// peek returns whose turn is the next one that was not peeked at. It reports false if
// most turns that are still to come were.
func (c *circle) peek(most int) (int, bool) {
	next := c.cursor.next.Load()
	n := max(c.cursor.seen.Load(), next)
	if n-next >= uint64(most) {
		return 0, false
	}
	c.cursor.seen.Store(n + 1)
	return c.turn(n), true
}
