package lb_test

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// source is a worker's random numbers from a seed.
type source struct{ *rand.PCG }

func (s source) Random() uint64 { return s.Uint64() }
func (s source) Shard() int     { return 0 }

func seeded(seed uint64) source { return source{rand.NewPCG(seed, 1)} }

var defaults = lb.Config{OverprovisioningFactor: 140, PanicThreshold: fixed(50), ChoiceCount: 2, ActiveRequestBias: fixed(1)}

func fixed(v float64) func() float64 { return func() float64 { return v } }

func withPolicy(p lb.Policy) lb.Config {
	c := defaults
	c.Policy = p
	return c
}

func counter() *stats.Counter {
	return stats.NewCounter([]*atomic.Uint64{new(atomic.Uint64), new(atomic.Uint64)})
}

func balancer(c lb.Config, hosts []*host.Host) *lb.Balancer {
	b := lb.New(c, counter())
	b.Update(host.NewSet(hosts), time.Time{})
	return b
}

func hostsWith(weights ...uint32) []*host.Host {
	hosts := make([]*host.Host, len(weights))
	for i, w := range weights {
		hosts[i] = host.New(host.Config{Weight: w, Address: address.FromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10}), uint16(i)))})
	}
	return hosts
}

func count(b *lb.Balancer, src lb.Source, picks int) map[*host.Host]int {
	got := map[*host.Host]int{}
	for range picks {
		got[b.Pick(src, &upstream.Pick{})]++
	}
	return got
}

func TestRoundRobinExactOverWorkers(t *testing.T) {
	hosts := hostsWith(1, 1, 1, 1, 1, 1, 1)
	b := balancer(defaults, hosts)
	var total [7]atomic.Int64
	index := map[*host.Host]int{}
	for i, h := range hosts {
		index[h] = i
	}
	var wg sync.WaitGroup
	const workers, each = 5, 1001
	for w := range workers {
		wg.Go(func() {
			src := seeded(uint64(w))
			for range each {
				total[index[b.Pick(src, &upstream.Pick{})]].Add(1)
			}
		})
	}
	wg.Wait()
	const share = workers * each / 7
	for i := range total {
		if n := total[i].Load(); n != share && n != share+1 {
			t.Errorf("host %d got %d of %d picks", i, n, workers*each)
		}
	}
}

// TestWeightedRoundRobin checks for random weights that one round gives each host
// exactly its weight, and that no interval strays far from the shares.
func TestWeightedRoundRobin(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		weights := make([]uint32, 1+random.IntN(12))
		var sum uint64
		for i := range weights {
			weights[i] = 1 + uint32(random.IntN(100))
			sum += uint64(weights[i])
		}
		hosts := hostsWith(weights...)
		b := balancer(defaults, hosts)
		got := map[*host.Host]int{}
		for n := range int(sum) * 2 {
			got[b.Pick(seeded(1), &upstream.Pick{})]++
			for i, h := range hosts {
				due := float64(n+1) * float64(weights[i]) / float64(sum)
				if math.Abs(float64(got[h])-due) > 3 {
					t.Fatalf("weights %v: after %d picks host %d has %d, due %.1f", weights, n+1, i, got[h], due)
				}
			}
		}
		for i, h := range hosts {
			if got[h] != 2*int(weights[i]) {
				t.Fatalf("weights %v: two rounds gave host %d %d picks", weights, i, got[h])
			}
		}
	}
}

func TestHugeWeights(t *testing.T) {
	hosts := hostsWith(math.MaxUint32, math.MaxUint32-1, 3)
	got := count(balancer(defaults, hosts), seeded(1), 10000)
	if a, b := got[hosts[0]], got[hosts[1]]; a < 4900 || b < 4900 {
		t.Error(a, b)
	}
}

