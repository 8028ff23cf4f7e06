package lb

import (
	"math"
	"sync"
)

// bounds keeps hosts from more than their part of the requests: what comes on top
// goes to others, in an order that the hash alone decides. The papers are
// arxiv.org/abs/1608.01350 and arxiv.org/abs/1908.08762; order and rounding are
// Envoy's.
type bounds struct {
	hosts  []weighted
	factor uint32
	active func() uint64
	orders sync.Pool // of *[]uint32, one for each host
}

func newBounds(hosts []weighted, c *Hash) *bounds {
	b := &bounds{hosts: hosts, factor: c.BalanceFactor, active: c.ActiveRequests}
	b.orders.New = func() any {
		order := make([]uint32, len(hosts))
		return &order
	}
	return b
}

// index returns first, or another host if that has too many requests: the first one
// in the hash's order that has not, else the one that is least over its bound.
func (b *bounds) index(first int, hash uint64) int {
	total := uint32(b.active())
	slots := float64(((total+1)*b.factor + 99) / 100)
	least := b.load(first, slots)
	if least <= 1 {
		return first
	}
	order := b.orders.Get().(*[]uint32)
	defer b.orders.Put(order)
	for i := range *order {
		(*order)[i] = uint32(i)
	}
	random := newTwister(uint32(hash))
	best := first
	for i := range *order {
		rest := (*order)[i:]
		j := random.below(uint32(len(rest)))
		rest[0], rest[j] = rest[j], rest[0]
		other := int(rest[0])
		if other == first {
			continue
		}
		load := b.load(other, slots)
		if load <= 1 {
			return other
		}
		if load < least {
			best, least = other, load
		}
	}
	return best
}

// load is the requests of a host divided by its bound.
func (b *bounds) load(i int, slots float64) float64 {
	h := &b.hosts[i]
	return float64(h.host.Stats().RqActive.Load()) / max(1, math.Ceil(slots*h.weight))
}

// A twister is MT19937, the Mersenne Twister of C++: bounds draws from it as Envoy
// does.
type twister struct {
	state [624]uint32
	next  int
}

func newTwister(seed uint32) twister {
	t := twister{}
	for i := range t.state {
		t.state[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return t
}

// number returns the next number. Of the state, only the words that it needs are
// renewed.
func (t *twister) number() uint32 {
	const upper, lower, n = 1 << 31, 1<<31 - 1, len(t.state)
	i := t.next % n
	t.next++
	y := t.state[i]&upper | t.state[(i+1)%n]&lower
	y = t.state[(i+397)%n] ^ y>>1 ^ y&1*0x9908b0df
	t.state[i] = y
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below returns a number from 0 to n-1, each as likely as the others.
func (t *twister) below(n uint32) uint32 {
	width := uint64(1<<32) / uint64(n)
	for {
		if x := uint64(t.number()) / width; x < uint64(n) {
			return uint32(x)
		}
	}
}
