package lb

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// maglev is a table of fixed size that hosts fill in turns, each in an order of its
// own: the hosts' parts are nearly exact, and few entries move when hosts change. The
// paper is "Maglev: A Fast and Reliable Software Network Load Balancer".
type maglev []uint32

// A claim is a host while the table is filled: its next wish is entry
// offset + taken*skip.
type claim struct {
	key                 string
	host                uint32
	offset, skip, taken uint64
	weight, due         float64
	entries             uint64
}

// newMaglev fills the table in Envoy's order: the same hashes go to the same hosts.
func newMaglev(hosts []weighted, c *Hash) maglev {
	claims, heaviest := newClaims(hosts, c)
	const free = ^uint32(0)
	m := make(maglev, c.TableSize)
	for i := range m {
		m[i] = free
	}
	for round, filled := 1, uint64(0); filled < c.TableSize; round++ {
		for i := 0; i < len(claims) && filled < c.TableSize; i++ {
			h := &claims[i]
			if float64(round)*h.weight < h.due {
				continue // lighter hosts sit rounds out
			}
			h.due += heaviest
			at := h.next(c.TableSize)
			for m[at] != free {
				at = h.next(c.TableSize)
			}
			m[at] = h.host
			h.entries++
			filled++
		}
	}
	fewest, most := c.TableSize, uint64(0)
	for i := range claims {
		fewest, most = min(fewest, claims[i].entries), max(most, claims[i].entries)
	}
	c.MinPerHost.Set(fewest)
	c.MaxPerHost.Set(most)
	return m
}

// newClaims returns the hosts in the order of their keys, in which they take turns.
func newClaims(hosts []weighted, c *Hash) (claims []claim, heaviest float64) {
	claims = make([]claim, len(hosts))
	for i := range hosts {
		key := hashKey(hosts[i].host, c.UseHostname)
		seeded := xxhash.NewWithSeed(1)
		_, _ = seeded.WriteString(key) // never fails
		claims[i] = claim{
			key: key, host: uint32(i), weight: hosts[i].weight,
			offset: xxhash.Sum64String(key) % c.TableSize,
			skip:   seeded.Sum64()%(c.TableSize-1) + 1,
		}
		heaviest = max(heaviest, hosts[i].weight)
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.key, b.key) })
	return claims, heaviest
}

// next returns the next wish.
func (c *claim) next(size uint64) uint64 {
	at := (c.offset + c.skip*c.taken) % size
	c.taken++
	return at
}

// index implements table. Another attempt changes most bits of the hash.
func (m maglev) index(hash uint64, attempt int) int {
	return int(m[(hash^-uint64(attempt))%uint64(len(m))])
}
