package lb

import "github.com/nuncio-proxy/nuncio/internal/upstream/host"

// distribute reckons how much of the traffic each priority gets, and which of them
// panic.
//
// A priority is as available as its share of healthy hosts, times the
// overprovisioning factor, up to 100 %. Healthy hosts of the first priority are
// filled first, then those of the next; then degraded ones in the same order. If
// all priorities together cannot take 100 %, what they can take is scaled up.
func (s *state) distribute(set *host.Set, c Config) {
	n := len(set.Levels)
	available := [2][]uint32{make([]uint32, n), make([]uint32, n)} // healthy, degraded
	var total uint32
	for i := range set.Levels {
		l := &set.Levels[i]
		count := len(l.Hosts) - l.Excluded
		available[healthy][i] = availability(len(l.Healthy), count, c.OverprovisioningFactor)
		available[degraded][i] = availability(len(l.Degraded), count, c.OverprovisioningFactor)
		total += available[healthy][i] + available[degraded][i]
	}
	if s.panics(set, total, c) {
		s.byHosts(set)
		return
	}
	left := uint32(100)
	for k, percents := range available {
		for i, percent := range percents {
			load := min(left, percent*100/min(total, 100))
			left -= load
			if load > 0 {
				s.loads = append(s.loads, share{i, kind(k), load})
			}
		}
	}
	s.loads[0].percent += left // what rounding left over
}

// availability returns the percentage of the whole traffic that so many of a
// priority's hosts can take.
func availability(hosts, of int, factor uint32) uint32 {
	if of <= 0 {
		return 0
	}
	return uint32(min(100, uint64(factor)*uint64(hosts)/uint64(of)))
}

// panics marks the priorities that have too few available hosts. It reports whether
// there is nobody left who does not panic. While the priorities together can take
// all traffic, none panics.
func (s *state) panics(set *host.Set, total uint32, c Config) (every bool) {
	if total >= 100 {
		return false
	}
	every = true
	threshold := c.PanicThreshold()
	for i := range set.Levels {
		l := &set.Levels[i]
		count := len(l.Hosts) - l.Excluded
		percent := 0.0
		if count > 0 {
			percent = 100 * float64(len(l.Healthy)+len(l.Degraded)) / float64(count)
		}
		s.levels[i].panic = threshold > 0 && percent < threshold
		every = every && s.levels[i].panic
	}
	return every || total == 0
}

// byHosts gives each priority its share of the number of hosts.
func (s *state) byHosts(set *host.Set) {
	total, _, _, _ := set.Counts()
	left := uint32(100)
	for i := range set.Levels {
		n := len(set.Levels[i].Hosts)
		if n == 0 || !s.levels[i].panic {
			continue
		}
		load := uint32(100 * uint64(n) / uint64(total))
		left -= load
		s.loads = append(s.loads, share{i, all, load})
	}
	if len(s.loads) > 0 {
		s.loads[0].percent += left
	}
}
