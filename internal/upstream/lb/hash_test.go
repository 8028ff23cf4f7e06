package lb_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

func gauge() *stats.Gauge {
	return stats.NewGauge([]*atomic.Uint64{new(atomic.Uint64), new(atomic.Uint64)})
}

func hashing(p lb.Policy) lb.Config {
	c := withPolicy(p)
	c.Hash = lb.Hash{
		MinRingSize: 1024, MaxRingSize: 8 << 20, TableSize: 65537, ActiveRequests: func() uint64 { return 0 },
		Size: gauge(), MinPerHost: gauge(), MaxPerHost: gauge(),
	}
	return c
}

// at returns a pick with a hash that is spread over all 64 bits.
func at(i int) *upstream.Pick {
	return &upstream.Pick{Hash: uint64(i) * 0x9e3779b97f4a7c15, HasHash: true}
}

var hashPolicies = map[string]lb.Policy{"ring": lb.RingHash, "maglev": lb.Maglev}

func TestHashShares(t *testing.T) {
	hosts := hostsWith(1, 2, 3, 4)
	for name, p := range hashPolicies {
		b := balancer(hashing(p), hosts)
		got := map[*host.Host]int{}
		for i := range 100000 {
			got[b.Pick(seeded(1), at(i))]++
		}
		for i, h := range hosts {
			if n, want := got[h], 10000*(i+1); n < want*8/10 || n > want*12/10 {
				t.Errorf("%s: weight %d of 10 got %d of 100000", name, i+1, n)
			}
		}
		if first := b.Pick(seeded(1), at(5)); first != b.Pick(seeded(2), at(5)) {
			t.Errorf("%s: a hash has two hosts", name)
		}
	}
}

