// Package tokenbucket limits a rate: exactly, on all workers together, and
// without a lock.
//
// A bucket is a moment: the one at which it would have been empty if it had only
// filled since. Taking a token moves it forward. Tokens come continuously, not in
// the steps of fill_interval.
package tokenbucket

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// minFillInterval is the shortest fill_interval, as in Envoy.
const minFillInterval = 50 * time.Millisecond

// longest is as far as a bucket looks back; it leaves room for sums.
const longest = math.MaxInt64 / 4

// Config is how large a bucket is and how fast it fills. It is immutable.
type Config struct {
	// Max is the number of tokens in a full bucket; PerFill tokens come per Interval.
	// PerFill and Interval are not zero.
	Max, PerFill uint64
	Interval     time.Duration
}

// Fields lists the implemented fields of TokenBucket.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.v3.TokenBucket",
		Names:   []string{"max_tokens", "tokens_per_fill", "fill_interval"},
	}
}

// New reads the message at path and makes a full bucket. Errors go to errs; the
// result is nil then.
func New(cfg *typev3.TokenBucket, path conf.Path, errs *conf.Errors) *Bucket {
	before := len(*errs)
	c := FromProto(cfg, path, errs)
	if len(*errs) > before {
		return nil
	}
	return c.New()
}

// FromProto reads the message at path. Errors go to errs.
func FromProto(cfg *typev3.TokenBucket, path conf.Path, errs *conf.Errors) Config {
	conf.Check(cfg, Fields(), path, errs)
	c := Config{Max: uint64(cfg.GetMaxTokens()), PerFill: 1, Interval: cfg.GetFillInterval().AsDuration()}
	if n := cfg.GetTokensPerFill(); n != nil {
		c.PerFill = uint64(n.GetValue())
	}
	if c.PerFill == 0 {
		errs.Add(path.Field("tokens_per_fill"), "must be greater than 0")
	}
	switch {
	case c.Max == 0: // never holds a token: it does not matter how fast they come
		c.Interval = max(c.Interval, 1)
	case c.Interval < minFillInterval:
		errs.Add(path.Field("fill_interval"), "must be at least %v, is %v", minFillInterval, c.Interval)
	}
	return c
}

// span returns how long n tokens take to come, rounded down; none is for nothing.
func (c *Config) span(n uint64) int64 {
	return max(scale(n, uint64(c.Interval), c.PerFill), int64(min(n, 1)))
}

// tokens returns how many tokens come in d nanoseconds.
func (c *Config) tokens(d int64) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64(scale(uint64(d), c.PerFill, uint64(c.Interval)))
}

// scale returns x*y/z, at most longest.
func scale(x, y, z uint64) int64 {
	hi, lo := bits.Mul64(x, y)
	if hi >= z {
		return longest
	}
	q, _ := bits.Div64(hi, lo, z)
	return int64(min(q, longest))
}

// A Bucket holds tokens. The callers pass their loop's time; the times of loops may
// differ a little, which moves tokens by as much and makes none. Any goroutine.
type Bucket struct {
	Config
	base  atomic.Pointer[time.Time] // the time of the first call
	empty atomic.Int64              // nanoseconds since base
}

// New returns a full bucket.
func (c Config) New() *Bucket {
	b := &Bucket{}
	b.Init(c)
	return b
}

// Init makes b a full bucket. Nobody else may use it meanwhile.
func (b *Bucket) Init(c Config) {
	b.Config = c
	b.base.Store(nil)
	b.empty.Store(-longest)
}

// Reset makes b a bucket with n tokens at now. Nobody else may use it meanwhile.
func (b *Bucket) Reset(c Config, n uint64, now time.Time) {
	b.Config = c
	b.base.Store(&now)
	b.empty.Store(-b.span(n))
}

func (b *Bucket) since(now time.Time) int64 {
	base := b.base.Load()
	if base == nil {
		first := now
		b.base.CompareAndSwap(nil, &first)
		base = b.base.Load()
	}
	return int64(now.Sub(*base))
}

// state returns the tokens at t, and the moment that stands for them.
func (b *Bucket) state(t int64) (tokens uint64, empty, old int64) {
	old = b.empty.Load()
	if n := b.tokens(t - old); n < b.Max {
		return n, old, old
	}
	return b.Max, t - b.span(b.Max), old
}

// Take takes a token, and reports false if there is none.
func (b *Bucket) Take(now time.Time) bool { return b.TakeUpTo(now, 1) == 1 }

// TakeUpTo takes n tokens, or those that are there, and returns how many.
func (b *Bucket) TakeUpTo(now time.Time, n uint64) uint64 {
	t := b.since(now)
	for {
		tokens, empty, old := b.state(t)
		n := min(n, tokens)
		if n == 0 || b.empty.CompareAndSwap(old, empty+b.span(n)) {
			return n
		}
	}
}

// TakeAll takes n tokens, and reports false if not all of them are there.
func (b *Bucket) TakeAll(now time.Time, n uint64) bool {
	t := b.since(now)
	for {
		tokens, empty, old := b.state(t)
		if n > tokens {
			return false
		}
		if b.empty.CompareAndSwap(old, empty+b.span(n)) {
			return true
		}
	}
}

// Give puts n tokens back, or as many as there is room for.
func (b *Bucket) Give(now time.Time, n uint64) {
	t := b.since(now)
	for {
		_, empty, old := b.state(t)
		if b.empty.CompareAndSwap(old, max(empty-b.span(n), t-b.span(b.Max))) {
			return
		}
	}
}

// Remaining returns the number of tokens.
func (b *Bucket) Remaining(now time.Time) uint64 {
	tokens, _, _ := b.state(b.since(now))
	return tokens
}

// Wait returns how long it is until there is a token, 0 if there is one.
func (b *Bucket) Wait(now time.Time) time.Duration {
	t := b.since(now)
	tokens, empty, _ := b.state(t)
	if tokens > 0 {
		return 0
	}
	return time.Duration(max(empty+b.span(1)-t, 0))
}