func TestCursorSurvivesUpdate(t *testing.T) {
	hosts := hostsWith(1, 1, 1)
	b := balancer(defaults, hosts)
	b.Pick(seeded(1), &upstream.Pick{})
	b.Update(host.NewSet(hosts), time.Time{})
	if b.Pick(seeded(1), &upstream.Pick{}) != hosts[1] {
		t.Error("an update started the round again")
	}
}

func TestRandom(t *testing.T) {
	hosts := hostsWith(1, 50, 1) // weights do not matter
	for i, n := range hosts {
		if got := count(balancer(withPolicy(lb.Random), hosts), seeded(3), 9000)[n]; got < 2800 || got > 3200 {
			t.Errorf("host %d: %d of 9000", i, got)
		}
	}
}

func TestLeastRequest(t *testing.T) {
	t.Run("idle hosts share by weight", func(t *testing.T) {
		hosts := hostsWith(1, 3)
		got := count(balancer(withPolicy(lb.LeastRequest), hosts), seeded(3), 8000)
		if n := got[hosts[1]]; n < 5850 || n > 6150 {
			t.Errorf("weight 3 of 4 got %d of 8000", n)
		}
	})
	t.Run("the fewer requests win", func(t *testing.T) {
		hosts := hostsWith(1, 1)
		hosts[0].Stats().RqActive.Store(5)
		got := count(balancer(withPolicy(lb.LeastRequest), hosts), seeded(3), 8000)
		if n := got[hosts[0]]; n < 1850 || n > 2150 { // drawn twice: one in four
			t.Errorf("the busy host got %d of 8000", n)
		}
	})
	t.Run("requests settle by weight", func(t *testing.T) {
		hosts := hostsWith(1, 2, 5)
		b := balancer(withPolicy(lb.LeastRequest), hosts)
		src := seeded(9)
		for range 800 {
			b.Pick(src, &upstream.Pick{}).Stats().RqActive.Add(1)
		}
		for i, want := range []int64{100, 200, 500} {
			if n := hosts[i].Stats().RqActive.Load(); n < want*9/10 || n > want*11/10 {
				t.Errorf("host %d holds %d requests, want about %d", i, n, want)
			}
		}
	})
	t.Run("without bias requests do not count", func(t *testing.T) {
		c := withPolicy(lb.LeastRequest)
		c.ActiveRequestBias = fixed(0)
		hosts := hostsWith(1, 3)
		hosts[1].Stats().RqActive.Store(100)
		if n := count(balancer(c, hosts), seeded(3), 8000)[hosts[1]]; n < 5850 || n > 6150 {
			t.Errorf("weight 3 of 4 got %d of 8000", n)
		}
	})
}