// TestHashDisruption removes a host: few hashes of the others move.
func TestHashDisruption(t *testing.T) {
	hosts := hostsWith(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	for name, most := range map[string]int{"ring": 0, "maglev": 300} {
		config := hashing(hashPolicies[name])
		config.Hash.MinRingSize = 1 // one entry for each host, however many there are
		all := balancer(config, hosts)
		fewer := balancer(config, slices.Delete(slices.Clone(hosts), 3, 4))
		moved := 0
		for i := range 10000 {
			if h := all.Pick(seeded(1), at(i)); h != hosts[3] && h != fewer.Pick(seeded(1), at(i)) {
				moved++
			}
		}
		if moved > most {
			t.Errorf("%s: %d of 10000 hashes moved", name, moved)
		}
	}
}

func TestHashMissing(t *testing.T) {
	for name, p := range hashPolicies {
		if b := balancer(hashing(p), nil); b.Pick(seeded(1), at(1)) != nil {
			t.Errorf("%s: a host out of nothing", name)
		}
		hosts := hostsWith(1, 1, 1)
		if got := count(balancer(hashing(p), hosts), seeded(1), 3000); got[hosts[0]] < 800 || got[hosts[1]] < 800 {
			t.Errorf("%s: without a hash %v", name, got)
		}
	}
	none := hashing(lb.RingHash)
	none.Hash.MinRingSize, none.Hash.MaxRingSize = 0, 0
	if balancer(none, hostsWith(1)).Pick(seeded(1), at(1)) != nil {
		t.Error("a host out of an empty ring")
	}
}

func TestHashRetry(t *testing.T) {
	hosts := hostsWith(1, 1, 1, 1)
	for name, p := range hashPolicies {
		b := balancer(hashing(p), hosts)
		for i := range 200 {
			pick := at(i)
			first := b.Pick(seeded(1), pick)
			pick.Retry = turnDown{first, 50}
			if h := b.Pick(seeded(1), pick); h == first || h == nil {
				t.Errorf("%s: the rejected host was picked", name)
			}
			pick.Retry = turnDown{first, 0}
			if b.Pick(seeded(1), pick) != first {
				t.Errorf("%s: without attempts the host must stay", name)
			}
		}
	}
}

// TestBounds fills a hash's host up: what comes on top goes to the others, evenly
// when all are over.
func TestBounds(t *testing.T) {
	for name, p := range hashPolicies {
		hosts := hostsWith(1, 1, 1, 1)
		c := hashing(p)
		var active uint64
		c.Hash.BalanceFactor, c.Hash.ActiveRequests = 100, func() uint64 { return active }
		b := balancer(c, hosts)
		for range 400 {
			b.Pick(seeded(1), at(7)).Stats().RqActive.Add(1)
			active++
		}
		for i, h := range hosts {
			if n := h.Stats().RqActive.Load(); n < 95 || n > 105 {
				t.Errorf("%s: host %d has %d of 400 requests", name, i, n)
			}
		}
	}
}

// priorities changes what the priorities can take.
type priorities func(load []uint32) []uint32

func (p priorities) Reject(upstream.Host) bool           { return false }
func (p priorities) MaxAttempts() int                    { return 0 }
func (p priorities) PriorityLoad(load []uint32) []uint32 { return p(load) }

// TestRetryPriority has the retry of each policy avoid a priority.
func TestRetryPriority(t *testing.T) {
	config := func(priority int, health host.HealthFlags) *host.Host {
		return host.New(host.Config{Priority: priority, Health: health, Hostname: fmt.Sprint(priority)})
	}
	hosts := []*host.Host{config(0, 0), config(1, 0), config(1, host.DegradedEDSHealth), config(2, host.FailedEDSHealth)}
	policies := []lb.Policy{lb.RoundRobin, lb.LeastRequest, lb.Random, lb.RingHash, lb.Maglev}
	for _, tc := range []struct {
		change priorities
		want   string
	}{
		{func(load []uint32) []uint32 { return load }, "0"},
		{func(load []uint32) []uint32 { return append([]uint32{0}, load[1:]...) }, "1"},
		{func([]uint32) []uint32 { return []uint32{100, 0, 0} }, "0"},
		{func([]uint32) []uint32 { return []uint32{0, 10, 0} }, "1"},
		{func([]uint32) []uint32 { return []uint32{0, 0, 0} }, ""},
		{func([]uint32) []uint32 { return []uint32{0} }, "0"}, // not of this cluster
		{func(load []uint32) []uint32 {
			if !slices.Equal(load, []uint32{100, 100, 0}) {
				t.Error("the priorities can take", load)
			}
			return load
		}, "0"},
	} {
		for _, p := range policies {
			c := hashing(p)
			c.Hash.UseHostname = true
			b := balancer(c, hosts)
			got := ""
			if h := b.Pick(seeded(1), &upstream.Pick{Retry: tc.change}); h != nil {
				got = h.Hostname()
			}
			if got != tc.want {
				t.Errorf("policy %d: priority %q, want %q", p, got, tc.want)
			}
		}
	}
}

// TestHashUpdateRace picks on workers while the hosts change.
func TestHashUpdateRace(t *testing.T) {
	hosts := hostsWith(1, 1, 1, 1)
	for _, p := range hashPolicies {
		c := hashing(p)
		c.Hash.BalanceFactor, c.Hash.TableSize = 100, 251
		b := balancer(c, hosts)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for i := range 500 {
					h := b.Pick(seeded(1), at(i))
					h.Stats().RqActive.Add(1)
				}
			})
		}
		for i := range 20 {
			b.Update(host.NewSet(hosts[:1+i%4]), time.Time{})
		}
		wg.Wait()
	}
}

func TestHashPickDoesNotAllocate(t *testing.T) {
	hosts := hostsWith(1, 2, 3)
	for name, p := range hashPolicies {
		for _, factor := range []uint32{0, 100} {
			c := hashing(p)
			c.Hash.BalanceFactor = factor
			b := balancer(c, hosts)
			var src lb.Source = seeded(1)
			pick := at(3)
			if n := testing.AllocsPerRun(1000, func() { b.Pick(src, pick) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for name, p := range hashPolicies {
		b.Run(name, func(b *testing.B) {
			bal := balancer(hashing(p), hostsWith(1, 2, 3, 4, 5, 6, 7, 8))
			var src lb.Source = seeded(1)
			pick := at(3)
			b.ReportAllocs()
			for b.Loop() {
				bal.Pick(src, pick)
			}
		})
	}
}
