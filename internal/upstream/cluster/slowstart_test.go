package cluster

import (
	"testing"
	"time"
)

// TestSlowStart adds a host to a cluster: it gets its part of the traffic little by
// little, and then nothing runs any more.
func TestSlowStart(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, `
name: a
type: STRICT_DNS
dns_refresh_rate: 10s
round_robin_lb_config: {slow_start_config: {slow_start_window: 100s}}
`+oneName), nil)
	b.resolver.answer(t, "x.example", 0, "10.0.0.1")
	b.loop.Advance(200 * time.Second)
	for len(b.resolver) > 0 {
		b.resolver.answer(t, "x.example", 0, "10.0.0.1", "10.0.0.2")
	}
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	share := func() (n int) {
		for range 1100 {
			if b.pick(t, "a").Address().String() == "10.0.0.2:80" {
				n++
			}
		}
		return n
	}
	if n := share(); n < 95 || n > 105 { // 10 to 100
		t.Errorf("at first: %d of 1100", n)
	}
	b.loop.Advance(50 * time.Second)
	if n := share(); n < 350 || n > 380 { // 50 to 100
		t.Errorf("after half of the window: %d of 1100", n)
	}
	b.loop.Advance(51 * time.Second)
	if n := share(); n != 550 {
		t.Errorf("in the end: %d of 1100", n)
	}
	b.Remove("a")
	if n := b.loop.ArmedTimers(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}
}
