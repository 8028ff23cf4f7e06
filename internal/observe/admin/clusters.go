package admin

import (
	"strconv"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// A ClusterStatus describes a cluster as /clusters shows it.
type ClusterStatus struct {
	Name              string
	ObservabilityName string // alt_stat_name, or the name
	EDSServiceName    string // "" if there is none
	AddedViaAPI       bool
	Outlier           *OutlierStatus // nil without outlier detection
	Default, High     Thresholds     // the circuit breakers by priority
	Hosts             []HostStatus
}

// Thresholds are the limits of circuit breakers that apply now.
type Thresholds struct {
	MaxConnections, MaxPendingRequests, MaxRequests, MaxRetries uint32
}

// OutlierStatus has the success rates of a cluster in percent, -1 while unknown.
type OutlierStatus struct {
	SuccessRateAverage, SuccessRateEjectionThreshold                       float64
	LocalOriginSuccessRateAverage, LocalOriginSuccessRateEjectionThreshold float64
}

// A HostStatus describes an upstream host.
type HostStatus struct {
	Address  address.Address
	Hostname string

	CxActive, CxConnectFail, CxTotal                                  uint64
	RqActive, RqError, RqPendingActive, RqSuccess, RqTimeout, RqTotal uint64
	Health                                                            HostHealth
	Weight, Priority                                                  uint32
	Region, Zone, SubZone                                             string
	Canary                                                            bool
	SuccessRate, LocalOriginSuccessRate                               float64 // percent; -1 while unknown
}

// HostHealth is why a host is not healthy; the zero value is healthy.
type HostHealth struct {
	FailedActiveHC             bool
	FailedOutlierCheck         bool
	DegradedActiveHC           bool
	PendingDynamicRemoval      bool
	PendingActiveHC            bool
	ExcludedViaImmediateHCFail bool
	ActiveHCTimeout            bool
	EDS                        corev3.HealthStatus // as configured; UNKNOWN counts as HEALTHY
}

// flags returns the health flags in Envoy's words.
func (h HostHealth) flags() string {
	var flags string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{h.FailedActiveHC, "/failed_active_hc"},
		{h.FailedOutlierCheck, "/failed_outlier_check"},
		{h.EDS == corev3.HealthStatus_UNHEALTHY || h.EDS == corev3.HealthStatus_TIMEOUT, "/failed_eds_health"},
		{h.DegradedActiveHC, "/degraded_active_hc"},
		{h.EDS == corev3.HealthStatus_DEGRADED, "/degraded_eds_health"},
		{h.PendingDynamicRemoval, "/pending_dynamic_removal"},
		{h.PendingActiveHC, "/pending_active_hc"},
		{h.ExcludedViaImmediateHCFail, "/excluded_via_immediate_hc_fail"},
		{h.ActiveHCTimeout, "/active_hc_timeout"},
		{h.EDS == corev3.HealthStatus_DRAINING, "/eds_status_draining"},
	} {
		if f.set {
			flags += f.name
		}
	}
	if flags == "" {
		return "healthy"
	}
	return flags
}

func (h HostHealth) message() *adminv3.HostHealthStatus {
	eds := h.EDS
	if eds == corev3.HealthStatus_UNKNOWN {
		eds = corev3.HealthStatus_HEALTHY
	}
	return &adminv3.HostHealthStatus{
		FailedActiveHealthCheck:    h.FailedActiveHC,
		FailedOutlierCheck:         h.FailedOutlierCheck,
		FailedActiveDegradedCheck:  h.DegradedActiveHC,
		PendingDynamicRemoval:      h.PendingDynamicRemoval,
		PendingActiveHc:            h.PendingActiveHC,
		ExcludedViaImmediateHcFail: h.ExcludedViaImmediateHCFail,
		ActiveHcTimeout:            h.ActiveHCTimeout,
		EdsHealthStatus:            eds,
	}
}

