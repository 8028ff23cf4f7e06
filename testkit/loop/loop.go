// Package loop holds a fake event loop, on which code that wants an
// event.Dispatcher runs deterministically: the test turns it and moves its clock.
package loop

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
)

// maxTurns is how many turns without a moment's rest pass for a live-lock.
const maxTurns = 100_000

// A Fake is an event.Dispatcher without a goroutine: functions and timers run in
// Run and Advance, on the goroutine of the test. Its clock starts at the same
// moment in every test, and only Advance moves it.
type Fake struct {
	now      time.Time
	armed    []*timer
	enabled  uint64 // counts Enable, for the order of timers
	deferred []func()
	random   *rand.PCG
	buffers  buffer.Pool

	mu      sync.Mutex
	posted  []func() // guarded by mu
	stopped bool     // guarded by mu
}

var _ event.Dispatcher = (*Fake)(nil)

// New returns a fake loop whose Random is determined by seed.
func New(seed uint64) *Fake {
	return &Fake{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), random: rand.NewPCG(seed, seed)}
}

// Run runs turns until there is nothing left to do now: no posted or deferred
// function, and no timer that is due.
func (f *Fake) Run() {
	for range maxTurns {
		if !f.turn() {
			return
		}
	}
	panic("testkit/loop: posted functions or timers without end")
}

// Advance moves the clock by d, one timer after the other, with Run before the
// first and after each.
func (f *Fake) Advance(d time.Duration) {
	f.Run()
	end := f.now.Add(d)
	for {
		t := f.first()
		if t == nil || t.deadline.After(end) {
			break
		}
		f.now = t.deadline
		f.Run()
	}
	f.now = end
	f.Run()
}

// Stop ends the loop: what is posted runs, and Post returns false from now on.
func (f *Fake) Stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.Run()
}

// ArmedTimers returns the number of armed timers, which a test may want to see at
// zero in the end.
func (f *Fake) ArmedTimers() int { return len(f.armed) }

// turn runs one turn, and reports whether it had anything to do.
func (f *Fake) turn() bool {
	f.mu.Lock()
	posted := f.posted
	f.posted = nil
	f.mu.Unlock()
	for _, call := range posted {
		call()
	}
	// Timers that are enabled from here on wait for the next turn.
	last, fired := f.enabled, false
	for t := f.first(); t != nil && !t.deadline.After(f.now) && t.order <= last; t = f.first() {
		t.Disable()
		t.f()
		fired = true
	}
	busy := fired || len(posted) > 0 || len(f.deferred) > 0
	for len(f.deferred) > 0 {
		call := f.deferred[0]
		f.deferred = f.deferred[1:]
		call()
	}
	return busy
}

// first returns the timer that fires first, of several due at once the one that
// was enabled first.
func (f *Fake) first() *timer {
	var first *timer
	for _, t := range f.armed {
		if first == nil || t.deadline.Before(first.deadline) || t.deadline.Equal(first.deadline) && t.order < first.order {
			first = t
		}
	}
	return first
}

// Name returns "worker_0".
func (f *Fake) Name() string { return "worker_0" }

// Shard returns 0.
func (f *Fake) Shard() int { return 0 }

// Now returns the fake time.
func (f *Fake) Now() time.Time { return f.now }

// NewTimer returns a disarmed timer.
func (f *Fake) NewTimer(call func()) event.Timer { return &timer{loop: f, f: call} }

// Post queues call for the next turn. Any goroutine may post, but then it is up to
// the test that Run comes later.
func (f *Fake) Post(call func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	f.posted = append(f.posted, call)
	return true
}

// Defer queues call for the end of the turn; outside of a turn, of the next one.
func (f *Fake) Defer(call func()) { f.deferred = append(f.deferred, call) }

// Random returns 64 bits that the seed determines.
func (f *Fake) Random() uint64 { return f.random.Uint64() }

// Buffers returns the pool; its InUse is zero when all buffers were emptied.
func (f *Fake) Buffers() *buffer.Pool { return &f.buffers }

type timer struct {
	loop     *Fake
	f        func()
	deadline time.Time
	order    uint64 // 0: disarmed
}

func (t *timer) Enable(d time.Duration) {
	t.Disable()
	f := t.loop
	f.enabled++
	t.order = f.enabled
	d = max(d, 0)
	t.deadline = f.now.Add((d + time.Millisecond - 1) / time.Millisecond * time.Millisecond)
	f.armed = append(f.armed, t)
}

func (t *timer) Disable() {
	if t.order == 0 {
		return
	}
	t.order = 0
	armed := t.loop.armed
	for i := range armed {
		if armed[i] == t {
			armed[i] = armed[len(armed)-1]
			armed[len(armed)-1] = nil
			t.loop.armed = armed[:len(armed)-1]
			return
		}
	}
}

func (t *timer) Enabled() bool { return t.order != 0 }
