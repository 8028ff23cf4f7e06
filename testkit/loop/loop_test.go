package loop_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestOrder(t *testing.T) {
	f := loop.New(1)
	start := f.Now()
	var got []string
	note := func(s string) func() {
		return func() { got = append(got, fmt.Sprintf("%s@%d", s, f.Now().Sub(start).Milliseconds())) }
	}
	b := f.NewTimer(note("b"))
	a := f.NewTimer(note("a"))
	off := f.NewTimer(note("off"))
	var again event.Timer
	again = f.NewTimer(func() {
		note("again")()
		f.Defer(note("deferred"))
		f.Post(note("posted"))
		if f.Now().Sub(start) < 30*time.Millisecond {
			again.Enable(10 * time.Millisecond)
		}
	})
	b.Enable(20 * time.Millisecond)
	a.Enable(20 * time.Millisecond)
	off.Enable(15 * time.Millisecond)
	again.Enable(9*time.Millisecond + 1)
	off.Disable()
	f.Post(note("first"))
	f.Advance(50 * time.Millisecond)
	want := []string{"first@0", "again@10", "deferred@10", "posted@10", "b@20", "a@20", "again@20", "deferred@20",
		"posted@20", "again@30", "deferred@30", "posted@30"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if f.ArmedTimers() != 0 || f.Now().Sub(start) != 50*time.Millisecond {
		t.Errorf("%d timers armed at %v", f.ArmedTimers(), f.Now())
	}
}

func TestZeroTimerFiresInTheNextTurn(t *testing.T) {
	f := loop.New(1)
	n := 0
	var zero event.Timer
	zero = f.NewTimer(func() {
		if n++; n < 3 {
			zero.Enable(0)
		}
	})
	zero.Enable(-time.Second)
	f.Run()
	if n != 3 || zero.Enabled() {
		t.Errorf("fired %d times", n)
	}
}

func TestStop(t *testing.T) {
	f := loop.New(1)
	ran := false
	f.Post(func() { ran = true })
	f.Stop()
	if !ran || f.Post(func() {}) {
		t.Error("posted functions run, and then none is taken")
	}
}

func TestSeed(t *testing.T) {
	if seven := loop.New(7).Random(); seven != loop.New(7).Random() || seven == loop.New(8).Random() {
		t.Error("random numbers do not depend on the seed alone")
	}
}
