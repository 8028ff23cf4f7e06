package stats

import (
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// percentScale is how Envoy records percentages: in millionths of one whole.
const percentScale = 1e6

// DefaultBuckets returns the upper bounds of the buckets in which histograms are
// exported if no rule says otherwise.
func DefaultBuckets() []float64 {
	return []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
		30000, 60000, 300000, 600000, 1800000, 3600000}
}

// decade counts the values with the same number of digits by their leading two.
type decade [digitPairs]atomic.Uint64

// shardBins is what one shard recorded since the last merge. Its memory grows with
// the decades that occur and is kept, so that recording stops allocating.
type shardBins [decades]atomic.Pointer[decade]

// histogram implements stats.Histogram.
type histogram struct {
	unit   stats.Unit                  // read-only
	shards []atomic.Pointer[shardBins] // Any's last; each nil until its first value
	merged atomic.Pointer[merged]      // nil until the first value was merged; stored by merge
}

// merged is what a histogram shows to readers. It is immutable.
type merged struct {
	interval   distribution // between the last two flushes
	cumulative distribution // since the start
}

func newHistogram(shards int, unit stats.Unit) *histogram {
	return &histogram{unit: unit, shards: make([]atomic.Pointer[shardBins], shards)}
}

// Record implements stats.Histogram.
func (h *histogram) Record(shard int, value uint64) {
	if shard < 0 {
		shard = len(h.shards) - 1
	}
	d, digits := binOf(value)
	ensure(&ensure(&h.shards[shard])[d])[digits].Add(1)
}

// ensure returns what p points to, a new T if it was nil. Any's shard may be written
// from several goroutines.
func ensure[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}

// merge ends the interval. Only Store.Flush calls it, with an all-zero scratch that
// it leaves so.
func (h *histogram) merge(scratch *binCounts) {
	for i := range h.shards {
		bins := h.shards[i].Load()
		if bins == nil {
			continue
		}
		for d := range bins {
			counts := bins[d].Load()
			if counts == nil {
				continue
			}
			for digits := range counts {
				if cell := &counts[digits]; cell.Load() > 0 {
					scratch[d*digitPairs+digits] += cell.Swap(0)
				}
			}
		}
	}
	interval := distributionOf(scratch)
	before := h.merged.Load()
	switch {
	case before == nil && interval == nil:
	case before == nil:
		h.merged.Store(&merged{interval, interval})
	case interval != nil:
		h.merged.Store(&merged{interval, before.cumulative.plus(interval)})
	case before.interval != nil:
		h.merged.Store(&merged{nil, before.cumulative})
	}
}

// scale is what recorded values are multiplied with to be shown.
func (h *histogram) scale() float64 {
	if h.unit == stats.Percent {
		return 1 / percentScale
	}
	return 1
}
