package cluster

import (
	"fmt"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Text returns the clusters for which match is true as admin's /clusters prints
// them. Any goroutine.
func (m *Manager) Text(match func(name string) bool) string {
	var b strings.Builder
	for _, e := range m.sorted() {
		if match(e.cluster.Name()) {
			e.cluster.text(&b)
		}
	}
	return b.String()
}

func (c *Cluster) text(b *strings.Builder) {
	line := func(format string, args ...any) {
		b.WriteString(c.info.Name)
		b.WriteString("::")
		fmt.Fprintf(b, format, args...)
		b.WriteByte('\n')
	}
	line("observability_name::%s", c.info.ObservabilityName)
	for p := range c.resources {
		prefix, r := upstream.Priority(p).String()+"_priority", &c.resources[p]
		line("%s::max_connections::%d", prefix, r.Connections.Max())
		line("%s::max_pending_requests::%d", prefix, r.PendingRequests.Max())
		line("%s::max_requests::%d", prefix, r.Requests.Max())
		line("%s::max_retries::%d", prefix, r.Retries.Max())
	}
	line("added_via_api::%t", c.info.AddedViaAPI)
	c.eachHost(func(h *host.Host) {
		a, l := h.Address(), h.Locality()
		for _, v := range append(hostMetrics(h.Stats()), []metric{
			{"hostname", h.Hostname()}, {"health_flags", h.HealthFlags()}, {"weight", h.Weight()},
			{"region", l.Region}, {"zone", l.Zone}, {"sub_zone", l.SubZone}, {"canary", h.Canary()},
			{"priority", h.Priority()}, {"success_rate", -1}, {"local_origin_success_rate", -1},
		}...) {
			line("%s::%s::%v", a, v.name, v.value)
		}
	})
}

func (c *Cluster) eachHost(f func(*host.Host)) {
	set := c.hosts.Load()
	for i := range set.Levels {
		for _, h := range set.Levels[i].Hosts {
			f(h)
		}
	}
}

type metric struct {
	name  string
	value any
}

// hostMetrics returns the counts of a host by name.
func hostMetrics(s *host.Stats) []metric {
	return []metric{
		{"cx_active", s.CxActive.Load()}, {"cx_connect_fail", s.CxConnectFail.Load()}, {"cx_total", s.CxTotal.Load()},
		{"rq_active", s.RqActive.Load()}, {"rq_error", s.RqError.Load()}, {"rq_pending_active", s.RqPendingActive.Load()},
		{"rq_success", s.RqSuccess.Load()}, {"rq_timeout", s.RqTimeout.Load()}, {"rq_total", s.RqTotal.Load()},
	}
}

// Message returns what Text does as admin's JSON has it. Any goroutine.
func (m *Manager) Message(match func(name string) bool) *adminv3.Clusters {
	all := &adminv3.Clusters{}
	for _, e := range m.sorted() {
		if match(e.cluster.Name()) {
			all.ClusterStatuses = append(all.ClusterStatuses, e.cluster.message())
		}
	}
	return all
}

func (c *Cluster) message() *adminv3.ClusterStatus {
	s := &adminv3.ClusterStatus{
		Name: c.info.Name, AddedViaApi: c.info.AddedViaAPI, ObservabilityName: c.info.ObservabilityName,
		CircuitBreakers: &clusterv3.CircuitBreakers{},
	}
	for p, priority := range []corev3.RoutingPriority{corev3.RoutingPriority_DEFAULT, corev3.RoutingPriority_HIGH} {
		limit := func(r *upstream.Resource) *wrapperspb.UInt32Value { return wrapperspb.UInt32(uint32(r.Max())) }
		r := &c.resources[p]
		s.CircuitBreakers.Thresholds = append(s.CircuitBreakers.Thresholds, &clusterv3.CircuitBreakers_Thresholds{
			Priority: priority, MaxConnections: limit(&r.Connections), MaxPendingRequests: limit(&r.PendingRequests),
			MaxRequests: limit(&r.Requests), MaxRetries: limit(&r.Retries),
		})
	}
	c.eachHost(func(h *host.Host) { s.HostStatuses = append(s.HostStatuses, hostMessage(h)) })
	return s
}

func hostMessage(h *host.Host) *adminv3.HostStatus {
	l, flags := h.Locality(), h.HealthFlags()
	m := &adminv3.HostStatus{
		Address: addressMessage(h.Address()), Weight: h.Weight(), Hostname: h.Hostname(), Priority: uint32(h.Priority()),
		Locality: &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone},
		HealthStatus: &adminv3.HostHealthStatus{
			EdsHealthStatus:            edsStatus(flags),
			FailedActiveHealthCheck:    flags&host.FailedActiveHC != 0,
			FailedOutlierCheck:         flags&host.FailedOutlierCheck != 0,
			FailedActiveDegradedCheck:  flags&host.DegradedActiveHC != 0,
			PendingDynamicRemoval:      flags&host.PendingDynamicRemoval != 0,
			PendingActiveHc:            flags&host.PendingActiveHC != 0,
			ExcludedViaImmediateHcFail: flags&host.ExcludedViaImmediateHCFail != 0,
			ActiveHcTimeout:            flags&host.ActiveHCTimeout != 0,
		},
	}
	counters, gauges := []*adminv3.SimpleMetric{}, []*adminv3.SimpleMetric{}
	for _, v := range hostMetrics(h.Stats()) {
		switch n := v.value.(type) {
		case uint64:
			counters = append(counters, &adminv3.SimpleMetric{Name: v.name, Value: n})
		case int64:
			gauges = append(gauges, &adminv3.SimpleMetric{Type: adminv3.SimpleMetric_GAUGE, Name: v.name, Value: uint64(max(n, 0))})
		}
	}
	m.Stats = append(counters, gauges...)
	return m
}

func edsStatus(f host.HealthFlags) corev3.HealthStatus {
	switch {
	case f&host.EDSStatusDraining != 0:
		return corev3.HealthStatus_DRAINING
	case f&host.FailedEDSHealth != 0:
		return corev3.HealthStatus_UNHEALTHY
	case f&host.DegradedEDSHealth != 0:
		return corev3.HealthStatus_DEGRADED
	}
	return corev3.HealthStatus_HEALTHY
}

func addressMessage(a address.Address) *corev3.Address {
	if a.IsUnix() {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: a.Path()}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.IP().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())}}}}
}

// ConfigDump returns the configuration of the clusters for admin's /config_dump. Any
// goroutine.
func (m *Manager) ConfigDump() *adminv3.ClustersConfigDump {
	dump := &adminv3.ClustersConfigDump{}
	for _, e := range m.sorted() {
		packed, err := anypb.New(e.cluster.config.Message)
		if err != nil {
			continue // not possible: it was read from a message
		}
		dump.StaticClusters = append(dump.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{
			Cluster: packed, LastUpdated: timestamppb.New(e.added),
		})
	}
	return dump
}
