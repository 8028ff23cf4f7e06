package fault

import (
	"math"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// fillInterval is how often bytes go on.
const fillInterval = 50 * time.Millisecond

// A limiter lets the body of a response pass at a rate. What waits is bounded by the
// encoder's buffer limit, above which the source pauses.
type limiter struct {
	cb     httpfilter.Callbacks
	timer  event.Timer
	bucket tokenbucket.Bucket
	held   buffer.Buffer
	out    buffer.Buffer
	ended  bool // all of the body is here
	off    bool
}

func newLimiter(cb httpfilter.Callbacks) *limiter {
	l := &limiter{cb: cb}
	l.held.Init(cb.Dispatcher().Buffers())
	l.out.Init(cb.Dispatcher().Buffers())
	l.timer = cb.Dispatcher().NewTimer(l.onTimer)
	return l
}

// start begins a response at kbps KiB per second.
func (l *limiter) start(kbps uint64) {
	rate := min(kbps, math.MaxInt64>>10) << 10
	l.bucket.Reset(tokenbucket.Config{Max: rate, PerFill: rate, Interval: time.Second},
		rate/uint64(time.Second/fillInterval), l.cb.Dispatcher().Now())
	l.ended, l.off = false, false
	l.held.SetWatermarks(l.cb.EncoderBufferLimit(), l.cb.ResponseHigh, l.cb.ResponseLow)
}

// stop drops all that waits.
func (l *limiter) stop() {
	l.off = true
	l.timer.Disable()
	l.held.Reset()
	l.out.Reset()
}

// write takes a piece of the body.
func (l *limiter) write(data *buffer.Buffer, endStream bool) {
	l.held.Move(data)
	l.ended = endStream
	if !l.timer.Enabled() {
		l.timer.Enable(0)
	}
}

// holdTrailers reports whether the trailers wait for the body.
func (l *limiter) holdTrailers() bool {
	l.ended = l.held.Len() > 0
	return l.ended
}

func (l *limiter) onTimer() {
	n := l.bucket.TakeUpTo(l.cb.Dispatcher().Now(), uint64(l.held.Len()))
	l.out.MoveN(&l.held, int(n))
	if l.held.Len() > 0 {
		l.timer.Enable(fillInterval)
	}
	if l.out.Len() > 0 {
		l.cb.AddEncodedData(&l.out, true)
	}
	if !l.off && l.ended && l.held.Len() == 0 {
		l.cb.ContinueEncoding() // sends the end of the body, or the trailers
	}
}
