// Package event runs the event loops of the workers and of the main thread: the
// readiness of sockets, timers, functions posted from other goroutines, and work
// at the end of a turn.
//
// A turn is: wait for readiness, read the clock, tell the observers of sockets,
// run posted functions, run timers, run deferred functions. On Linux readiness
// comes from epoll, edge-triggered. A connection that is only a net.Conn has
// goroutines that feed the loop; on other systems all connections are such.
package event

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
)

const (
	// MaxEventsPerTurn bounds the readiness events that one turn handles.
	MaxEventsPerTurn = 256
	// MaxBytesPerTurn is the number of bytes after which a connection stops reading
	// in one turn, and calls Socket.Requeue to go on in the next.
	MaxBytesPerTurn = 256 << 10
	// ScratchSize is the length of Loop.Scratch.
	ScratchSize = 64 << 10
)

// A Config describes a loop. The zero Config is usable.
type Config struct {
	// Name and Shard are what event.Dispatcher returns.
	Name  string
	Shard int
	// OnPanic is called on the loop when a callback panicked, with the owner of the
	// callback (see Loop.SetOwner; for a socket its observer, nil if unknown), the
	// value of the panic and the stack. The loop goes on with the next callback. A
	// panic of OnPanic itself is not contained, so what may panic again (closing the
	// owner) belongs into Loop.Defer. With a nil OnPanic no panic is contained.
	OnPanic func(owner, value any, stack []byte)
	// Spin is how often at most the loop looks for events again before it sleeps; it
	// adapts between 1 and Spin. 0: never, which is right when CPUs are scarce.
	Spin int
	// Clock replaces time.Now, for tests that call Turn.
	Clock func() time.Time
	// Seed makes Random repeatable. 0: a random seed.
	Seed uint64
	// Portable makes the loop as on systems without epoll: Socket.Open takes no file
	// descriptors.
	Portable bool
}

// A Loop is an event loop; it implements event.Dispatcher. All methods but Post,
// PostFor, Stop, Name and Shard belong to the goroutine that is in Run or Turn
// (before that: to the goroutine that called New).
type Loop struct {
	// set in New, read-only after
	name    string
	shard   int
	onPanic func(owner, value any, stack []byte)
	clock   func() time.Time
	start   time.Time
	poll    poller
	maxSpin int
	// steps, one per part of a turn: each runs one callback and reports whether it
	// did. Kept here because a method value costs an allocation.
	ioStep, requeuedStep, postedStep, timerStep, deferredStep func() bool

	// owned by the loop's goroutine
	now      time.Time
	owner    any
	spin     int
	timers   wheel
	requeued queue[*Socket]
	running  queue[*Socket] // what was requeued in the turn before
	posted   queue[call]    // taken from inbox at once
	deferred queue[call]
	random   *rand.PCG
	buffers  buffer.Pool
	scratch  [ScratchSize]byte

	// shared with all goroutines
	inbox    inbox
	stopping atomic.Bool
	// busySince is when the turn that runs began, in nanoseconds since one before
	// start; 0 while the loop sleeps or does not run. For the watchdog.
	busySince atomic.Int64
}

// A call is a function with the owner that a panic of it is blamed on.
type call struct {
	f     func()
	owner any
}

// A poller waits for readiness.
type poller interface {
	// poll looks for events without waiting, and reports whether it found any.
	poll() bool
	// sleep waits for an event, for wake or for d to pass; forever if d is negative.
	sleep(d time.Duration)
	// step handles one of the events found and reports whether there was one.
	step() bool
	// wake ends a sleep, the next one if there is none now. Any goroutine.
	wake()
	close()
}

var _ event.Dispatcher = (*Loop)(nil)

// New returns a loop that waits for Run. It fails when the system has no
// descriptors left.
func New(c Config) (*Loop, error) {
	l := &Loop{name: c.Name, shard: c.Shard, onPanic: c.OnPanic, clock: c.Clock, maxSpin: c.Spin, spin: min(1, c.Spin)}
	if l.clock == nil {
		l.clock = time.Now
	}
	seed := [2]uint64{c.Seed, c.Seed}
	if c.Seed == 0 {
		seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
	l.random = rand.NewPCG(seed[0], seed[1])
	l.start = l.clock()
	l.now = l.start
	l.timers.init(l.start)
	var err error
	if l.poll, err = newPoller(l, c.Portable); err != nil {
		return nil, err
	}
	l.ioStep, l.timerStep = l.poll.step, l.fireTimer
	l.requeuedStep, l.postedStep, l.deferredStep = l.runRequeued, l.runPosted, l.runDeferred
	return l, nil
}

// Run runs the loop on the calling goroutine, locked to its thread, until Stop is
// called or ctx ends. Functions posted before that still run, timers do not.
// Sockets still attached are not closed. Run is called once.
func (l *Loop) Run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer context.AfterFunc(ctx, l.Stop)()
	l.turn() // what was deferred before Run
	for !l.stopping.Load() {
		l.wait()
		l.turn()
	}
	l.Close()
}

