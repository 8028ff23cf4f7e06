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
	a := &availability{kinds: [2][]uint32{make([]uint32, n), make([]uint32, n)}, total: make([]uint32, n)}
	var total uint32
	for i := range set.Levels {
		l := &set.Levels[i]
		count := len(l.Hosts) - l.Excluded
		a.kinds[healthy][i] = available(len(l.Healthy), count, c.OverprovisioningFactor)
		a.kinds[degraded][i] = available(len(l.Degraded), count, c.OverprovisioningFactor)
		a.total[i] = min(100, a.kinds[healthy][i]+a.kinds[degraded][i])
		total += a.kinds[healthy][i] + a.kinds[degraded][i]
	}
	if s.panics(set, total, c) {
		s.byHosts(set)
		return
	}
	s.available, s.loads = a, a.spread()
}

// An availability is how much of the whole traffic, in percent, the healthy and the
// degraded hosts of each priority can take, and both together.
type availability struct {
	kinds [2][]uint32
	total []uint32
}

// spread hands the traffic out; nobody gets any if everything is zero.
func (a *availability) spread() []share {
	var total uint32
	for _, percents := range a.kinds {
		for _, percent := range percents {
			total += percent
		}
	}
	if total == 0 {
		return nil
	}
	left := uint32(100)
	var loads []share
	for k, percents := range a.kinds {
		for i, percent := range percents {
			load := min(left, percent*100/min(total, 100))
			left -= load
			if load > 0 {
				loads = append(loads, share{i, kind(k), load})
			}
		}
	}
	loads[0].percent += left // what rounding left over
	return loads
}

// limit returns the availability with other totals, of which healthy hosts take what
// they can, and degraded ones the rest.
func (a *availability) limit(totals []uint32) *availability {
	changed := &availability{kinds: [2][]uint32{make([]uint32, len(totals)), make([]uint32, len(totals))}}
	for i, total := range totals {
		total = min(100, total)
		rest := min(total-min(total, a.kinds[healthy][i]), a.kinds[degraded][i])
		changed.kinds[healthy][i], changed.kinds[degraded][i] = total-rest, rest
	}
	return changed
}

// available returns the percentage of the whole traffic that so many of a priority's
// hosts can take.
func available(hosts, of int, factor uint32) uint32 {
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

// byHosts gives each priority its share of the number of hosts. If there are none, the
// first one gets all, so that its panic is counted.
func (s *state) byHosts(set *host.Set) {
	total, _, _, _ := set.Counts()
	if total == 0 {
		s.loads = []share{{0, all, 100}}
		return
	}
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
