package host

import (
	"cmp"
	"slices"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Set is all hosts of a cluster at one moment, by priority. It is immutable: a
// change of hosts, health or weights makes another one.
type Set struct {
	// Levels are the priorities, the first one first. A level may be empty.
	Levels []Level
}

// A Level is the hosts of one priority.
type Level struct {
	Hosts []*Host
	// Healthy and Degraded hosts get traffic; the rest is unhealthy.
	Healthy, Degraded []*Host
	// Excluded is the number of hosts that do not count when the share of available
	// ones is reckoned.
	Excluded int
	// Localities are the same hosts by where they run, in the order of the names.
	Localities []LocalityHosts
}

// LocalityHosts are the hosts of a level that run in one place. They have no
// localities below them.
type LocalityHosts struct {
	streaminfo.Locality
	Weight uint32 // Config.LocalityWeight
	Level
}

// NewSet sorts hosts by their priority and health.
func NewSet(hosts []*Host) *Set {
	s := &Set{Levels: make([]Level, 1)}
	for _, h := range hosts {
		for h.Priority() >= len(s.Levels) {
			s.Levels = append(s.Levels, Level{})
		}
		l := &s.Levels[h.Priority()]
		l.add(h)
		l.locality(h).add(h)
	}
	for i := range s.Levels {
		slices.SortFunc(s.Levels[i].Localities, func(a, b LocalityHosts) int {
			return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
		})
	}
	return s
}

// locality returns the part of the level for hosts where h runs.
func (l *Level) locality(h *Host) *LocalityHosts {
	for i := range l.Localities {
		if l.Localities[i].Locality == *h.Locality() {
			return &l.Localities[i]
		}
	}
	l.Localities = append(l.Localities, LocalityHosts{Locality: *h.Locality(), Weight: h.config.LocalityWeight})
	return &l.Localities[len(l.Localities)-1]
}

func (l *Level) add(h *Host) {
	l.Hosts = append(l.Hosts, h)
	switch h.Health() {
	case Healthy:
		l.Healthy = append(l.Healthy, h)
	case Degraded:
		l.Degraded = append(l.Degraded, h)
	case Unhealthy:
	}
	if h.excluded() {
		l.Excluded++
	}
}

// Counts returns how many hosts there are, and how many of them are healthy,
// degraded and excluded.
func (s *Set) Counts() (total, healthy, degraded, excluded int) {
	for i := range s.Levels {
		l := &s.Levels[i]
		total += len(l.Hosts)
		healthy += len(l.Healthy)
		degraded += len(l.Degraded)
		excluded += l.Excluded
	}
	return total, healthy, degraded, excluded
}
