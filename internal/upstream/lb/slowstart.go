package lb

import (
	"math"
	"time"

	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// SlowStart gives a host that is new less than its weight: the part of the Window that
// has passed, to the power of 1/Aggression, and at least MinWeight.
type SlowStart struct {
	Window     time.Duration
	Aggression func() float64 // any goroutine
	MinWeight  float64        // from 0 to 1
}

// weigher weighs hosts at one moment.
type weigher struct {
	slow *SlowStart // nil for none
	now  time.Time
	any  bool // a host starts slowly
}

// weights returns the weights of hosts, relative to each other.
func (w *weigher) weights(hosts []*host.Host) []uint64 {
	weights := make([]uint64, len(hosts))
	for i, h := range hosts {
		weights[i] = uint64(h.Weight())
	}
	if w.slow == nil {
		return weights
	}
	for i, h := range hosts {
		factor := 1.0
		if h.Health() == host.Healthy {
			factor = w.factor(h)
		}
		weights[i] = max(1, uint64(precision*factor*float64(weights[i])))
	}
	return weights
}

func (w *weigher) factor(h *host.Host) float64 {
	age := w.now.Sub(h.Added())
	if age >= w.slow.Window {
		return 1
	}
	w.any = true
	passed := float64(max(age, time.Millisecond)) / float64(w.slow.Window)
	return max(w.slow.MinWeight, math.Pow(passed, 1/max(0, w.slow.Aggression())))
}
