package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	ringhashv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

const (
	defaultMinRingSize = 1024
	defaultMaxRingSize = 8 << 20
	defaultTableSize   = 65537
)

func ringHashFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash", Names: []string{
		"locality_weighted_lb_config", "hash_function", "minimum_ring_size", "maximum_ring_size", "use_hostname_for_hashing", "hash_balance_factor",
		"consistent_hashing_lb_config.use_hostname_for_hashing", "consistent_hashing_lb_config.hash_balance_factor"}}
}

func maglevFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.load_balancing_policies.maglev.v3.Maglev", Names: []string{
		"table_size", "locality_weighted_lb_config", "consistent_hashing_lb_config.use_hostname_for_hashing", "consistent_hashing_lb_config.hash_balance_factor"}}
}

// consistentHashing is the message of that name: the policy's, or that of
// common_lb_config.
type consistentHashing interface {
	GetUseHostnameForHashing() bool
	GetHashBalanceFactor() *wrapperspb.UInt32Value
}

func (b *Balancing) ringHash(msg *ringhashv3.RingHash, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, ringHashFields(), path, errs)
	b.Policy, b.LocalityWeighted = lb.RingHash, msg.GetLocalityWeightedLbConfig() != nil
	b.Hash.Murmur = msg.GetHashFunction() == ringhashv3.RingHash_MURMUR_HASH_2
	b.ringSize(msg.GetMinimumRingSize(), msg.GetMaximumRingSize(), path, errs)
	if c := msg.GetConsistentHashingLbConfig(); c != nil {
		b.consistent(c)
	} else {
		b.consistent(msg) // the deprecated fields
	}
}

func (b *Balancing) maglev(msg *maglevv3.Maglev, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, maglevFields(), path, errs)
	b.Policy, b.LocalityWeighted = lb.Maglev, msg.GetLocalityWeightedLbConfig() != nil
	b.tableSize(msg.GetTableSize(), path, errs)
	b.consistent(msg.GetConsistentHashingLbConfig())
}

// oldHashing reads the fields of a cluster for lb_policy RING_HASH and MAGLEV.
func (b *Balancing) oldHashing(msg *clusterv3.Cluster, path conf.Path, errs *conf.Errors) {
	if b.Policy == lb.RingHash {
		ring := msg.GetRingHashLbConfig()
		b.Hash.Murmur = ring.GetHashFunction() == clusterv3.Cluster_RingHashLbConfig_MURMUR_HASH_2
		b.ringSize(ring.GetMinimumRingSize(), ring.GetMaximumRingSize(), path.Field("ring_hash_lb_config"), errs)
	} else {
		b.tableSize(msg.GetMaglevLbConfig().GetTableSize(), path.Field("maglev_lb_config"), errs)
	}
	b.consistent(msg.GetCommonLbConfig().GetConsistentHashingLbConfig())
	if b.Hash.UseHostname && (msg.GetClusterType() != nil || msg.GetType() != clusterv3.Cluster_STRICT_DNS) {
		errs.Add(path.Field("common_lb_config").Field("consistent_hashing_lb_config").Field("use_hostname_for_hashing"), "cannot use hostname for consistent hashing: the type of the cluster is not STRICT_DNS")
	}
}

func (b *Balancing) ringSize(least, most *wrapperspb.UInt64Value, path conf.Path, errs *conf.Errors) {
	b.Hash.MinRingSize, b.Hash.MaxRingSize = uint64Or(least, defaultMinRingSize), uint64Or(most, defaultMaxRingSize)
	if b.Hash.MinRingSize > b.Hash.MaxRingSize {
		errs.Add(path, "ring hash: minimum_ring_size (%d) > maximum_ring_size (%d)", b.Hash.MinRingSize, b.Hash.MaxRingSize)
	}
}

func (b *Balancing) tableSize(msg *wrapperspb.UInt64Value, path conf.Path, errs *conf.Errors) {
	b.Hash.TableSize = uint64Or(msg, defaultTableSize)
	if !prime(b.Hash.TableSize) {
		errs.Add(path.Field("table_size"), "the table size of maglev must be a prime number")
	}
}

func (b *Balancing) consistent(msg consistentHashing) {
	b.Hash.UseHostname, b.Hash.BalanceFactor = msg.GetUseHostnameForHashing(), msg.GetHashBalanceFactor().GetValue()
}

func prime(n uint64) bool {
	if n < 2 {
		return false
	}
	for d := uint64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

func uint64Or(v *wrapperspb.UInt64Value, otherwise uint64) uint64 {
	if v == nil {
		return otherwise
	}
	return v.GetValue()
}

// hashStats adds what a consistent-hashing balancer needs of the cluster: gauges below
// ring_hash_lb. or maglev_lb., and the number of requests.
func hashStats(c *lb.Config, active *stats.Gauge, sub func(prefix string) stats.Scope) {
	c.Hash.ActiveRequests = active.Value
	switch c.Policy {
	case lb.RingHash:
		s := sub("ring_hash_lb.")
		c.Hash.Size, c.Hash.MinPerHost, c.Hash.MaxPerHost = s.Gauge("size"), s.Gauge("min_hashes_per_host"), s.Gauge("max_hashes_per_host")
	case lb.Maglev:
		s := sub("maglev_lb.")
		c.Hash.MinPerHost, c.Hash.MaxPerHost = s.Gauge("min_entries_per_host"), s.Gauge("max_entries_per_host")
	}
}
