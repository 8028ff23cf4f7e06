package localratelimit

import (
	"slices"
	"time"

	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// A limiter holds the tokens of limits: for the whole process, or for one connection.
// Any worker.
type limiter struct {
	*limits
	main  *bucket // nil for none
	fixed []*bucket
	wild  []*dynamic
}

// A bucket is one of a limiter. In shadow mode, nothing is turned away without a
// token.
type bucket struct {
	tokenbucket.Bucket
	shadow bool
}

func newBucket(c tokenbucket.Config, shadow bool) *bucket {
	b := &bucket{shadow: shadow}
	b.Init(c)
	return b
}

// newLimiter returns full buckets.
func (l *limits) newLimiter() *limiter {
	r := &limiter{limits: l}
	if l.bucket != nil {
		r.main = newBucket(*l.bucket, false)
	}
	for i := range l.fixed {
		r.fixed = append(r.fixed, newBucket(l.fixed[i].bucket, l.fixed[i].shadow))
	}
	for i := range l.wild {
		r.wild = append(r.wild, newDynamic(&l.wild[i], l.most))
	}
	return r
}

// A hit is a bucket that a request counts against, and how.
type hit struct {
	bucket     *bucket
	descriptor *ratelimit.Descriptor
}

// A verdict is the answer to a request. bucket is the one to tell about in headers,
// nil for none.
type verdict struct {
	allowed bool
	bucket  *bucket
	headers ratelimit.HeadersOption
}

// take takes the tokens for a request: of the bucket of each descriptor, the one that
// fills slowest first, and of the default bucket. It stops at the first that has not
// enough; one in shadow mode is only remembered. hits is memory for its work, which it
// returns.
func (l *limiter) take(descriptors []ratelimit.Descriptor, hits []hit, now time.Time) (verdict, []hit) {
	hits = l.find(descriptors, hits[:0])
	v := verdict{allowed: true}
	for i := range hits {
		h := &hits[i]
		if i == 0 {
			v.bucket, v.headers = h.bucket, h.descriptor.Headers
		}
		switch {
		case h.take(now):
		case !h.bucket.shadow:
			return verdict{false, h.bucket, h.descriptor.Headers}, hits
		case v.allowed:
			v = verdict{false, h.bucket, h.descriptor.Headers}
		}
	}
	switch {
	case len(hits) > 0 && !l.always:
	case l.deny:
		return verdict{}, hits
	case l.main == nil:
	case !l.main.Take(now):
		return verdict{bucket: l.main}, hits
	case len(hits) == 0:
		v.bucket = l.main
	}
	return v, hits
}

// find appends the buckets of descriptors, sorted. A rule without wildcards comes
// before those with some; of these the first one counts.
func (l *limiter) find(descriptors []ratelimit.Descriptor, hits []hit) []hit {
	for i := range descriptors {
		d := &descriptors[i]
		if b := l.bucketOf(d.Entries); b != nil {
			hits = append(hits, hit{b, d})
		}
	}
	if len(hits) > 1 {
		slices.SortStableFunc(hits, func(a, b hit) int {
			switch x, y := a.bucket.rate(), b.bucket.rate(); {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
	}
	return hits
}

func (l *limiter) bucketOf(entries []ratelimit.Entry) *bucket {
	hash := l.hash(entries)
	for _, i := range l.index[hash] {
		if slices.Equal(l.limits.fixed[i].entries, entries) {
			return l.fixed[i]
		}
	}
	for _, d := range l.wild {
		if d.rule.matches(entries) {
			return d.bucket(entries, hash)
		}
	}
	return nil
}

// rate returns how many tokens come in a nanosecond.
func (b *bucket) rate() float64 { return float64(b.PerFill) / float64(b.Interval) }

// take takes the tokens of a hit, or gives them back. As in Envoy, no hits at all are
// turned away.
func (h *hit) take(now time.Time) bool {
	n := uint64(1)
	if h.descriptor.HasHits {
		n = h.descriptor.Hits
		if h.descriptor.Refund {
			h.bucket.Give(now, n)
			return true
		}
	}
	return n > 0 && h.bucket.TakeAll(now, n)
}