// appendText writes one line per property: cluster::key::value, or
// cluster::host::key::value.
func (c *ClusterStatus) appendText(dst []byte) []byte {
	line := func(key, value string) {
		dst = append(append(append(append(append(append(dst, c.Name...), "::"...), key...), "::"...), value...), '\n')
	}
	number := func(key string, value uint64) { line(key, strconv.FormatUint(value, 10)) }
	line("observability_name", c.ObservabilityName)
	if o := c.Outlier; o != nil {
		line("outlier::success_rate_average", formatRate(o.SuccessRateAverage))
		line("outlier::success_rate_ejection_threshold", formatRate(o.SuccessRateEjectionThreshold))
		line("outlier::local_origin_success_rate_average", formatRate(o.LocalOriginSuccessRateAverage))
		line("outlier::local_origin_success_rate_ejection_threshold", formatRate(o.LocalOriginSuccessRateEjectionThreshold))
	}
	thresholds := func(priority string, t Thresholds) {
		number(priority+"::max_connections", uint64(t.MaxConnections))
		number(priority+"::max_pending_requests", uint64(t.MaxPendingRequests))
		number(priority+"::max_requests", uint64(t.MaxRequests))
		number(priority+"::max_retries", uint64(t.MaxRetries))
	}
	thresholds("default_priority", c.Default)
	thresholds("high_priority", c.High)
	line("added_via_api", strconv.FormatBool(c.AddedViaAPI))
	if c.EDSServiceName != "" {
		line("eds_service_name", c.EDSServiceName)
	}
	for i := range c.Hosts {
		h := &c.Hosts[i]
		at := h.Address.String() + "::"
		number(at+"cx_active", h.CxActive)
		number(at+"cx_connect_fail", h.CxConnectFail)
		number(at+"cx_total", h.CxTotal)
		number(at+"rq_active", h.RqActive)
		number(at+"rq_error", h.RqError)
		number(at+"rq_pending_active", h.RqPendingActive)
		number(at+"rq_success", h.RqSuccess)
		number(at+"rq_timeout", h.RqTimeout)
		number(at+"rq_total", h.RqTotal)
		line(at+"hostname", h.Hostname)
		line(at+"health_flags", h.Health.flags())
		number(at+"weight", uint64(h.Weight))
		line(at+"region", h.Region)
		line(at+"zone", h.Zone)
		line(at+"sub_zone", h.SubZone)
		line(at+"canary", strconv.FormatBool(h.Canary))
		number(at+"priority", uint64(h.Priority))
		line(at+"success_rate", formatRate(h.SuccessRate))
		line(at+"local_origin_success_rate", formatRate(h.LocalOriginSuccessRate))
	}
	return dst
}

func (c *ClusterStatus) message() *adminv3.ClusterStatus {
	msg := &adminv3.ClusterStatus{
		Name:              c.Name,
		AddedViaApi:       c.AddedViaAPI,
		ObservabilityName: c.ObservabilityName,
		EdsServiceName:    c.EDSServiceName,
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
			c.Default.message(corev3.RoutingPriority_DEFAULT), c.High.message(corev3.RoutingPriority_HIGH),
		}},
	}
	if o := c.Outlier; o != nil {
		msg.SuccessRateEjectionThreshold = percent(o.SuccessRateEjectionThreshold)
		msg.LocalOriginSuccessRateEjectionThreshold = percent(o.LocalOriginSuccessRateEjectionThreshold)
	}
	for i := range c.Hosts {
		msg.HostStatuses = append(msg.HostStatuses, c.Hosts[i].message())
	}
	return msg
}

func (t Thresholds) message(priority corev3.RoutingPriority) *clusterv3.CircuitBreakers_Thresholds {
	return &clusterv3.CircuitBreakers_Thresholds{
		Priority:           priority,
		MaxConnections:     wrapperspb.UInt32(t.MaxConnections),
		MaxPendingRequests: wrapperspb.UInt32(t.MaxPendingRequests),
		MaxRequests:        wrapperspb.UInt32(t.MaxRequests),
		MaxRetries:         wrapperspb.UInt32(t.MaxRetries),
	}
}

func (h *HostStatus) message() *adminv3.HostStatus {
	counter, gauge := adminv3.SimpleMetric_COUNTER, adminv3.SimpleMetric_GAUGE
	return &adminv3.HostStatus{
		Address: AddressMessage(h.Address),
		Stats: []*adminv3.SimpleMetric{
			{Name: "cx_connect_fail", Type: counter, Value: h.CxConnectFail},
			{Name: "cx_total", Type: counter, Value: h.CxTotal},
			{Name: "rq_error", Type: counter, Value: h.RqError},
			{Name: "rq_success", Type: counter, Value: h.RqSuccess},
			{Name: "rq_timeout", Type: counter, Value: h.RqTimeout},
			{Name: "rq_total", Type: counter, Value: h.RqTotal},
			{Name: "cx_active", Type: gauge, Value: h.CxActive},
			{Name: "rq_active", Type: gauge, Value: h.RqActive},
			{Name: "rq_pending_active", Type: gauge, Value: h.RqPendingActive},
		},
		HealthStatus:           h.Health.message(),
		SuccessRate:            percent(h.SuccessRate),
		LocalOriginSuccessRate: percent(h.LocalOriginSuccessRate),
		Weight:                 h.Weight,
		Hostname:               h.Hostname,
		Priority:               h.Priority,
		Locality:               &corev3.Locality{Region: h.Region, Zone: h.Zone, SubZone: h.SubZone},
	}
}

// percent returns nil for a rate that is not known.
func percent(rate float64) *typev3.Percent {
	if rate < 0 {
		return nil
	}
	return &typev3.Percent{Value: rate}
}
