// Package event says what a connection, filter or pool may know of the worker it
// lives on.
//
// A worker is one goroutine that runs an event loop. Everything that belongs to
// a connection (streams, filters, timers) is called on its worker only, so it
// needs no locks and must never block.
package event

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// A Timer calls its function on its loop, once per Enable.
type Timer interface {
	// Enable arms the timer to fire d from the loop's Now, replacing an earlier
	// deadline. The resolution is one millisecond, rounded up; d <= 0 fires in the
	// next turn.
	Enable(d time.Duration)
	// Disable stops the timer. Its function is not called after Disable.
	Disable()
	// Enabled reports whether the timer is armed.
	Enabled() bool
}

// A Dispatcher is an event loop as seen by the code that runs on it. All methods
// but Post, Name and Shard may be called on the loop's goroutine only.
type Dispatcher interface {
	// Name is worker_<n> or main_thread, as in the statistics.
	Name() string
	// Shard is the loop's index into sharded statistics.
	Shard() int
	// Now is the time, read once a turn. It has a monotonic reading.
	Now() time.Time
	// NewTimer returns a disarmed timer that calls f on the loop.
	NewTimer(f func()) Timer
	// Post queues f to run on the loop, in the order of posting. It may be called on
	// any goroutine, and never blocks. It returns false if the loop has ended; f is
	// not called then.
	Post(f func()) bool
	// Defer queues f to run at the end of this turn, after all events of the turn
	// and before the loop sleeps. Functions that f defers run in the same turn.
	// Output leaves and objects are recycled there.
	Defer(f func())
	// Random returns 64 random bits.
	Random() uint64
	// Buffers is the loop's pool of buffer blocks.
	Buffers() *buffer.Pool
}
