package server

import (
	"cmp"
	"slices"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
	"github.com/nuncio-proxy/nuncio/internal/upstream/cluster"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

const defaultOverprovisioningFactor = 140

// dumpEndpoints is the hosts' part of /config_dump. Any goroutine.
func (s *Server) dumpEndpoints(match func(string) bool) proto.Message {
	dump := new(adminv3.EndpointsConfigDump)
	s.clusters.Each(func(c *cluster.Cluster, _ time.Time) {
		if match(c.Name()) {
			dump.StaticEndpointConfigs = append(dump.StaticEndpointConfigs,
				&adminv3.EndpointsConfigDump_StaticEndpointConfig{EndpointConfig: pack(endpoints(c))})
		}
	})
	return dump
}

// endpoints are the hosts of a cluster as EDS would say them.
func endpoints(c *cluster.Cluster) *endpointv3.ClusterLoadAssignment {
	type place struct {
		priority int
		locality streaminfo.Locality
	}
	policy := c.Message().GetLoadAssignment().GetPolicy()
	factor := policy.GetOverprovisioningFactor()
	if factor == nil {
		factor = wrapperspb.UInt32(defaultOverprovisioningFactor)
	}
	msg := &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name(), Policy: &endpointv3.ClusterLoadAssignment_Policy{OverprovisioningFactor: factor},
	}
	resolved := c.Message().GetType() != clusterv3.Cluster_STATIC
	places := map[place]*endpointv3.LocalityLbEndpoints{}
	c.EachHost(func(h *host.Host) {
		at := place{h.Priority(), *h.Locality()}
		if places[at] == nil {
			places[at] = &endpointv3.LocalityLbEndpoints{
				Locality:            &corev3.Locality{Region: at.locality.Region, Zone: at.locality.Zone, SubZone: at.locality.SubZone},
				Priority:            uint32(at.priority),
				LoadBalancingWeight: wrapperspb.UInt32(h.LocalityWeight()),
			}
			msg.Endpoints = append(msg.Endpoints, places[at])
		}
		places[at].LbEndpoints = append(places[at].LbEndpoints, lbEndpoint(h, resolved))
	})
	slices.SortFunc(msg.Endpoints, func(a, b *endpointv3.LocalityLbEndpoints) int {
		l, m := a.Locality, b.Locality
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(l.Region, m.Region), cmp.Compare(l.Zone, m.Zone), cmp.Compare(l.SubZone, m.SubZone))
	})
	return msg
}

// lbEndpoint describes a host; one that was resolved has metadata even if they are empty.
func lbEndpoint(h *host.Host, resolved bool) *endpointv3.LbEndpoint {
	e := &endpointv3.LbEndpoint{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: admin.AddressMessage(h.Address()), Hostname: h.Hostname(),
			HealthCheckConfig: &endpointv3.Endpoint_HealthCheckConfig{},
		}},
		HealthStatus:        healthStatus(h.Health()),
		LoadBalancingWeight: wrapperspb.UInt32(h.Weight()),
	}
	if m := h.Metadata(); m != nil || resolved {
		e.Metadata = &corev3.Metadata{FilterMetadata: m}
	}
	return e
}

func healthStatus(h host.Health) corev3.HealthStatus {
	switch h {
	case host.Degraded:
		return corev3.HealthStatus_DEGRADED
	case host.Unhealthy:
		return corev3.HealthStatus_UNHEALTHY
	default:
		return corev3.HealthStatus_HEALTHY
	}
}
