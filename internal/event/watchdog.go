package event

import (
	"context"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Watched is a loop under a watchdog, with the counters of its misses.
type Watched struct {
	Loop *Loop
	// Miss and MegaMiss are all incremented for a turn that runs longer than the
	// threshold, once per turn.
	Miss, MegaMiss []*stats.Counter
}

// A Watchdog counts turns of loops that run long. A loop that sleeps costs and
// counts nothing.
type Watchdog struct {
	miss, megaMiss time.Duration
	watched        []watched
}

type watched struct {
	Watched
	since              int64 // the turn that the flags are about
	missed, megaMissed bool
}

// NewWatchdog returns a watchdog with the thresholds; 0 turns one off.
func NewWatchdog(miss, megaMiss time.Duration, loops []Watched) *Watchdog {
	w := &Watchdog{miss: miss, megaMiss: megaMiss}
	for _, l := range loops {
		w.watched = append(w.watched, watched{Watched: l})
	}
	return w
}

// Run watches until ctx ends. It is called once, on a goroutine of its own.
func (w *Watchdog) Run(ctx context.Context) {
	interval := w.miss
	if interval <= 0 || w.megaMiss > 0 && w.megaMiss < interval {
		interval = w.megaMiss
	}
	if interval <= 0 {
		return
	}
	ticks := time.NewTicker(max(interval/2, time.Millisecond))
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			w.check(now)
		}
	}
}

func (w *Watchdog) check(now time.Time) {
	for i := range w.watched {
		l := &w.watched[i]
		since := l.Loop.busySince.Load()
		if since == 0 {
			continue
		}
		if since != l.since {
			l.since, l.missed, l.megaMissed = since, false, false
		}
		busy := now.Sub(l.Loop.start) - time.Duration(since)
		count(busy, w.miss, &l.missed, l.Miss)
		count(busy, w.megaMiss, &l.megaMissed, l.MegaMiss)
	}
}

func count(busy, limit time.Duration, counted *bool, counters []*stats.Counter) {
	if limit <= 0 || busy <= limit || *counted {
		return
	}
	*counted = true
	for _, c := range counters {
		c.Inc(stats.Any)
	}
}
