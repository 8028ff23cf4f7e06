package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringhashv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundrobinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/internal/upstream/lb"
)

// Balancing is how hosts are chosen.
type Balancing struct {
	Policy                 lb.Policy
	OverprovisioningFactor uint32
	PanicThreshold         float64
	ChoiceCount            int
	// ActiveRequestBias may be overridden by the runtime if BiasKey is not "".
	ActiveRequestBias float64
	BiasKey           string
	FullScan          bool // of least request
	LocalityWeighted  bool
	SlowStart         *SlowStart // nil for none
	Hash              lb.Hash    // of RingHash and Maglev; without what hashStats adds
}

const (
	defaultOverprovisioning = 140
	defaultChoiceCount      = 2
	minChoiceCount          = 2
	localityWeighted        = "locality_lb_config.locality_weighted_lb_config" // a field
	panicThresholdKey       = "upstream.healthy_panic_threshold"
)

// balancer returns the configuration of the balancer with the runtime that
// overrides parts of it.
func (b *Balancing) balancer(runtime runtimeconf.Loader) lb.Config {
	c := lb.Config{
		Policy: b.Policy, OverprovisioningFactor: b.OverprovisioningFactor, ChoiceCount: b.ChoiceCount, FullScan: b.FullScan,
		Hash: b.Hash, LocalityWeighted: b.LocalityWeighted,
		ActiveRequestBias: func() float64 { return b.ActiveRequestBias },
		PanicThreshold:    func() float64 { return min(100, runtime.Snapshot().Double(panicThresholdKey, b.PanicThreshold)) },
	}
	if s := b.SlowStart; s != nil {
		c.SlowStart = &lb.SlowStart{Window: s.Window, MinWeight: s.MinWeight, Aggression: func() float64 { return s.Aggression }}
		if s.AggressionKey != "" {
			c.SlowStart.Aggression = func() float64 { return runtime.Snapshot().Double(s.AggressionKey, s.Aggression) }
		}
	}
	if b.BiasKey != "" {
		c.ActiveRequestBias = func() float64 { return max(0, runtime.Snapshot().Double(b.BiasKey, b.ActiveRequestBias)) }
	}
	return c
}

func balancingFields() []conf.Fields {
	return []conf.Fields{oldRoundRobinFields(), roundRobinFields(), leastRequestFields(), randomFields(),
		ringHashFields(), maglevFields()}
}

func oldRoundRobinFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig", Names: []string{"slow_start_config"}}
}

func roundRobinFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin", Names: []string{"slow_start_config", localityWeighted}}
}

func leastRequestFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
		Names: []string{"choice_count", "active_request_bias", "slow_start_config", "selection_method", localityWeighted}}
}

func randomFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.load_balancing_policies.random.v3.Random", Names: []string{localityWeighted}}
}

