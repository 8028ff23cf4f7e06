package tokenbucket

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTake(t *testing.T) {
	b := Config{Max: 3, PerFill: 1, Interval: 4 * time.Second}.New()
	for _, tc := range []struct {
		at        time.Duration
		ok        bool
		remaining uint64
		wait      time.Duration
	}{
		{0, true, 2, 0},
		{0, true, 1, 0},
		{0, true, 0, 4 * time.Second},
		{time.Second, false, 0, 3 * time.Second},
		{4*time.Second - 1, false, 0, 1},
		{4 * time.Second, true, 0, 4 * time.Second},
		{3 * time.Second, false, 0, 5 * time.Second}, // another loop, whose time is behind
		{15 * time.Second, true, 1, 0},               // 2 since 4s, and three quarters
		{15 * time.Second, true, 0, time.Second},
		{time.Hour, true, 2, 0}, // what did not fit is lost
		{time.Hour, true, 1, 0},
		{time.Hour, true, 0, 4 * time.Second},
	} {
		now := start.Add(tc.at)
		if got := b.Take(now); got != tc.ok || b.Remaining(now) != tc.remaining || b.Wait(now) != tc.wait {
			t.Errorf("at %v: got %v, %d left, wait %v; want %v", tc.at, got, b.Remaining(now), b.Wait(now), tc)
		}
	}
}

func TestTakeUpTo(t *testing.T) {
	var b Bucket
	b.Reset(Config{Max: 1000, PerFill: 1000, Interval: time.Second}, 50, start)
	for _, tc := range []struct {
		at      time.Duration
		n, want uint64
	}{{0, 20, 20}, {0, 100, 30}, {0, 1, 0}, {50 * time.Millisecond, 100, 50}, {10 * time.Second, 5000, 1000}, {10 * time.Second, 0, 0}} {
		if got := b.TakeUpTo(start.Add(tc.at), tc.n); got != tc.want {
			t.Errorf("at %v: got %d, want %d", tc.at, got, tc.want)
		}
	}
	b.Reset(Config{Max: 5, PerFill: 1, Interval: time.Second}, 0, start)
	if got := b.TakeUpTo(start, 1); got != 0 {
		t.Error("an empty bucket gave", got)
	}
}

// TestExtremes uses sizes and times whose products overflow.
func TestExtremes(t *testing.T) {
	for _, c := range []Config{
		{Max: math.MaxUint32, PerFill: 1, Interval: math.MaxInt64},
		{Max: math.MaxUint64, PerFill: math.MaxUint64, Interval: 1},
		{Max: 1, PerFill: math.MaxUint32, Interval: time.Millisecond},
		{Max: 0, PerFill: 1, Interval: time.Second},
	} {
		b := c.New()
		for _, d := range []time.Duration{0, 1, time.Second, 200 * 365 * 24 * time.Hour, -time.Hour} {
			now := start.Add(d)
			if left := b.Remaining(now); left > c.Max {
				t.Errorf("%v: %d tokens", c, left)
			}
			if ok := b.Take(now); ok && c.Max == 0 {
				t.Errorf("%v gave a token", c)
			}
			b.TakeUpTo(now, math.MaxUint64)
			if b.Wait(now) < 0 {
				t.Errorf("%v: negative wait", c)
			}
		}
	}
}

// TestRate checks for random buckets and times that no more tokens come than a
// model in exact steps allows, and none are lost.
func TestRate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := Config{Max: rnd.Uint64N(50) + 1, PerFill: rnd.Uint64N(1000) + 1, Interval: time.Duration(rnd.IntN(1000)+50) * time.Millisecond}
		b := c.New()
		taken, now := b.TakeUpTo(start, math.MaxUint64), start
		if taken != c.Max {
			t.Fatalf("%v: a new bucket held %d", c, taken)
		}
		taken = 0
		step := c.Interval/time.Duration(c.PerFill) + 1 // never fills up
		for range 1000 {
			now = now.Add(step)
			taken += b.TakeUpTo(now, 1)
		}
		want := float64(now.Sub(start)) / float64(c.Interval) * float64(c.PerFill)
		if float64(taken) > want+1 || float64(taken) < want-1 {
			t.Errorf("%v: %d tokens, want %v", c, taken, want)
		}
	}
}

// TestConcurrent checks that workers together get exactly what is there.
func TestConcurrent(t *testing.T) {
	b := Config{Max: 1000, PerFill: 10, Interval: time.Second}.New()
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if b.Take(start.Add(time.Duration(i) * time.Millisecond)) {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := got.Load(); n < 1000 || n > 1010 {
		t.Errorf("got %d tokens", n)
	}
}

func TestFromProto(t *testing.T) {
	path := conf.Path{}.Field("token_bucket")
	for _, tc := range []struct {
		cfg  *typev3.TokenBucket
		want Config
		err  string
	}{
		{&typev3.TokenBucket{MaxTokens: 3, FillInterval: durationpb.New(time.Second)}, Config{3, 1, time.Second}, ""},
		{&typev3.TokenBucket{TokensPerFill: wrapperspb.UInt32(7), FillInterval: durationpb.New(minFillInterval)}, Config{0, 7, minFillInterval}, ""},
		{&typev3.TokenBucket{}, Config{0, 1, 1}, ""},
		{&typev3.TokenBucket{MaxTokens: 1, FillInterval: durationpb.New(time.Millisecond)}, Config{1, 1, time.Millisecond},
			"token_bucket.fill_interval: must be at least 50ms, is 1ms"},
		{&typev3.TokenBucket{TokensPerFill: wrapperspb.UInt32(0), FillInterval: durationpb.New(time.Second)}, Config{0, 0, time.Second},
			"token_bucket.tokens_per_fill: must be greater than 0"},
	} {
		var errs conf.Errors
		if got := FromProto(tc.cfg, path, &errs); got != tc.want || errs.Error() != tc.err {
			t.Errorf("%v: got %v, %q", tc.cfg, got, errs.Error())
		}
		var again conf.Errors
		if b := New(tc.cfg, path, &again); (b == nil) != (tc.err != "") || b != nil && b.Config != tc.want {
			t.Errorf("%v: New differs", tc.cfg)
		}
	}
	if _, missing, err := Fields().Split((&typev3.TokenBucket{}).ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	b := Config{Max: 1 << 30, PerFill: 1, Interval: time.Second}.New()
	b.Take(start)
	if n := testing.AllocsPerRun(100, func() { b.Take(start) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTakeAllAndGive(t *testing.T) {
	b := Config{Max: 10, PerFill: 1, Interval: time.Second}.New()
	step := func(at time.Duration, what bool, left uint64) {
		t.Helper()
		if now := start.Add(at); !what || b.Remaining(now) != left {
			t.Errorf("at %v: %v, %d left, want %d", at, what, b.Remaining(now), left)
		}
	}
	step(0, b.TakeAll(start, 7), 3)
	step(0, !b.TakeAll(start, 4), 3)
	step(0, b.TakeAll(start, 3), 0)
	step(0, b.TakeAll(start, 0), 0)
	b.Give(start, 4)
	step(0, true, 4)
	b.Give(start, math.MaxUint64)
	step(0, true, 10)
	b.Give(start.Add(time.Hour), 1)
	step(time.Hour, !b.TakeAll(start.Add(time.Hour), 11), 10)
}
