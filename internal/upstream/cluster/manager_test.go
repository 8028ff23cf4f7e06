package cluster

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/dns"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// noRuntime has no values.
type noRuntime struct{}

func (noRuntime) Snapshot() runtimeconf.Snapshot             { return noRuntime{} }
func (noRuntime) Integer(_ string, d uint64) uint64          { return d }
func (noRuntime) Double(_ string, d float64) float64         { return d }
func (noRuntime) Boolean(_ string, d bool) bool              { return d }
func (noRuntime) Get(string) (string, bool)                  { return "", false }
func (noRuntime) Percent(_ string, millionths uint32) uint32 { return millionths }

// asked is a Resolver that the test answers.
type asked []question

type question struct {
	name   string
	family dns.Family
	done   func(dns.Answer, error)
}

func (a *asked) Resolve(_ event.Dispatcher, name string, f dns.Family, done func(dns.Answer, error)) {
	*a = append(*a, question{name, f, done})
}

// answer answers the oldest question.
func (a *asked) answer(t *testing.T, name string, ttl time.Duration, addrs ...string) {
	t.Helper()
	q := a.next(t, name)
	var answer dns.Answer
	for _, s := range addrs {
		answer.Addrs = append(answer.Addrs, netip.MustParseAddr(s))
	}
	answer.TTL = ttl
	q.done(answer, nil)
}

func (a *asked) next(t *testing.T, name string) question {
	t.Helper()
	if len(*a) == 0 || (*a)[0].name != name {
		t.Fatalf("%s was not asked for next: %v", name, *a)
	}
	q := (*a)[0]
	*a = (*a)[1:]
	return q
}

type bench struct {
	loop     *loop.Fake
	metrics  *metrics.Scope
	resolver asked
	*Manager
}

func newBench() *bench {
	b := &bench{loop: loop.New(1), metrics: metrics.New(1)}
	b.Manager = NewManager(Options{Dispatcher: b.loop, Stats: b.metrics, Runtime: noRuntime{}, Resolver: &b.resolver,
		NextConnectionID: func() uint64 { return 1 }, Shards: 1})
	return b
}

