package lb

import (
	"math"
	"math/bits"
	"sort"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// golden is the golden ratio's fraction: multiples of it spread over a circle more
// evenly than those of any other number.
const golden = 0.6180339887498949

// A group is hosts that share traffic by their weights.
//
// Weighted round robin sees the hosts as arcs of a circle, as long as their weights,
// and walks around in steps of about the golden ratio. The step has no divisor in
// common with the length W of the circle, so any W picks in a row hit each host
// exactly as often as its weight says, and nearly evenly in between: a smooth
// schedule with one atomic addition per pick, for any number of workers.
type group struct {
	hosts  []*host.Host
	ends   []uint64 // the weights added up; nil if all are equal
	step   uint64
	cursor *atomic.Uint64 // of round robin; lives as long as the balancer
}

func newGroup(hosts []*host.Host, cursor *atomic.Uint64) group {
	g := group{hosts: hosts, cursor: cursor}
	ends := make([]uint64, len(hosts))
	var circle, divisor uint64
	equal := true
	for i, h := range hosts {
		w := uint64(h.Weight())
		equal = equal && w == uint64(hosts[0].Weight())
		circle += w
		ends[i] = circle
		divisor = gcd(w, divisor)
	}
	if equal {
		return g
	}
	for i := range ends {
		ends[i] /= divisor
	}
	circle /= divisor
	g.ends, g.step = ends, evenStep(circle)
	return g
}

// evenStep returns a step, without a divisor in common with circle, whose multiples
// spread evenly: of some candidates about the golden ratio, the one for which the
// quotients in Euclid's algorithm stay smallest.
func evenStep(circle uint64) uint64 {
	const candidates = 64
	first := uint64(float64(circle)*golden) + 1
	first -= min(first-1, candidates/2)
	best, least := uint64(1), circle
	for step := first; step < min(circle, first+candidates); step++ {
		var sum uint64
		a, b := circle, step
		for b != 0 {
			sum += a / b
			a, b = b, a%b
		}
		if a == 1 && sum < least {
			best, least = step, sum
		}
	}
	return best
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// next is round robin. The group is not empty.
func (g *group) next() *host.Host {
	n := g.cursor.Add(1) - 1
	if g.ends == nil {
		return g.hosts[n%uint64(len(g.hosts))]
	}
	circle := g.ends[len(g.ends)-1]
	high, low := bits.Mul64(n%circle, g.step)
	return g.at(bits.Rem64(high, low, circle))
}

// at returns the host with a place on the circle.
func (g *group) at(place uint64) *host.Host {
	return g.hosts[sort.Search(len(g.ends), func(i int) bool { return place < g.ends[i] })]
}

// random returns a host with the probability that its weight gives it.
func (g *group) random(src Source) *host.Host {
	if g.ends == nil {
		return g.hosts[src.Random()%uint64(len(g.hosts))]
	}
	return g.at(src.Random() % g.ends[len(g.ends)-1])
}

// leastRequest draws some hosts and takes the one with the fewest active requests,
// in proportion to its weight. Envoy draws weighted hosts from a schedule per worker
// in which active requests lower the weight; comparing drawn hosts comes to similar
// shares, and needs no schedule that workers would have to lock.
func (g *group) leastRequest(src Source, choices int, bias func() float64) *host.Host {
	exponent := 1.0
	if g.ends != nil {
		exponent = bias()
	}
	best := g.random(src)
	for range choices - 1 {
		other := g.random(src)
		if g.load(other, exponent) < g.load(best, exponent) {
			best = other
		}
	}
	return best
}

// load is what hosts are compared by. Without a bias all are equal.
func (g *group) load(h *host.Host, bias float64) float64 {
	active := float64(h.Stats().RqActive.Load())
	if g.ends == nil || active == 0 {
		return active
	}
	switch bias {
	case 0:
		return 0
	case 1:
		return active / float64(h.Weight())
	}
	return math.Pow(active, bias) / float64(h.Weight())
}
