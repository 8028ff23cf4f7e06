package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/upstream/dns"
)

// A Discovery says where the hosts of a cluster come from.
type Discovery uint8

// The discoveries.
const (
	Static              Discovery = iota
	StrictDNS                     // every address of every name is a host
	LogicalDNS                    // one host, at the first address of the name
	OriginalDestination           // where downstream connections were for
)

// String returns the name in the configuration.
func (d Discovery) String() string {
	return [...]string{"STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST"}[d]
}

// DNS is how names are resolved, and how often.
type DNS struct {
	Family      dns.Family
	RefreshRate time.Duration
	Jitter      time.Duration // at most added to it
	// RespectTTL takes the time to live instead of RefreshRate, but at least
	// MinRefreshRate.
	RespectTTL     bool
	MinRefreshRate time.Duration
	// After failures the wait is random, below FailureBase at first and below
	// FailureMax in the end; with FailureBase 0 it is RefreshRate.
	FailureBase, FailureMax time.Duration
}

const (
	defaultRefreshRate = 5 * time.Second
	// maxFailureFactor times the base is the default of the longest wait.
	maxFailureFactor = 10
)

func dnsClusterFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.clusters.dns.v3.DnsCluster", Names: []string{
		"dns_refresh_rate", "dns_failure_refresh_rate", "respect_dns_ttl", "dns_jitter", "dns_lookup_family",
		"all_addresses_in_single_endpoint", "dns_min_refresh_rate"}}
}

func (c *Config) parseDiscovery(msg *clusterv3.Cluster, path conf.Path, errs *conf.Errors) {
	if custom := msg.GetClusterType(); custom != nil {
		at := path.Field("cluster_type").Field("typed_config")
		switch m := extension.Unpack(custom.GetTypedConfig(), at, errs).(type) {
		case nil:
		case *dnsclusterv3.DnsCluster:
			c.parseDNSCluster(m, at, errs)
		default:
			errs.Add(at, "cluster type %s is not implemented", custom.GetName())
		}
		return
	}
	switch msg.GetType() {
	case clusterv3.Cluster_STATIC:
		c.Discovery = Static
	case clusterv3.Cluster_STRICT_DNS:
		c.Discovery = StrictDNS
	case clusterv3.Cluster_LOGICAL_DNS:
		c.Discovery = LogicalDNS
	case clusterv3.Cluster_ORIGINAL_DST:
		c.Discovery = OriginalDestination
	default:
		errs.Add(path.Field("type"), "value %s is not implemented", msg.GetType())
	}
	families := map[clusterv3.Cluster_DnsLookupFamily]dns.Family{
		clusterv3.Cluster_V4_ONLY: dns.V4Only, clusterv3.Cluster_V6_ONLY: dns.V6Only,
		clusterv3.Cluster_V4_PREFERRED: dns.V4Preferred, clusterv3.Cluster_ALL: dns.All,
	}
	c.DNS = DNS{
		Family:      families[msg.GetDnsLookupFamily()], // AUTO is 0 in both
		RefreshRate: durationOr(msg.GetDnsRefreshRate(), defaultRefreshRate),
		Jitter:      msg.GetDnsJitter().AsDuration(),
		RespectTTL:  msg.GetRespectDnsTtl(),
	}
	if f := msg.GetDnsFailureRefreshRate(); f != nil {
		c.DNS.failure(f.GetBaseInterval(), f.GetMaxInterval(), path.Field("dns_failure_refresh_rate"), errs)
	}
	c.DNS.check(path, errs)
}

func (c *Config) parseDNSCluster(msg *dnsclusterv3.DnsCluster, path conf.Path, errs *conf.Errors) {
	conf.Check(msg, dnsClusterFields(), path, errs)
	c.Discovery = StrictDNS
	if msg.GetAllAddressesInSingleEndpoint() {
		c.Discovery = LogicalDNS
	}
	families := map[dnsv3.DnsLookupFamily]dns.Family{
		dnsv3.DnsLookupFamily_V4_ONLY: dns.V4Only, dnsv3.DnsLookupFamily_V6_ONLY: dns.V6Only,
		dnsv3.DnsLookupFamily_V4_PREFERRED: dns.V4Preferred, dnsv3.DnsLookupFamily_ALL: dns.All,
	}
	c.DNS = DNS{
		Family:         families[msg.GetDnsLookupFamily()],
		RefreshRate:    durationOr(msg.GetDnsRefreshRate(), defaultRefreshRate),
		Jitter:         msg.GetDnsJitter().AsDuration(),
		RespectTTL:     msg.GetRespectDnsTtl(),
		MinRefreshRate: msg.GetDnsMinRefreshRate().AsDuration(),
	}
	if f := msg.GetDnsFailureRefreshRate(); f != nil {
		c.DNS.failure(f.GetBaseInterval(), f.GetMaxInterval(), path.Field("dns_failure_refresh_rate"), errs)
	}
	c.DNS.check(path, errs)
}

func (d *DNS) failure(base, most *durationpb.Duration, path conf.Path, errs *conf.Errors) {
	d.FailureBase = base.AsDuration()
	d.FailureMax = durationOr(most, maxFailureFactor*d.FailureBase)
	if d.FailureBase <= 0 {
		errs.Add(path.Field("base_interval"), "must be greater than 0s")
	}
	if d.FailureMax < d.FailureBase {
		errs.Add(path, "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval")
	}
}

func (d *DNS) check(path conf.Path, errs *conf.Errors) {
	if d.RefreshRate < time.Millisecond {
		errs.Add(path.Field("dns_refresh_rate"), "must be at least 1ms")
	}
	if d.Jitter < 0 {
		errs.Add(path.Field("dns_jitter"), "must not be negative")
	}
}
