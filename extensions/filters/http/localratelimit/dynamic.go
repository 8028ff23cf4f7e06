package localratelimit

import (
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/ratelimit"
)

// maxChains bounds the table of a dynamic, in entries; chains get longer beyond.
const maxChains = 1 << 12

// A dynamic holds the buckets of a wild rule: one for each combination of values that
// was seen, the ones used last, up to a bound. Finding one takes no lock; making one
// does, and throws the one out that was not used for the longest time. Any worker.
type dynamic struct {
	rule *rule // read-only, as most
	most int

	// Atomic. Chains start at the hash, and are changed under mu.
	chains []atomic.Pointer[dynamicBucket]
	clock  atomic.Uint64 // counts uses

	mu    sync.Mutex       // guards what follows
	queue []*dynamicBucket // a heap: the smallest queued is first
}

// A dynamicBucket is the bucket of one combination.
type dynamicBucket struct {
	bucket
	entries []ratelimit.Entry
	hash    uint64
	next    atomic.Pointer[dynamicBucket] // in its chain
	used    atomic.Uint64                 // the clock at its last use
	queued  uint64                        // that value when its place in the queue was found
}

func newDynamic(r *rule, most int) *dynamic {
	return &dynamic{rule: r, most: most, chains: make([]atomic.Pointer[dynamicBucket], 1<<bits.Len(uint(min(most, maxChains)-1)))}
}

// bucket returns the bucket of a combination.
func (d *dynamic) bucket(entries []ratelimit.Entry, hash uint64) *bucket {
	b := d.find(entries, hash)
	if b == nil {
		b = d.add(entries, hash)
	}
	b.used.Store(d.clock.Add(1))
	return &b.bucket
}

func (d *dynamic) chain(hash uint64) *atomic.Pointer[dynamicBucket] {
	return &d.chains[hash%uint64(len(d.chains))]
}

func (d *dynamic) find(entries []ratelimit.Entry, hash uint64) *dynamicBucket {
	for b := d.chain(hash).Load(); b != nil; b = b.next.Load() {
		if b.hash == hash && slices.Equal(b.entries, entries) {
			return b
		}
	}
	return nil
}

// add makes a bucket.
func (d *dynamic) add(entries []ratelimit.Entry, hash uint64) *dynamicBucket {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b := d.find(entries, hash); b != nil {
		return b // another worker was faster
	}
	b := &dynamicBucket{hash: hash, queued: d.clock.Add(1)}
	b.shadow = d.rule.shadow
	b.Init(d.rule.bucket)
	b.used.Store(b.queued)
	for _, e := range entries { // the strings may be parts of larger ones
		b.entries = append(b.entries, ratelimit.Entry{Key: strings.Clone(e.Key), Value: strings.Clone(e.Value)})
	}
	if len(d.queue) < d.most {
		d.queue = append(d.queue, b) // nothing in the queue is younger
	} else {
		d.removeLocked(d.oldestLocked())
		d.queue[0] = b
		d.sinkLocked()
	}
	chain := d.chain(hash)
	b.next.Store(chain.Load())
	chain.Store(b)
	return b
}

// oldestLocked returns the bucket that was not used for the longest time. It is the
// first of the queue. Uses do not move buckets in the queue: that is made good for
// here.
func (d *dynamic) oldestLocked() *dynamicBucket {
	for {
		b := d.queue[0]
		used := b.used.Load()
		if used == b.queued {
			return b
		}
		b.queued = used
		d.sinkLocked()
	}
}

// sinkLocked moves the first of the queue to its place.
func (d *dynamic) sinkLocked() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(d.queue); child++ {
			if d.queue[child].queued < d.queue[least].queued {
				least = child
			}
		}
		if least == i {
			return
		}
		d.queue[i], d.queue[least] = d.queue[least], d.queue[i]
		i = least
	}
}

// removeLocked takes a bucket out of its chain. Who walks the chain meanwhile still
// gets to its end.
func (d *dynamic) removeLocked(b *dynamicBucket) {
	link := d.chain(b.hash)
	for at := link.Load(); at != nil; at = link.Load() {
		if at == b {
			link.Store(b.next.Load())
			return
		}
		link = &at.next
	}
}
