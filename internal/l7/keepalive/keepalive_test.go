package keepalive

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// A connection writes down when it is pinged and when it dies.
type connection struct {
	loop  *loop.Fake
	begin time.Time
	log   []string
	k     KeepAlive

	stopAtPing bool
}

func newConnection(settings *Settings) *connection {
	c := &connection{loop: loop.New(1)}
	c.begin = c.loop.Now()
	c.k.Start(c.loop, settings, c, func() { c.write("dead") })
	return c
}

func (c *connection) write(what string) {
	c.log = append(c.log, fmt.Sprintf("%v %s", c.loop.Now().Sub(c.begin), what))
}

func (c *connection) Ping() {
	c.write("ping")
	if c.stopAtPing {
		c.k.Stop()
	}
}

// TestScripts drives connections by scripts of waiting times, "data", "ack" (data with
// an acknowledgement), "stream" and "stop".
func TestScripts(t *testing.T) {
	interval := &Settings{Interval: 10 * time.Second, Timeout: 4 * time.Second}
	idle := &Settings{IdleInterval: 5 * time.Second, Timeout: 2 * time.Second}
	both := &Settings{Interval: 10 * time.Second, IdleInterval: 5 * time.Second, Timeout: 4 * time.Second}
	tests := []struct {
		name     string
		settings *Settings
		script   string
		want     []string
	}{
		{"no settings", nil, "1h data ack stream 1h stop", nil},
		{"nobody answers", interval, "1h", []string{"10s ping", "14s dead"}},
		{"dead is dead", interval, "1h data ack stream 1h stop", []string{"10s ping", "14s dead"}},
		{"answered", interval, "11s ack 10s ack 9s", []string{"10s ping", "21s ping"}},
		{"answered in the last moment", interval, "13999ms ack 9s", []string{"10s ping"}},
		{"data is no answer, but a sign of life", interval, "13s data 3s data 3s data 1h", []string{"10s ping", "23s dead"}},
		{"data does not put the ping off", interval, "9s data 1s ack", []string{"10s ping"}},
		{"any acknowledgement puts the ping off", interval, "9s ack 9s", nil},
		{"streams do not ping", interval, "9s stream", nil},
		{"stopped", interval, "9s stop 1h", nil},
		{"stopped while waiting", interval, "11s stop 1h", []string{"10s ping"}},

		{"idle", idle, "1h", nil},
		{"idle too long", idle, "5001ms stream 1h", []string{"5.001s ping", "7.001s dead"}},
		{"not idle long enough", idle, "5s stream 1h", nil},
		{"not idle", idle, "4s data 4s stream 1h", nil},
		{"idle but alive", idle, "6s stream stream ack stream 6s stream", []string{"6s ping", "12s ping"}},
		{"one ping for many streams", idle, "6s stream 1s stream 1h", []string{"6s ping", "8s dead"}},

		{"interval finds a ping on its way", both, "9s stream 3s ack 9s", []string{"9s ping"}},
		{"stream finds a ping on its way", both, "11s stream ack", []string{"10s ping"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newConnection(test.settings)
			for _, step := range strings.Fields(test.script) {
				c.do(t, step)
			}
			if !slices.Equal(c.log, test.want) {
				t.Errorf("got %q, want %q", c.log, test.want)
			}
			c.k.Stop()
			if n := c.loop.ArmedTimers(); n != 0 {
				t.Errorf("%d timers are armed after Stop", n)
			}
		})
	}
}

func (c *connection) do(t *testing.T, step string) {
	switch step {
	case "data":
		c.k.OnData()
	case "ack":
		c.k.OnData()
		c.k.OnAck()
	case "stream":
		c.k.OnStreamBegins()
	case "stop":
		c.k.Stop()
	default:
		d, err := time.ParseDuration(step)
		if err != nil {
			t.Fatal(err)
		}
		c.loop.Advance(d)
	}
}

func TestStopInPing(t *testing.T) {
	c := newConnection(&Settings{Interval: time.Second, Timeout: time.Second})
	c.stopAtPing = true
	c.loop.Advance(time.Hour)
	if want := []string{"1s ping"}; !slices.Equal(c.log, want) || c.loop.ArmedTimers() != 0 {
		t.Errorf("got %q, and %d timers", c.log, c.loop.ArmedTimers())
	}
}

// TestJitter wants intervals that differ, within their bounds.
func TestJitter(t *testing.T) {
	const interval, jitter = 10 * time.Second, 1500 * time.Millisecond
	c := newConnection(&Settings{Interval: interval, Jitter: jitter, Timeout: time.Second})
	seen := map[time.Duration]bool{}
	last := c.loop.Now()
	for range 50 {
		pings := len(c.log)
		for len(c.log) == pings {
			c.loop.Advance(time.Millisecond)
		}
		waited := c.loop.Now().Sub(last)
		if waited < interval || waited > interval+jitter {
			t.Fatalf("interval of %v", waited)
		}
		seen[waited] = true
		c.k.OnAck()
		last = c.loop.Now()
	}
	if len(seen) < 40 {
		t.Errorf("only %d different intervals", len(seen))
	}
}

func TestAllocations(t *testing.T) {
	c := newConnection(&Settings{Interval: time.Hour, IdleInterval: time.Hour, Timeout: time.Second})
	if n := testing.AllocsPerRun(100, func() { c.k.OnData(); c.k.OnStreamBegins() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
