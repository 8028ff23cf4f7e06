package event

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A clock is moved by the test.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Unix(1_700_000_000, 123_456_789)} }

func (c *clock) Now() time.Time { return c.now }

// newTurned returns a loop that the test turns.
func newTurned(t *testing.T, c Config) *Loop {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestTurnOrder(t *testing.T) {
	for _, portable := range []bool{false, true} {
		c := newClock()
		l := newTurned(t, Config{Clock: c.Now, Portable: portable})
		var got []string
		note := func(s string) func() { return func() { got = append(got, s) } }
		zero := l.NewTimer(note("zero"))
		timer := l.NewTimer(func() {
			note("timer")()
			l.Defer(func() {
				note("deferred")()
				l.Defer(note("deferred by deferred"))
				zero.Enable(0)
			})
		})
		timer.Enable(time.Millisecond)
		l.Post(func() {
			note("posted")()
			l.Post(note("posted by posted"))
		})
		c.now = c.now.Add(time.Millisecond)
		l.Turn()
		got = append(got, "|")
		l.Turn()
		want := "posted timer deferred deferred by deferred | posted by posted zero"
		if strings.Join(got, " ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
		if !l.Now().Equal(c.now) || timer.Enabled() || zero.Enabled() {
			t.Error("wrong time, or a timer that fired is armed")
		}
	}
}

// TestPostStorm: many goroutines post while the loop sleeps and wakes; the order of
// each is kept, and what Post accepted runs, also when the loop stops meanwhile.
func TestPostStorm(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for _, spin := range []int{0, 50} {
			t.Run(fmt.Sprintf("portable=%v,spin=%d", portable, spin), func(t *testing.T) {
				const posters, posts = 8, 5000
				l := start(t, Config{Portable: portable, Spin: spin})
				var last [posters]int // owned by the loop
				var ran int
				var accepted atomic.Int64
				var wg sync.WaitGroup
				for p := range posters {
					wg.Go(func() {
						for i := range posts {
							answered := make(chan struct{})
							ok := l.Post(func() {
								if last[p] != i {
									t.Errorf("post %d of %d comes after %d", i, p, last[p])
								}
								last[p]++
								if ran++; ran == posters*posts*3/4 {
									l.Stop()
								}
								close(answered)
							})
							if !ok {
								return
							}
							accepted.Add(1)
							if i%100 == 0 {
								<-answered // so that the loop sleeps now and then
							}
						}
					})
				}
				wg.Wait()
				waitUntil(t, "the loop has ended", func() bool { return !l.Post(func() {}) && l.busySince.Load() == 0 })
				if int64(ran) != accepted.Load() {
					t.Errorf("%d ran of %d", ran, accepted.Load())
				}
				l.Stop() // of an ended loop: nothing
			})
		}
	}
}

// TestLoopsPostToEachOther needs every single wake-up.
func TestLoopsPostToEachOther(t *testing.T) {
	for _, portable := range []bool{false, true} {
		a, b := start(t, Config{Portable: portable}), start(t, Config{Portable: portable})
		done := make(chan struct{})
		n := 0
		var there, back func()
		there = func() { b.Post(back) }
		back = func() {
			if n++; n == 2000 {
				close(done)
				return
			}
			a.Post(there)
		}
		a.Post(there)
		<-done
	}
}

func TestRunEndsWithContext(t *testing.T) {
	l, err := New(Config{Name: "worker_3", Shard: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fired := false
	timer := l.NewTimer(func() { fired = true; cancel() })
	l.Defer(func() { timer.Enable(2 * time.Millisecond) }) // before Run: in its first turn
	l.Run(ctx)
	if !fired || l.Post(func() {}) {
		t.Error("did not sleep until the timer, or is not ended")
	}
	if l.Name() != "worker_3" || l.Shard() != 3 || len(l.Scratch()) != ScratchSize || l.Buffers() == nil {
		t.Error("wrong name, shard, scratch or buffers")
	}
}

func TestRandom(t *testing.T) {
	a, b, c := newTurned(t, Config{Seed: 1}), newTurned(t, Config{Seed: 1}), newTurned(t, Config{})
	if x := a.Random(); x != b.Random() || x == c.Random() {
		t.Error("random numbers do not follow the seed")
	}
}

// TestPanicCostsOneCallback: each kind of callback panics once, among others of its
// kind; the owner is blamed and everything else runs.
func TestPanicCostsOneCallback(t *testing.T) {
	c := newClock()
	var blamed []string
	l := newTurned(t, Config{Portable: true, Clock: c.Now, OnPanic: func(owner, value any, stack []byte) {
		if !strings.Contains(string(stack), "TestPanicCostsOneCallback") {
			t.Errorf("stack without the culprit:\n%s", stack)
		}
		blamed = append(blamed, fmt.Sprintf("%v: %v", owner, value))
	}})
	ran := 0
	good := func() { ran++ }
	bad := func(what string) func() { return func() { panic(what) } }
	three := func(add func(func()), what string) { add(good); add(bad(what)); add(good) }

	before := l.SetOwner("conn 1")
	three(func(f func()) { l.NewTimer(f).Enable(time.Millisecond) }, "timer")
	three(l.Defer, "deferred")
	if l.SetOwner(before) != "conn 1" {
		t.Error("SetOwner does not return the owner before")
	}
	three(func(f func()) { l.Post(f) }, "posted")
	l.PostFor("conn 2", bad("posted for"))
	l.Post(func() {
		l.SetOwner("conn 3")
		l.Defer(bad("deferred by posted"))
	})
	c.now = c.now.Add(time.Second)
	l.Turn()
	want := []string{"<nil>: posted", "conn 2: posted for", "conn 1: timer", "conn 1: deferred", "conn 3: deferred by posted"}
	if !slices.Equal(blamed, want) || ran != 6 {
		t.Errorf("%d ran; blamed %q\nwant %q", ran, blamed, want)
	}
	l.Post(good)
	l.Turn()
	if ran != 7 {
		t.Error("the next turn does not run")
	}
}

func TestPanicWithoutHandlerIsNotContained(t *testing.T) {
	l := newTurned(t, Config{})
	l.Post(func() { panic("x") })
	defer func() {
		if v := recover(); v != "x" {
			t.Errorf("recovered %v", v)
		}
	}()
	l.Turn()
}

func TestSpinAdapts(t *testing.T) {
	l := newTurned(t, Config{Spin: 8})
	for range 10 {
		l.inbox.filled.Store(true)
		l.spinning()
	}
	if l.spin != 8 {
		t.Errorf("spins %d times after success", l.spin)
	}
	l.inbox.filled.Store(false)
	for range 10 {
		l.spinning()
	}
	if l.spin != 1 {
		t.Errorf("spins %d times after failure", l.spin)
	}
	if off := newTurned(t, Config{}); off.spinning() || off.spin != 0 {
		t.Error("spins although it is off")
	}
}

func newCounter() *stats.Counter {
	return stats.NewCounter([]*atomic.Uint64{new(atomic.Uint64)})
}

func TestWatchdog(t *testing.T) {
	c := newClock()
	l := newTurned(t, Config{Clock: c.Now})
	miss, total, mega := newCounter(), newCounter(), newCounter()
	w := NewWatchdog(200*time.Millisecond, time.Second,
		[]Watched{{Loop: l, Miss: []*stats.Counter{miss, total}, MegaMiss: []*stats.Counter{mega}}})
	check := func(after time.Duration, wantMiss, wantMega uint64) {
		t.Helper()
		w.check(c.now.Add(after))
		if miss.Value() != wantMiss || total.Value() != wantMiss || mega.Value() != wantMega {
			t.Errorf("after %v: %d, %d misses, %d mega misses", after, miss.Value(), total.Value(), mega.Value())
		}
	}
	check(time.Hour, 0, 0) // does not run yet
	l.Turn()
	check(100*time.Millisecond, 0, 0)
	check(300*time.Millisecond, 1, 0)
	check(900*time.Millisecond, 1, 0)
	check(1100*time.Millisecond, 1, 1)
	check(time.Hour, 1, 1)
	c.now = c.now.Add(2 * time.Hour)
	l.Turn()
	check(50*time.Millisecond, 1, 1)
	check(2*time.Second, 2, 2)
	l.busySince.Store(0) // sleeps
	check(time.Hour, 2, 2)

	NewWatchdog(0, 0, []Watched{{Loop: l}}).Run(t.Context()) // both off: ends at once
}

// TestWatchdogSeesRunningLoop: the heartbeat of a real loop in a long callback.
func TestWatchdogSeesRunningLoop(t *testing.T) {
	l := start(t, Config{})
	miss := newCounter()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		NewWatchdog(2*time.Millisecond, 0, []Watched{{Loop: l, Miss: []*stats.Counter{miss}}}).Run(ctx)
	}()
	on(l, func() { waitUntil(t, "the turn is counted", func() bool { return miss.Value() == 1 }) })
	cancel()
	<-ended
}
