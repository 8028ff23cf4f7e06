package lb_test

import (
	"math"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// TestSlowStart has an old host, and one that is new, or unhealthy and new, and the
// part of the picks that the new one gets.
func TestSlowStart(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		age        time.Duration
		aggression float64
		weight     float64 // of the new host; the old one has 1
	}{
		{50 * time.Second, 1, 0.5},
		{50 * time.Second, 2, math.Sqrt(0.5)},
		{50 * time.Second, 0.5, 0.25},
		{time.Second, 1, 0.1}, // the least
		{0, 1, 0.1},
		{50 * time.Second, 0, 0.1},
		{99 * time.Second, 1, 0.99},
		{100 * time.Second, 1, 1},
		{time.Hour, 1, 1},
	} {
		for _, p := range []lb.Policy{lb.RoundRobin, lb.LeastRequest} {
			c := withPolicy(p)
			c.SlowStart = &lb.SlowStart{Window: 100 * time.Second, Aggression: fixed(tc.aggression), MinWeight: 0.1}
			hosts := []*host.Host{host.New(host.Config{Added: start.Add(-time.Hour)}), host.New(host.Config{Added: start})}
			b := lb.New(c, counter())
			if slow := b.Update(host.NewSet(hosts), start.Add(tc.age)); slow != (tc.age < 100*time.Second) {
				t.Errorf("%v, policy %d: slow %v", tc.age, p, slow)
			}
			want := tc.weight / (1 + tc.weight)
			if got := float64(count(b, seeded(8), 20000)[hosts[1]]) / 20000; math.Abs(got-want) > 0.02 {
				t.Errorf("%v, aggression %v, policy %d: part %.3f, want %.3f", tc.age, tc.aggression, p, got, want)
			}
		}
	}
	c := defaults
	c.SlowStart = &lb.SlowStart{Window: 100 * time.Second, Aggression: fixed(1), MinWeight: 0.1}
	sick := host.New(host.Config{Added: start, Health: host.FailedEDSHealth})
	if lb.New(c, counter()).Update(host.NewSet([]*host.Host{sick}), start) {
		t.Error("an unhealthy host starts slowly")
	}
}
