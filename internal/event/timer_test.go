package event

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTimersAgainstModel enables, disables and lets time pass at random, beside a
// model that knows only each timer's deadline.
func TestTimersAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		c := newClock()
		l := newTurned(t, Config{Portable: true, Clock: c.Now})
		begin := c.now
		const count = 40
		var timers [count]*timer
		deadlines := map[int]int64{} // milliseconds since begin, rounded up
		var fired []int
		for i := range timers {
			timers[i] = l.NewTimer(func() { fired = append(fired, i) }).(*timer)
		}
		// Durations of all magnitudes from nanoseconds to years.
		duration := func() time.Duration { return time.Duration(rng.Int64N(1 << (1 + rng.IntN(57)))) }
		for range 3000 {
			switch i := rng.IntN(count); rng.IntN(4) {
			case 0, 1:
				d := duration() - time.Millisecond
				timers[i].Enable(d)
				deadlines[i] = int64((c.now.Sub(begin) + max(d, 0) + time.Millisecond - 1) / time.Millisecond)
				if d <= 0 {
					deadlines[i] = 0
				}
			case 2:
				timers[i].Disable()
				delete(deadlines, i)
			case 3:
				checkSleep(t, l, deadlines, c.now.Sub(begin))
				if until := l.timers.untilNext(c.now); until > 0 && rng.IntN(2) == 0 {
					c.now = c.now.Add(until)
				} else {
					c.now = c.now.Add(duration() / 4)
				}
				checkTurn(t, l, &fired, deadlines, int64(c.now.Sub(begin)/time.Millisecond))
			}
			for i := range timers {
				if _, armed := deadlines[i]; armed != timers[i].Enabled() {
					t.Fatalf("seed %d: timer %d enabled: %v", seed, i, !armed)
				}
			}
		}
	}
}

// checkTurn expects the timers that are due, the earlier ones first, and removes
// them from the model.
func checkTurn(t *testing.T, l *Loop, fired *[]int, deadlines map[int]int64, now int64) {
	t.Helper()
	*fired = (*fired)[:0]
	l.Turn()
	last := int64(0)
	for _, i := range *fired {
		deadline, armed := deadlines[i]
		if !armed || deadline > now || deadline < last {
			t.Fatalf("timer %d for %d (armed %v) fired at %d after one for %d", i, deadline, armed, now, last)
		}
		last = deadline
		delete(deadlines, i)
	}
	for i, deadline := range deadlines {
		if deadline <= now {
			t.Fatalf("timer %d for %d has not fired at %d; fired %v", i, deadline, now, *fired)
		}
	}
}

// checkSleep expects that the loop sleeps not longer than until the first deadline.
func checkSleep(t *testing.T, l *Loop, deadlines map[int]int64, now time.Duration) {
	t.Helper()
	until := l.timers.untilNext(l.now)
	if len(deadlines) == 0 {
		if until > 0 {
			t.Fatalf("sleeps %v for nothing", until)
		}
		return
	}
	var all []int64
	for _, d := range deadlines {
		all = append(all, d)
	}
	if first := time.Duration(slices.Min(all))*time.Millisecond - now; until < 0 || until > max(first, 0) {
		t.Fatalf("sleeps %v, the first timer is due in %v", until, first)
	}
}

// TestLaterDeadlineDoesNotMoveTimer: the common case, an idle timer pushed back with
// every request, touches nothing but the timer.
func TestLaterDeadlineDoesNotMoveTimer(t *testing.T) {
	c := newClock()
	l := newTurned(t, Config{Portable: true, Clock: c.Now})
	fired := 0
	idle := l.NewTimer(func() { fired++ }).(*timer)
	idle.Enable(time.Second)
	list := idle.list
	for range 10 {
		c.now = c.now.Add(100 * time.Millisecond)
		l.now = c.now
		idle.Enable(time.Second)
	}
	if idle.list != list {
		t.Error("the timer was moved")
	}
	l.Turn()
	c.now = c.now.Add(999 * time.Millisecond)
	l.Turn()
	if fired != 0 {
		t.Error("fired at its first deadline")
	}
	c.now = c.now.Add(time.Millisecond)
	l.Turn()
	if fired != 1 {
		t.Error("did not fire at its last deadline")
	}
}

func TestTimerBeyondTheWheel(t *testing.T) {
	l := newTurned(t, Config{Portable: true})
	far := l.NewTimer(func() { t.Error("fired") })
	far.Enable(1<<63 - 1)
	l.Turn()
	if !far.Enabled() || l.timers.untilNext(l.now) <= 0 {
		t.Error("not armed for long")
	}
}

// TestTimersInTimers: what a timer does to others in the turn they fire in counts.
func TestTimersInTimers(t *testing.T) {
	c := newClock()
	l := newTurned(t, Config{Portable: true, Clock: c.Now})
	var got []string
	var victim, late *timer
	l.NewTimer(func() {
		got = append(got, "first")
		victim.Disable()
		late.Enable(time.Hour)
	}).Enable(time.Millisecond)
	victim = l.NewTimer(func() { got = append(got, "victim") }).(*timer)
	victim.Enable(time.Millisecond)
	late = l.NewTimer(func() { got = append(got, "late") }).(*timer)
	late.Enable(2 * time.Millisecond)
	c.now = c.now.Add(time.Minute)
	l.Turn()
	l.Turn()
	if !slices.Equal(got, []string{"first"}) || victim.Enabled() || !late.Enabled() {
		t.Errorf("fired %v", got)
	}
}
