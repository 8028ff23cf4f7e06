package lb

import (
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// precision is what weights of localities are multiplied by, to be whole numbers
// after their share is taken.
const precision = 10000

// zones are the localities of a priority that get traffic, each with its hosts of one
// kind.
type zones struct {
	groups []group
	circle circle
}

// next returns the hosts of the locality whose turn it is.
func (z *zones) next() *group { return &z.groups[z.circle.next()] }

// zones returns the localities with a weight and hosts of the kind. A locality keeps
// its weight while the share of its hosts of that kind, times the overprovisioning
// factor, is everything.
func (b *Balancer) zones(l *host.Level, level int, k kind, w *weigher) zones {
	var z zones
	var weights []uint64
	for i := range l.Localities {
		from := &l.Localities[i]
		hosts := ofKind(&from.Level, k)
		count := len(from.Hosts) - from.Excluded
		if count <= 0 {
			continue
		}
		share := min(1, float64(b.config.OverprovisioningFactor)/100*float64(len(hosts))/float64(count))
		if weight := uint64(precision * float64(from.Weight) * share); weight > 0 {
			weights = append(weights, weight)
			z.groups = append(z.groups, newGroup(hosts, w, b.cursor(place{level, k, inLocality, from.Locality})))
		}
	}
	z.circle = newCircle(weights, b.cursor(place{level: level, kind: k, part: localities}))
	return z
}

func ofKind(l *host.Level, k kind) []*host.Host {
	switch k {
	case healthy:
		return l.Healthy
	case degraded:
		return l.Degraded
	default:
		return l.Hosts
	}
}

// normalize returns the hosts of a kind with weights that add up to 1: by localities
// first, if they are weighted. A locality without a weight gets nothing.
func (c *Config) normalize(l *host.Level, k kind) []weighted {
	if !c.LocalityWeighted {
		return appendWeighted(nil, ofKind(l, k), 1)
	}
	var sum uint64
	for i := range l.Localities {
		sum += uint64(l.Localities[i].Weight)
	}
	var parts []weighted
	for i := range l.Localities {
		if from := &l.Localities[i]; from.Weight > 0 {
			parts = appendWeighted(parts, ofKind(&from.Level, k), float64(from.Weight)/float64(sum))
		}
	}
	return parts
}

func appendWeighted(parts []weighted, hosts []*host.Host, share float64) []weighted {
	var sum uint64
	for _, h := range hosts {
		sum += uint64(h.Weight())
	}
	for _, h := range hosts {
		parts = append(parts, weighted{h, float64(h.Weight()) * share / float64(sum)})
	}
	return parts
}
