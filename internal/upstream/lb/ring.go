package lb

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// A ring is a circle of hashes: each host has entries on it, in number by its weight,
// and a request goes to the host of the next entry behind its hash.
type ring struct {
	hashes []uint64 // sorted
	hosts  []uint32 // by the same index
}

// newRing hashes "<key>_<i>" for each entry i of each host, as Envoy does: the same
// hashes go to the same hosts. There are as many entries as give the lightest host a
// whole number of them and are at least MinRingSize, but at most MaxRingSize; where
// a host's number is not whole, running sums decide which get one more.
func newRing(hosts []weighted, c *Hash) *ring {
	lightest := 1.0
	for i := range hosts {
		lightest = min(lightest, hosts[i].weight)
	}
	scale := min(math.Ceil(lightest*float64(c.MinRingSize))/lightest, float64(c.MaxRingSize))
	size := uint64(math.Ceil(scale))
	type entry struct {
		hash uint64
		host uint32
	}
	entries := make([]entry, 0, size)
	fewest, most := size, uint64(0)
	var key []byte
	var target float64
	for i := range hosts {
		key = append(append(key[:0], hashKey(hosts[i].host, c.UseHostname)...), '_')
		prefix := len(key)
		target += float64(scale * hosts[i].weight) // not fused: the sum is the same on all machines
		n := uint64(0)
		for ; float64(len(entries)) < target; n++ {
			key = strconv.AppendUint(key[:prefix], n, 10)
			entries = append(entries, entry{c.sum(key), uint32(i)})
		}
		fewest, most = min(fewest, n), max(most, n)
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	r := &ring{make([]uint64, len(entries)), make([]uint32, len(entries))}
	for i, e := range entries {
		r.hashes[i], r.hosts[i] = e.hash, e.host
	}
	c.Size.Set(size)
	c.MinPerHost.Set(fewest)
	c.MaxPerHost.Set(most)
	return r
}

func (c *Hash) sum(key []byte) uint64 {
	if c.Murmur {
		return murmur(key)
	}
	return xxhash.Sum64(key)
}

// index implements table. Another attempt takes the next entry.
func (r *ring) index(hash uint64, attempt int) int {
	i := sort.Search(len(r.hashes), func(i int) bool { return hash <= r.hashes[i] })
	return int(r.hosts[(i%len(r.hashes)+attempt)%len(r.hashes)])
}

// murmur is the 64-bit MurmurHash 2 with the seed of the GNU C++ library's std::hash.
func murmur(data []byte) uint64 {
	const seed, factor, shift = 0xc70f6907, 0xc6a4a7935bd1e995, 47
	mix := func(v uint64) uint64 { return v ^ v>>shift }
	h := seed ^ uint64(len(data))*factor
	for ; len(data) >= 8; data = data[8:] {
		h = (h ^ mix(binary.LittleEndian.Uint64(data)*factor)*factor) * factor
	}
	if len(data) > 0 {
		var rest uint64
		for i := len(data) - 1; i >= 0; i-- {
			rest = rest<<8 | uint64(data[i])
		}
		h = (h ^ rest) * factor
	}
	return mix(mix(h) * factor)
}
