package drain

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDecision(t *testing.T) {
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	const calls = 10000
	share := func(d *Decision) int {
		r, n := rand.New(rand.NewPCG(1, 2)), 0
		for range calls {
			if d.DrainClose(r.Uint64()) {
				n++
			}
		}
		return n * 100 / calls
	}

	server := New(Config{Time: 10 * time.Minute, Now: clock})
	unhealthy := false
	listener := server.Child(func() bool { return unhealthy })
	other := server.Child(nil)
	if share(listener) != 0 || listener.Draining() {
		t.Error("drains before the start")
	}

	unhealthy = true
	if share(listener) != 100 || share(other) != 0 {
		t.Error("an unhealthy server drains what asks for its health, and only that")
	}
	unhealthy = false

	listener.Start()
	for _, c := range [][2]int{{1, 10}, {5, 50}, {9, 90}, {10, 100}, {20, 100}} {
		minutes, want := c[0], c[1]
		now = time.Unix(1000, 0).Add(time.Duration(minutes) * time.Minute)
		if got := share(listener); got < want-2 || got > want+2 {
			t.Errorf("after %d minutes %d%% of the calls drain, want %d%%", minutes, got, want)
		}
	}
	listener.Start()
	if share(listener) != 100 {
		t.Error("a second start begins the drain anew")
	}
	if share(other) != 0 || server.Draining() {
		t.Error("a listener drains its siblings")
	}
	server.Start()
	if now = now.Add(time.Hour); share(other) != 100 || !other.Draining() {
		t.Error("the server does not drain its listeners")
	}
}

func TestEnd(t *testing.T) {
	d := New(Config{Time: time.Hour, Now: func() time.Time { return time.Unix(1, 0) }})
	child := d.Child(nil)
	if d.Start(); child.DrainClose(1 << 63) {
		t.Error("a gradual drain ends all at once")
	}
	if d.End(); !child.DrainClose(1 << 63) {
		t.Error("connections are kept at the end")
	}
}

func TestImmediate(t *testing.T) {
	for _, c := range []Config{{Strategy: Immediate, Time: time.Hour}, {Strategy: Gradual, Time: 0}} {
		c.Now = func() time.Time { return time.Unix(1, 0) }
		d := New(c)
		if d.DrainClose(1 << 63) {
			t.Errorf("%+v: drains before the start", c)
		}
		if d.Start(); !d.DrainClose(1 << 63) {
			t.Errorf("%+v: does not drain at once", c)
		}
	}
}
