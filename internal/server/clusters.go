package server

import (
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
	"github.com/nuncio-proxy/nuncio/internal/upstream/cluster"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// clusterStatus is what /clusters shows. Any goroutine.
func (s *Server) clusterStatus() []admin.ClusterStatus {
	var all []admin.ClusterStatus
	s.clusters.Each(func(c *cluster.Cluster, _ time.Time) {
		status := admin.ClusterStatus{
			Name: c.Name(), ObservabilityName: c.Info().ObservabilityName, AddedViaAPI: c.Info().AddedViaAPI,
			Default: thresholds(c.Resources(upstream.Default)), High: thresholds(c.Resources(upstream.High)),
		}
		c.EachHost(func(h *host.Host) { status.Hosts = append(status.Hosts, hostStatus(h)) })
		all = append(all, status)
	})
	return all
}

func thresholds(r *upstream.Resources) admin.Thresholds {
	return admin.Thresholds{
		MaxConnections: uint32(r.Connections.Max()), MaxPendingRequests: uint32(r.PendingRequests.Max()),
		MaxRequests: uint32(r.Requests.Max()), MaxRetries: uint32(r.Retries.Max()),
	}
}

func hostStatus(h *host.Host) admin.HostStatus {
	n, l := h.Stats(), h.Locality()
	return admin.HostStatus{
		Address: h.Address(), Hostname: h.Hostname(),
		CxActive: uint64(n.CxActive.Load()), CxConnectFail: n.CxConnectFail.Load(), CxTotal: n.CxTotal.Load(),
		RqActive: uint64(n.RqActive.Load()), RqError: n.RqError.Load(), RqPendingActive: uint64(n.RqPendingActive.Load()),
		RqSuccess: n.RqSuccess.Load(), RqTimeout: n.RqTimeout.Load(), RqTotal: n.RqTotal.Load(),
		Health: hostHealth(h.HealthFlags()), Weight: h.Weight(), Priority: uint32(h.Priority()),
		Region: l.Region, Zone: l.Zone, SubZone: l.SubZone, Canary: h.Canary(),
		SuccessRate: -1, LocalOriginSuccessRate: -1,
	}
}

func hostHealth(f host.HealthFlags) admin.HostHealth {
	h := admin.HostHealth{
		FailedActiveHC: f&host.FailedActiveHC != 0, FailedOutlierCheck: f&host.FailedOutlierCheck != 0,
		DegradedActiveHC: f&host.DegradedActiveHC != 0, PendingDynamicRemoval: f&host.PendingDynamicRemoval != 0,
		PendingActiveHC:            f&host.PendingActiveHC != 0,
		ExcludedViaImmediateHCFail: f&host.ExcludedViaImmediateHCFail != 0, ActiveHCTimeout: f&host.ActiveHCTimeout != 0,
	}
	switch {
	case f&host.EDSStatusDraining != 0:
		h.EDS = corev3.HealthStatus_DRAINING
	case f&host.FailedEDSHealth != 0:
		h.EDS = corev3.HealthStatus_UNHEALTHY
	case f&host.DegradedEDSHealth != 0:
		h.EDS = corev3.HealthStatus_DEGRADED
	}
	return h
}

// dumpClusters is the clusters' part of /config_dump. Any goroutine.
func (s *Server) dumpClusters(match func(string) bool) proto.Message {
	dump := new(adminv3.ClustersConfigDump)
	s.clusters.Each(func(c *cluster.Cluster, added time.Time) {
		if match(c.Name()) {
			dump.StaticClusters = append(dump.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{
				Cluster: pack(c.Message()), LastUpdated: timestamppb.New(added),
			})
		}
	})
	return dump
}
