package lb_test

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// in returns hosts of a locality: h healthy, d degraded, u unhealthy, x excluded.
func in(zone string, weight uint32, health string) []*host.Host {
	flags := map[rune]host.HealthFlags{'d': host.DegradedEDSHealth, 'u': host.FailedEDSHealth, 'x': host.FailedActiveHC | host.PendingActiveHC}
	var hosts []*host.Host
	for i, c := range health {
		hosts = append(hosts, host.New(host.Config{Hostname: zone + string(c) + string(rune('0'+i)), Locality: streaminfo.Locality{Zone: zone}, LocalityWeight: weight, Health: flags[c]}))
	}
	return hosts
}

// TestLocalities has localities with weights and hosts, and the share of picks in
// percent that hosts with a name of that beginning get.
func TestLocalities(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hosts [][]*host.Host
		want  map[string]int
	}{
		{"weights", [][]*host.Host{in("a", 1, "h"), in("b", 3, "hhh")}, map[string]int{"a": 25, "b": 75}},
		{"a locality without a weight", [][]*host.Host{in("a", 0, "hh"), in("b", 3, "h")}, map[string]int{"b": 100}},
		{"no weights at all", [][]*host.Host{in("a", 0, "hh"), in("b", 0, "h")}, map[string]int{"a": 66, "b": 33}},
		{"overprovisioned", [][]*host.Host{in("a", 1, "hhhu"), in("b", 1, "hhhh")}, map[string]int{"a": 50, "b": 50}},
		{"half of a locality", [][]*host.Host{in("a", 1, "hu"), in("b", 1, "hh")}, map[string]int{"a": 41, "b": 59}},
		{"excluded hosts do not count", [][]*host.Host{in("a", 1, "hx"), in("b", 1, "hh")}, map[string]int{"a": 50, "b": 50}},
		{"degraded", [][]*host.Host{in("a", 1, "hd"), in("b", 1, "uu")}, map[string]int{"ah": 50, "ad": 50}},
		{"panic", [][]*host.Host{in("a", 1, "hu"), in("b", 9, "uu")}, map[string]int{"a": 50, "b": 50}},
	} {
		for _, p := range []lb.Policy{lb.RoundRobin, lb.LeastRequest, lb.Random} {
			c := withPolicy(p)
			c.LocalityWeighted = true
			var hosts []*host.Host
			for _, h := range tc.hosts {
				hosts = append(hosts, h...)
			}
			got := map[string]int{}
			for h, n := range count(balancer(c, hosts), seeded(5), 10000) {
				got[h.Hostname()[:1]] += n
				got[h.Hostname()[:2]] += n
			}
			for name, percent := range tc.want {
				if n := got[name]; n < percent*100-250 || n > percent*100+250 {
					t.Errorf("%s, policy %d: %s got %d of 10000, want about %d %%", tc.name, p, name, n, percent)
				}
			}
		}
	}
}

func TestHashLocalities(t *testing.T) {
	for name, p := range hashPolicies {
		c := hashing(p)
		c.LocalityWeighted, c.Hash.UseHostname = true, true
		b := balancer(c, append(append(in("a", 1, "hh"), in("b", 3, "hhu")...), in("c", 0, "h")...))
		got := map[string]int{}
		for i := range 20000 {
			got[b.Pick(seeded(1), at(i)).Hostname()[:2]]++
		}
		if a, b := got["ah"], got["bh"]; a < 4000 || a > 6000 || a+b != 20000 {
			t.Errorf("%s: %v", name, got)
		}
		if b := balancer(c, in("a", 0, "hh")); b.Pick(seeded(1), at(1)) != nil {
			t.Errorf("%s: a host of a locality without a weight", name)
		}
	}
}

func TestFullScan(t *testing.T) {
	hosts := hostsWith(1, 1, 1, 1)
	c := withPolicy(lb.LeastRequest)
	c.FullScan = true
	b := balancer(c, hosts)
	src := seeded(4)
	for i := range 400 {
		h := b.Pick(src, at(0))
		for j, other := range hosts {
			if other.Stats().RqActive.Load() < h.Stats().RqActive.Load() {
				t.Fatalf("pick %d: host %d has fewer requests", i, j)
			}
		}
		h.Stats().RqActive.Add(1)
	}
	for i := range hosts[1:] { // hosts 1 to 3 are idle, and get the same
		hosts[i+1].Stats().RqActive.Store(0)
	}
	got := count(b, src, 9000)
	for i, h := range hosts {
		if n := got[h]; i == 0 && n != 0 || i > 0 && (n < 2800 || n > 3200) {
			t.Errorf("host %d got %d of 9000", i, n)
		}
	}
}