// Turn runs one turn that does not wait. It is for tests with a Clock of their
// own; it must not be mixed with Run.
func (l *Loop) Turn() {
	l.poll.poll()
	l.turn()
}

// Stop makes Run return after its turn. Any goroutine.
func (l *Loop) Stop() {
	l.stopping.Store(true)
	l.Post(func() {})
}

// Close ends a loop that does not run (Run does it itself): what was posted runs,
// and Post returns false from now on.
func (l *Loop) Close() {
	l.inbox.close()
	l.inbox.take(&l.posted)
	l.each(l.postedStep)
	l.each(l.deferredStep)
	l.busySince.Store(0)
	l.poll.close()
}

// wait returns when the next turn is due.
func (l *Loop) wait() {
	if l.poll.poll() || l.requeued.len() > 0 {
		return
	}
	d := l.timers.untilNext(l.now)
	if d == 0 || l.spinning() || l.inbox.beforeSleep() {
		return
	}
	l.busySince.Store(0)
	l.poll.sleep(d)
	l.inbox.asleep.Store(false)
}

// spinning looks for work some more times, and remembers whether that was of use.
func (l *Loop) spinning() bool {
	for range l.spin {
		if l.poll.poll() || l.inbox.filled.Load() {
			l.spin = min(2*l.spin, l.maxSpin)
			return true
		}
	}
	l.spin = max(l.spin/2, min(1, l.maxSpin))
	return false
}

func (l *Loop) turn() {
	l.now = l.clock()
	l.busySince.Store(int64(l.now.Sub(l.start)) + 1)
	l.requeued, l.running = l.running, l.requeued
	l.each(l.ioStep)
	l.each(l.requeuedStep)
	if l.inbox.filled.Load() {
		l.inbox.take(&l.posted)
		l.each(l.postedStep)
	}
	if l.timers.advance(l.now) {
		l.each(l.timerStep)
	}
	l.each(l.deferredStep)
}

// each runs a part of the turn to its end; a panic costs only the callback it is
// in.
func (l *Loop) each(step func() bool) {
	for !l.runContained(step) {
	}
	l.owner = nil
}

func (l *Loop) runContained(step func() bool) (done bool) {
	defer l.contain()
	for step() {
	}
	return true
}

// contain must be deferred directly, or recover finds nothing.
func (l *Loop) contain() {
	value := recover()
	if value == nil {
		return
	}
	if l.onPanic == nil {
		panic(value)
	}
	l.onPanic(l.owner, value, debug.Stack())
}

func (l *Loop) runRequeued() bool {
	s, ok := l.running.pop()
	if s != nil {
		s.runRequeued()
	}
	return ok
}

func (l *Loop) runPosted() bool   { return l.runCall(&l.posted) }
func (l *Loop) runDeferred() bool { return l.runCall(&l.deferred) }

func (l *Loop) runCall(q *queue[call]) bool {
	c, ok := q.pop()
	if ok {
		l.owner = c.owner
		c.f()
	}
	return ok
}

func (l *Loop) fireTimer() bool {
	t := l.timers.pop()
	if t == nil {
		return false
	}
	l.owner = t.owner
	t.f()
	return true
}

// SetOwner names the object (a connection) on whose behalf the code runs from
// here on, until the end of the callback or the next SetOwner, and returns the
// one before. A panic is blamed on it, and timers made and functions deferred
// meanwhile belong to it. In OnReady it is the socket's observer from the start.
func (l *Loop) SetOwner(owner any) (before any) {
	before, l.owner = l.owner, owner
	return before
}

// Name returns the name of the loop. Any goroutine.
func (l *Loop) Name() string { return l.name }

// Shard returns the loop's index into sharded statistics. Any goroutine.
func (l *Loop) Shard() int { return l.shard }

// Now returns the time at which this turn began.
func (l *Loop) Now() time.Time { return l.now }

// Random returns 64 random bits.
func (l *Loop) Random() uint64 { return l.random.Uint64() }

// Buffers returns the loop's pool of buffer blocks.
func (l *Loop) Buffers() *buffer.Pool { return &l.buffers }

// Scratch returns ScratchSize bytes that any callback may use until it returns.
func (l *Loop) Scratch() []byte { return l.scratch[:] }

// NewTimer returns a disarmed timer that calls f on the loop. Enable and Disable
// do not allocate.
func (l *Loop) NewTimer(f func()) event.Timer {
	return &timer{loop: l, f: f, owner: l.owner}
}

// Post queues f to run on the loop. The queue has no bound of its own: who posts
// has at most one function per outstanding task. See event.Dispatcher.
func (l *Loop) Post(f func()) bool { return l.PostFor(nil, f) }

// PostFor is Post with the owner that a panic of f is blamed on.
func (l *Loop) PostFor(owner any, f func()) bool {
	return l.inbox.put(call{f, owner}, l.poll)
}

// Defer queues f to run at the end of this turn. See event.Dispatcher.
func (l *Loop) Defer(f func()) { l.deferred.push(call{f, l.owner}) }