// hosts returns the hosts of a cluster, sorted.
func (b *bench) hosts(name string) string {
	e := (*b.active.Load())[name]
	if e == nil {
		return "no cluster"
	}
	var all []string
	for _, l := range e.cluster.hosts.Load().Levels {
		for _, h := range l.Hosts {
			all = append(all, h.Address().String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (b *bench) expectHosts(t *testing.T, name, want string) {
	t.Helper()
	if got := b.hosts(name); got != want {
		t.Errorf("%s has the hosts %q, want %q", name, got, want)
	}
}

func (b *bench) expect(t *testing.T, values map[string]uint64) {
	t.Helper()
	for name, want := range values {
		if got := b.metrics.Value(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestStatic(t *testing.T) {
	b := newBench()
	ready := 0
	const yaml = `
name: a
alt_stat_name: alt
circuit_breakers: {thresholds: [{max_requests: 7, track_remaining: true}]}
load_assignment:
  cluster_name: a
  endpoints:
  - lb_endpoints:
    - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}
    - {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}, health_status: DRAINING}
    - {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}}
  - priority: 1
    lb_endpoints:
    - {endpoint: {address: {socket_address: {address: "::1", port_value: 80}}}, health_status: DEGRADED}
`
	b.Add(mustParse(t, yaml), func() { ready++ })
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80 [::1]:80")
	b.expect(t, map[string]uint64{
		"cluster.alt.membership_total": 3, "cluster.alt.membership_healthy": 1, "cluster.alt.membership_degraded": 1,
		"cluster.alt.membership_change": 1, "cluster.alt.circuit_breakers.default.remaining_rq": 7,
		"cluster_manager.active_clusters": 1, "cluster_manager.cluster_added": 1, "cluster_manager.warming_clusters": 0,
	})
	if total, healthy, degraded := b.Get("a").Health(); total != 3 || healthy != 1 || degraded != 1 {
		t.Error(total, healthy, degraded)
	}
	if b.Add(mustParse(t, yaml), func() { ready++ }) || ready != 2 {
		t.Error("the same configuration was taken for another one")
	}
	before := b.Get("a")
	b.Add(mustParse(t, "name: a\nalt_stat_name: alt\n"+oneHost), nil)
	b.expectHosts(t, "a", "10.0.0.1:80")
	b.expect(t, map[string]uint64{"cluster_manager.cluster_modified": 1, "cluster.alt.circuit_breakers.default.remaining_rq": 0})
	if b.Get("a") == before || b.Get("b") != nil {
		t.Error("Get")
	}
	if total, _, _ := before.Health(); total != 0 {
		t.Error("a replaced cluster has hosts")
	}
	if !b.Remove("a") || b.Remove("a") || b.Get("a") != nil {
		t.Error("Remove")
	}
	b.expect(t, map[string]uint64{"cluster_manager.active_clusters": 0, "cluster_manager.cluster_removed": 1})
}

func TestStrictDNS(t *testing.T) {
	b := newBench()
	ready := false
	b.Add(mustParse(t, `
name: a
type: STRICT_DNS
dns_lookup_family: V4_PREFERRED
dns_refresh_rate: 10s
respect_dns_ttl: true
load_assignment:
  cluster_name: a
  endpoints:
  - lb_endpoints:
    - {endpoint: {address: {socket_address: {address: one, port_value: 80}}}}
    - {endpoint: {address: {socket_address: {address: two, port_value: 81}}}}
`), func() { ready = true })
	if b.resolver[0].family != dns.V4Preferred {
		t.Error("another family is asked for")
	}
	b.resolver.answer(t, "one", 0, "10.0.0.1", "10.0.0.2")
	b.expectHosts(t, "a", "no cluster")
	b.expect(t, map[string]uint64{"cluster_manager.warming_clusters": 1, "cluster.a.warming_state": 1})
	b.resolver.next(t, "two").done(dns.Answer{}, errors.New("timeout"))
	if !ready {
		t.Error("a name that cannot be resolved keeps the cluster from being ready")
	}
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	kept := b.pick(t, "a")

	b.loop.Advance(10 * time.Second) // both are asked again
	b.resolver.answer(t, "one", 3*time.Second, "10.0.0.2", "10.0.0.1")
	b.resolver.answer(t, "two", 0, "10.0.0.3")
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:81")
	b.loop.Advance(3 * time.Second) // the time to live of one
	b.resolver.next(t, "one").done(dns.Answer{}, errors.New("servfail"))
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:81")
	b.loop.Advance(7 * time.Second)
	b.resolver.answer(t, "two", 0)
	b.expectHosts(t, "a", "10.0.0.1:80 10.0.0.2:80")
	if b.pickAll("a")[kept] == 0 {
		t.Error("a host that stayed is another object")
	}
	b.expect(t, map[string]uint64{"cluster.a.update_attempt": 6, "cluster.a.update_success": 4, "cluster.a.update_failure": 2,
		"cluster.a.update_no_rebuild": 1, "cluster.a.max_host_weight": 1, "cluster.a.membership_change": 3, "cluster.a.membership_total": 2})

	b.loop.Advance(10 * time.Second)
	late := b.resolver.next(t, "one")
	b.Remove("a")
	late.done(dns.Answer{Addrs: []netip.Addr{netip.MustParseAddr("10.9.9.9")}}, nil)
	if n := b.loop.ArmedTimers(); n != 0 {
		t.Errorf("%d timers of a removed cluster", n)
	}
}

// pick returns the host that the balancer picks next.
func (b *bench) pick(t *testing.T, name string) upstream.Host {
	t.Helper()
	h := (*b.active.Load())[name].cluster.balancer.Pick(b.loop, &upstream.Pick{})
	if h == nil {
		t.Fatal("no host")
	}
	return h
}

func (b *bench) pickAll(name string) map[upstream.Host]int {
	picked := map[upstream.Host]int{}
	for range 50 {
		picked[(*b.active.Load())[name].cluster.balancer.Pick(b.loop, &upstream.Pick{})]++
	}
	return picked
}

func TestLogicalDNS(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, "name: a\ntype: LOGICAL_DNS\nwait_for_warm_on_init: false\n"+oneName), nil)
	b.expectHosts(t, "a", "")
	b.resolver.answer(t, "x.example", 0, "10.0.0.1", "10.0.0.2")
	b.expectHosts(t, "a", "10.0.0.1:80")
	h := b.pick(t, "a")
	for _, addrs := range [][]string{{"10.0.0.2", "10.0.0.1"}, {}, {"10.0.0.2"}} {
		b.loop.Advance(5 * time.Second)
		b.resolver.answer(t, "x.example", 0, addrs...)
	}
	if b.pick(t, "a") != h || h.Address().String() != "10.0.0.2:80" || h.Hostname() != "x.example" {
		t.Errorf("the logical host is %s %s", h.Address(), h.Hostname())
	}
	b.expect(t, map[string]uint64{"cluster.a.membership_change": 1, "cluster.a.update_success": 4})
}

// TestFailureBackOff waits longer after each failure, and begins anew after success.
func TestFailureBackOff(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, "name: a\ntype: STRICT_DNS\ndns_failure_refresh_rate: {base_interval: 1s, max_interval: 4s}\n"+oneName), nil)
	n := (*b.active.Load())
	if len(n) != 0 {
		t.Fatal("ready before the first answer")
	}
	for i, below := range []time.Duration{1, 2, 4, 4, 4} {
		b.resolver.next(t, "x.example").done(dns.Answer{}, errors.New("no"))
		b.loop.Advance(below * time.Second)
		if len(b.resolver) == 0 {
			t.Fatalf("failure %d: not asked again after %d s", i, below)
		}
		b.resolver = b.resolver[:1]
	}
	name := (*b.active.Load())["a"].cluster.names[0]
	if name.backOff != 4*time.Second {
		t.Error(name.backOff)
	}
	b.resolver.answer(t, "x.example", 0, "10.0.0.1")
	if name.backOff != time.Second {
		t.Error(name.backOff)
	}
}

// TestReplaceWhileWarming keeps the old cluster until the new one has its hosts.
func TestReplaceWhileWarming(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, "name: a\n"+oneHost), nil)
	ready := 0
	dnsConfig := "name: a\ntype: STRICT_DNS\n" + oneName
	b.Add(mustParse(t, dnsConfig), func() { ready++ })
	b.Add(mustParse(t, dnsConfig), func() { ready++ })
	b.expectHosts(t, "a", "10.0.0.1:80")
	if ready != 0 {
		t.Error("ready while warming")
	}
	b.resolver.answer(t, "x.example", 0, "10.0.0.7")
	b.expectHosts(t, "a", "10.0.0.7:80")
	if ready != 2 {
		t.Errorf("ready was called %d times", ready)
	}
	b.Add(mustParse(t, dnsConfig+"\nconnect_timeout: 1s"), func() { t.Error("ready after it was removed") })
	b.Remove("a")
	b.resolver.answer(t, "x.example", 0, "10.0.0.7")
	b.expectHosts(t, "a", "no cluster")
	b.expect(t, map[string]uint64{"cluster_manager.warming_clusters": 0, "cluster_manager.active_clusters": 0})
}

// nobody expects that there is no host.
type nobody struct{ failures []upstream.PoolFailure }

func (n *nobody) OnStreamReady(upstream.RequestStream, upstream.Host) {}
func (n *nobody) OnStreamFailure(f upstream.PoolFailure, _ string, h upstream.Host) {
	n.failures = append(n.failures, f)
	if h != nil {
		panic("a host")
	}
}

func TestNoHost(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, "name: a"), nil)
	cb := &nobody{}
	if b.Get("a").NewStream(b.loop, &upstream.Pick{}, nil, cb) != nil || len(cb.failures) != 1 || cb.failures[0] != upstream.NoHealthyHost {
		t.Error(cb.failures)
	}
	b.expect(t, map[string]uint64{"cluster.a.upstream_cx_none_healthy": 1})
}

// TestStatistics compares the names with those of a cluster of a real Envoy 1.40
// that served nothing.
func TestStatistics(t *testing.T) {
	text, err := os.ReadFile("testdata/envoy_statistics.txt")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench()
	b.Add(mustParse(t, "name: a"), nil)
	have := map[string]bool{}
	for _, name := range b.metrics.Names() {
		if name, ok := strings.CutPrefix(name, "cluster.a."); ok {
			have[name] = true
		}
	}
	for line := range strings.Lines(string(text)) {
		name := strings.TrimSpace(line)
		if !have[name] {
			t.Errorf("%s is missing", name)
		}
		delete(have, name)
	}
	for name := range have {
		if !strings.HasPrefix(name, "http1.") && name != "default.total_match_count" { // with the first connection, or host
			t.Errorf("%s is not Envoy's", name)
		}
	}
}
