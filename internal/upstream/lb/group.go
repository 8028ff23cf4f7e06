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

// A circle gives turns to things by their weights.
//
// It sees them as arcs, as long as their weights, and walks around in steps of about
// the golden ratio. The step has no divisor in common with the length W of the circle,
// so any W turns in a row go to each exactly as often as its weight says, and nearly
// evenly in between: a smooth schedule with one atomic addition per turn, for any
// number of workers.
type circle struct {
	count  int
	ends   []uint64 // the weights added up; nil if all are equal
	step   uint64
	cursor *cursor // lives as long as the balancer
}

// A cursor counts turns. Any worker.
type cursor struct {
	next atomic.Uint64
	seen atomic.Uint64 // turns before this one were peeked at, or are over
}

func newCircle(weights []uint64, cursor *cursor) circle {
	c := circle{count: len(weights), cursor: cursor}
	ends := make([]uint64, len(weights))
	var length, divisor uint64
	equal := true
	for i, w := range weights {
		equal = equal && w == weights[0]
		length += w
		ends[i] = length
		divisor = gcd(w, divisor)
	}
	if equal {
		return c
	}
	for i := range ends {
		ends[i] /= divisor
	}
	c.ends, c.step = ends, evenStep(length/divisor)
	return c
}

// next returns whose turn it is. The circle is not empty.
func (c *circle) next() int {
	return c.turn(c.cursor.next.Add(1) - 1)
}

// turn returns whose turn the nth is.
func (c *circle) turn(n uint64) int {
	if c.ends == nil {
		return int(n % uint64(c.count))
	}
	length := c.ends[len(c.ends)-1]
	high, low := bits.Mul64(n%length, c.step)
	return c.at(bits.Rem64(high, low, length))
}

// at returns the one with a place on the circle.
func (c *circle) at(place uint64) int {
	return sort.Search(len(c.ends), func(i int) bool { return place < c.ends[i] })
}

// random returns one with the probability that its weight gives it.
func (c *circle) random(src Source) int {
	if c.ends == nil {
		return int(src.Random() % uint64(c.count))
	}
	return c.at(src.Random() % c.ends[len(c.ends)-1])
}

// A group is hosts that share traffic by their weights.
type group struct {
	hosts   []*host.Host
	weights []uint64
	circle  circle
}

func newGroup(hosts []*host.Host, w *weigher, cursor *cursor) group {
	weights := w.weights(hosts)
	return group{hosts, weights, newCircle(weights, cursor)}
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

// pick chooses a host of a group that is not empty.
func (g *group) pick(src Source, c *Config) *host.Host {
	switch {
	case c.Policy == RoundRobin:
		return g.hosts[g.circle.next()]
	case c.Policy == Random:
		return g.hosts[src.Random()%uint64(len(g.hosts))]
	case c.FullScan && g.circle.ends == nil:
		return g.fullScan(src)
	}
	return g.leastRequest(src, c.ChoiceCount, c.ActiveRequestBias)
}

// fullScan returns the host with the fewest active requests, one by chance if there
// are several.
func (g *group) fullScan(src Source) *host.Host {
	var best *host.Host
	var least int64
	equals := uint64(0)
	for _, h := range g.hosts {
		active := h.Stats().RqActive.Load()
		switch {
		case best == nil || active < least:
			best, least, equals = h, active, 1
		case active == least:
			if equals++; src.Random()%equals == 0 {
				best = h
			}
		}
	}
	return best
}

// leastRequest draws some hosts and takes the one with the fewest active requests,
// in proportion to its weight. Envoy draws weighted hosts from a schedule per worker
// in which active requests lower the weight; comparing drawn hosts comes to similar
// shares, and needs no schedule that workers would have to lock.
func (g *group) leastRequest(src Source, choices int, bias func() float64) *host.Host {
	exponent := 1.0
	if g.circle.ends != nil {
		exponent = bias()
	}
	best := g.circle.random(src)
	for range choices - 1 {
		other := g.circle.random(src)
		if g.load(other, exponent) < g.load(best, exponent) {
			best = other
		}
	}
	return g.hosts[best]
}

// load is what hosts are compared by. Without a bias all are equal.
func (g *group) load(i int, bias float64) float64 {
	active := float64(g.hosts[i].Stats().RqActive.Load())
	if g.circle.ends == nil || active == 0 {
		return active
	}
	switch bias {
	case 0:
		return 0
	case 1:
		return active / float64(g.weights[i])
	}
	return math.Pow(active, bias) / float64(g.weights[i])
}