// TestLoads has priorities with hosts that are healthy (h), degraded (d) and
// unhealthy (u), and the percentage of picks that each kind of each priority gets,
// as Envoy's documentation of priority levels reckons it.
func TestLoads(t *testing.T) {
	flags := map[byte]host.HealthFlags{'h': 0, 'd': host.DegradedEDSHealth, 'u': host.FailedEDSHealth, 'x': host.FailedActiveHC | host.PendingActiveHC}
	for _, tc := range []struct {
		levels []string
		want   map[string]int // "<level><kind>" to percent
		panics bool
	}{
		{[]string{"hhhh"}, map[string]int{"0h": 100}, false},
		{[]string{"hhhu", "hhhh"}, map[string]int{"0h": 100}, false},
		{[]string{"huuu", "hhhh"}, map[string]int{"0h": 35, "1h": 65}, false},
		{[]string{"uuuu", "hhhh"}, map[string]int{"1h": 100}, false},
		{[]string{"huuu", "huuu"}, map[string]int{"0h": 12, "0u": 38, "1h": 12, "1u": 38}, true},
		{[]string{"uuuu"}, map[string]int{"0u": 100}, true},
		{[]string{"uu", "uuuuuu"}, map[string]int{"0u": 25, "1u": 75}, true},
		{[]string{"hddd"}, map[string]int{"0h": 35, "0d": 65}, false},
		{[]string{"hduu", "hhhh"}, map[string]int{"0h": 35, "1h": 65}, false},
		{[]string{"dddd"}, map[string]int{"0d": 100}, false},
		{[]string{"hxxx"}, map[string]int{"0h": 100}, false},
		{[]string{"", "hh"}, map[string]int{"1h": 100}, false},
		{[]string{"huu", "huuu"}, map[string]int{"0h": 14, "0u": 29, "1h": 14, "1u": 43}, true},
	} {
		var hosts []*host.Host
		kinds := map[*host.Host]string{}
		for i, l := range tc.levels {
			for _, c := range []byte(l) {
				h := host.New(host.Config{Priority: i, Health: flags[c]})
				hosts = append(hosts, h)
				kinds[h] = string(rune('0'+i)) + string(rune(c))
			}
		}
		panics := counter()
		b := lb.New(withPolicy(lb.Random), panics)
		b.Update(host.NewSet(hosts), time.Time{})
		const picks = 20000
		got := map[string]int{}
		for h, n := range count(b, seeded(11), picks) {
			got[kinds[h]] += n
		}
		for k, n := range got {
			if d := math.Abs(float64(n)*100/picks - float64(tc.want[k])); d > 1.5 {
				t.Errorf("%v: %s got %.1f %%, want %d", tc.levels, k, float64(n)*100/picks, tc.want[k])
			}
		}
		if (panics.Value() > 0) != tc.panics {
			t.Errorf("%v: %d picks in panic", tc.levels, panics.Value())
		}
	}
}

func TestNoHosts(t *testing.T) {
	panics := counter()
	if lb.New(defaults, panics).Pick(seeded(1), &upstream.Pick{}) != nil {
		t.Error("a host out of nothing")
	}
	if panics.Value() != 1 {
		t.Errorf("%d picks in panic", panics.Value())
	}
	c := defaults
	c.PanicThreshold = fixed(0)
	sick := host.New(host.Config{Health: host.FailedEDSHealth})
	if balancer(c, []*host.Host{sick}).Pick(seeded(1), &upstream.Pick{}) != nil {
		t.Error("panic without a threshold")
	}
}

// turnDown rejects one host.
type turnDown struct {
	bad      *host.Host
	attempts int
}

func (r turnDown) Reject(h upstream.Host) bool         { return h == upstream.Host(r.bad) }
func (r turnDown) MaxAttempts() int                    { return r.attempts }
func (r turnDown) PriorityLoad(load []uint32) []uint32 { return load }

func TestRetryHosts(t *testing.T) {
	hosts := hostsWith(1, 1)
	b := balancer(defaults, hosts)
	for range 4 {
		if b.Pick(seeded(1), &upstream.Pick{Retry: turnDown{hosts[0], 3}}) != hosts[1] {
			t.Error("a rejected host was picked")
		}
	}
	only := balancer(defaults, hosts[:1])
	if only.Pick(seeded(1), &upstream.Pick{Retry: turnDown{hosts[0], 3}}) != hosts[0] {
		t.Error("after all attempts the last host must be taken")
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	hosts := hostsWith(1, 2, 3)
	for _, p := range []lb.Policy{lb.RoundRobin, lb.LeastRequest, lb.Random} {
		b := balancer(withPolicy(p), hosts)
		var src lb.Source = seeded(1)
		pick := upstream.Pick{}
		if n := testing.AllocsPerRun(1000, func() { b.Pick(src, &pick) }); n != 0 {
			t.Errorf("policy %d: %v allocations", p, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	hosts := hostsWith(1, 2, 3, 4, 5, 6, 7, 8)
	bal := balancer(defaults, hosts)
	var src lb.Source = seeded(1)
	pick := upstream.Pick{}
	b.ReportAllocs()
	for b.Loop() {
		bal.Pick(src, &pick)
	}
}