func parseBalancing(msg *clusterv3.Cluster, path conf.Path, errs *conf.Errors) Balancing {
	b := Balancing{
		OverprovisioningFactor: uint32Or(msg.GetLoadAssignment().GetPolicy().GetOverprovisioningFactor(), defaultOverprovisioning),
		PanicThreshold:         defaultPanicThreshold,
		ChoiceCount:            defaultChoiceCount,
		ActiveRequestBias:      1,
	}
	if p := msg.GetCommonLbConfig().GetHealthyPanicThreshold(); p != nil {
		b.PanicThreshold = p.GetValue()
	}
	if c := msg.GetRoundRobinLbConfig(); c != nil {
		conf.Check(c, oldRoundRobinFields(), path.Field("round_robin_lb_config"), errs)
	}
	if policy := msg.GetLoadBalancingPolicy(); policy != nil {
		b.parsePolicy(policy, path.Field("load_balancing_policy"), errs)
		return b
	}
	b.LocalityWeighted = msg.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
	switch msg.GetLbPolicy() {
	case clusterv3.Cluster_ROUND_ROBIN:
		b.Policy = lb.RoundRobin
		if s := msg.GetRoundRobinLbConfig().GetSlowStartConfig(); s != nil {
			b.slowStart(s, path.Field("round_robin_lb_config").Field("slow_start_config"), errs)
		}
	case clusterv3.Cluster_LEAST_REQUEST:
		b.Policy = lb.LeastRequest
		c := msg.GetLeastRequestLbConfig()
		b.leastRequest(c.GetChoiceCount(), c.GetActiveRequestBias())
		if s := c.GetSlowStartConfig(); s != nil {
			b.slowStart(s, path.Field("least_request_lb_config").Field("slow_start_config"), errs)
		}
	case clusterv3.Cluster_RANDOM:
		b.Policy = lb.Random
	case clusterv3.Cluster_RING_HASH:
		b.Policy = lb.RingHash
		b.oldHashing(msg, path, errs)
	case clusterv3.Cluster_MAGLEV:
		b.Policy = lb.Maglev
		b.oldHashing(msg, path, errs)
	case clusterv3.Cluster_CLUSTER_PROVIDED: // parseOriginalDst checks it
	case clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG:
		errs.Add(path.Field("load_balancing_policy"), "must be set if lb_policy is LOAD_BALANCING_POLICY_CONFIG")
	default:
		errs.Add(path.Field("lb_policy"), "value %s is not implemented", msg.GetLbPolicy())
	}
	return b
}

// parsePolicy takes the first policy of the list that is implemented, as the list is
// meant.
func (b *Balancing) parsePolicy(msg *clusterv3.LoadBalancingPolicy, path conf.Path, errs *conf.Errors) {
	path = path.Field("policies")
	for i, p := range msg.GetPolicies() {
		at := path.Index(i).Field("typed_extension_config").Field("typed_config")
		var unknown conf.Errors
		switch m := extension.Unpack(p.GetTypedExtensionConfig().GetTypedConfig(), at, &unknown).(type) {
		case *roundrobinv3.RoundRobin:
			conf.Check(m, roundRobinFields(), at, errs)
			b.Policy, b.LocalityWeighted = lb.RoundRobin, m.GetLocalityLbConfig().GetLocalityWeightedLbConfig() != nil
			if s := m.GetSlowStartConfig(); s != nil {
				b.slowStart(s, at.Field("slow_start_config"), errs)
			}
			return
		case *leastrequestv3.LeastRequest:
			conf.Check(m, leastRequestFields(), at, errs)
			b.Policy = lb.LeastRequest
			b.leastRequest(m.GetChoiceCount(), m.GetActiveRequestBias())
			if s := m.GetSlowStartConfig(); s != nil {
				b.slowStart(s, at.Field("slow_start_config"), errs)
			}
			b.FullScan = m.GetSelectionMethod() == leastrequestv3.LeastRequest_FULL_SCAN
			b.LocalityWeighted = m.GetLocalityLbConfig().GetLocalityWeightedLbConfig() != nil
			return
		case *randomv3.Random:
			conf.Check(m, randomFields(), at, errs)
			b.Policy, b.LocalityWeighted = lb.Random, m.GetLocalityLbConfig().GetLocalityWeightedLbConfig() != nil
			return
		case *ringhashv3.RingHash:
			b.ringHash(m, at, errs)
			return
		case *maglevv3.Maglev:
			b.maglev(m, at, errs)
			return
		}
	}
	errs.Add(path, "none of these load balancing policies is implemented; there are round_robin, least_request, random, ring_hash and maglev")
}

func (b *Balancing) leastRequest(choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble) {
	b.ChoiceCount = max(int(uint32Or(choices, defaultChoiceCount)), minChoiceCount)
	if bias != nil {
		b.ActiveRequestBias, b.BiasKey = max(0, bias.GetDefaultValue()), bias.GetRuntimeKey()
	}
}
