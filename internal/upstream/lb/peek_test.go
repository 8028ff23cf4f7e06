package lb_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// TestPeek sees the hosts that are picked afterwards.
func TestPeek(t *testing.T) {
	zone := func(c *host.Config, i int) {
		c.Locality.Zone, c.LocalityWeight = string(rune('a'+i%2)), uint32(1+i%2)
	}
	priorities := func(c *host.Config, i int) {
		c.Priority = i % 2
		if i == 2 || i == 4 {
			c.Health = host.FailedEDSHealth
		}
	}
	for _, c := range []struct {
		name   string
		policy lb.Policy
		change func(*host.Config, int)
		least  int // how many hosts can be told at least
	}{
		{"round robin", lb.RoundRobin, func(*host.Config, int) {}, 5},
		{"weights", lb.RoundRobin, func(c *host.Config, i int) { c.Weight = uint32(1 + i) }, 5},
		{"zones", lb.RoundRobin, zone, 2},
		{"priorities", lb.RoundRobin, priorities, 1},
		{"random", lb.Random, func(*host.Config, int) {}, 5},
		{"random by priority", lb.Random, priorities, 1},
		{"least request", lb.LeastRequest, func(*host.Config, int) {}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := withPolicy(c.policy)
			config.Shards, config.LocalityWeighted = 1, c.name == "zones"
			var hosts []*host.Host
			for i := range 5 {
				h := host.Config{Weight: 1, Address: hostsWith(1, 1, 1, 1, 1)[i].Address()}
				c.change(&h, i)
				hosts = append(hosts, host.New(h))
			}
			b := lb.New(config, counter())
			b.Update(host.NewSet(hosts), time.Time{})
			src := seeded(3)
			for range 20 {
				var seen, picked []*host.Host
				for h := b.Peek(src); h != nil && len(seen) < 5; h = b.Peek(src) {
					seen = append(seen, h)
				}
				if len(seen) < c.least {
					t.Fatalf("only %d hosts can be told", len(seen))
				}
				for range seen {
					picked = append(picked, b.Pick(src, &upstream.Pick{}))
				}
				if !slices.Equal(seen, picked) {
					t.Fatalf("seen %v, picked %v", seen, picked)
				}
				b.Pick(src, &upstream.Pick{}) // what was seen when the loop ended
			}
			for range 1000 {
				b.Peek(src)
			}
			if b.Peek(src) != nil {
				t.Error("there is no end to it")
			}
		})
	}
}
