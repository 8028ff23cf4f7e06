package event

import (
	"sync"
	"sync/atomic"
)

// keepCapacity is how many elements a queue keeps room for after a burst.
const keepCapacity = 4096

// A queue is a list that is filled and then emptied, again and again, without
// allocation.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

func (q *queue[T]) pop() (v T, ok bool) {
	if q.head == len(q.items) {
		q.head = 0
		if cap(q.items) > keepCapacity {
			q.items = nil
		}
		q.items = q.items[:0]
		return v, false
	}
	var zero T
	v, q.items[q.head] = q.items[q.head], zero
	q.head++
	return v, true
}

// remove replaces v by its zero value.
func remove[T comparable](q *queue[T], v T) {
	var zero T
	for i := q.head; i < len(q.items); i++ {
		if q.items[i] == v {
			q.items[i] = zero
		}
	}
}

// An inbox is the queue of posted functions: many goroutines put, one takes all.
type inbox struct {
	filled atomic.Bool // hint: calls is not empty
	// asleep: the loop sleeps, or is about to; who turns it off wakes the loop.
	asleep atomic.Bool

	mu     sync.Mutex
	calls  []call // guarded by mu
	closed bool   // guarded by mu
}

// put adds c, wakes p if its loop sleeps, and reports whether c will run. The
// wake-up happens under the lock, because p may be closed once the inbox is.
func (b *inbox) put(c call, p poller) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.calls = append(b.calls, c)
	b.filled.Store(true)
	if b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		p.wake()
	}
	return true
}

// take moves all calls into q, which is empty.
func (b *inbox) take(q *queue[call]) {
	b.mu.Lock()
	b.calls, q.items, q.head = q.items[:0], b.calls, 0
	b.filled.Store(false)
	b.mu.Unlock()
}

// beforeSleep announces a sleep, so that put wakes the loop. It reports
// whether there are calls already, and then the sleep is off.
func (b *inbox) beforeSleep() bool {
	b.asleep.Store(true)
	if !b.filled.Load() {
		return false
	}
	b.asleep.Store(false)
	return true
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}
