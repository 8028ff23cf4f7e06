package cluster

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/addr"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// An Endpoint is one configured endpoint: a host, or a name that stands for hosts.
type Endpoint struct {
	// Host describes the hosts; its address is not valid if Name is set.
	Host host.Config
	Name string
	Port uint16
}

func loadAssignmentFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.endpoint.v3.ClusterLoadAssignment", Names: []string{
		"cluster_name", "policy.overprovisioning_factor",
		"endpoints.locality", "endpoints.metadata.filter_metadata", "endpoints.load_balancing_weight", "endpoints.priority",
		"endpoints.lb_endpoints.endpoint.address", "endpoints.lb_endpoints.endpoint.hostname",
		"endpoints.lb_endpoints.health_status", "endpoints.lb_endpoints.metadata.filter_metadata",
		"endpoints.lb_endpoints.load_balancing_weight",
	}}
}

// parseLoadAssignment reads the endpoints.
func parseLoadAssignment(msg *endpointv3.ClusterLoadAssignment, d Discovery, path conf.Path, errs *conf.Errors) []Endpoint {
	conf.Check(msg, loadAssignmentFields(), path, errs)
	var all []Endpoint
	for i, locality := range msg.GetEndpoints() {
		at := path.Field("endpoints").Index(i)
		for j, e := range locality.GetLbEndpoints() {
			all = append(all, parseEndpoint(e, locality, d, at.Field("lb_endpoints").Index(j), errs))
		}
	}
	if d == LogicalDNS && (len(msg.GetEndpoints()) != 1 || len(all) != 1) {
		errs.Add(path.Field("endpoints"), "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint")
	}
	return all
}

func parseEndpoint(msg *endpointv3.LbEndpoint, locality *endpointv3.LocalityLbEndpoints, d Discovery, path conf.Path, errs *conf.Errors) Endpoint {
	l := locality.GetLocality()
	e := Endpoint{Host: host.Config{
		Hostname:         msg.GetEndpoint().GetHostname(),
		Weight:           uint32Or(msg.GetLoadBalancingWeight(), 1),
		Priority:         int(locality.GetPriority()),
		Locality:         streaminfo.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()},
		LocalityWeight:   locality.GetLoadBalancingWeight().GetValue(),
		LocalityMetadata: metadata(locality.GetMetadata()),
		Metadata:         metadata(msg.GetMetadata()),
		Health:           healthFlags(msg.GetHealthStatus()),
	}}
	at := path.Field("endpoint").Field("address")
	if d == Static {
		spec := addr.Parse(msg.GetEndpoint().GetAddress(), at, errs)
		e.Host.Address = spec.Address
		checkTCP(spec, at, errs)
		return e
	}
	spec := addr.ParseName(msg.GetEndpoint().GetAddress(), at, errs)
	e.Name, e.Port = spec.Host, spec.Port
	checkTCP(spec, at, errs)
	switch {
	case spec.Address.IsUnix():
		errs.Add(at, "%s clusters have no Unix sockets", d)
	case spec.Address.IsInternal():
		errs.Add(at, "%s clusters have no internal listeners", d)
	case spec.Address.IsValid():
		e.Name = spec.Address.IP().String()
	}
	if e.Host.Hostname == "" {
		e.Host.Hostname = e.Name
	}
	return e
}

func checkTCP(spec addr.Spec, path conf.Path, errs *conf.Errors) {
	if spec.UDP {
		errs.Add(path.Field("socket_address").Field("protocol"), "value UDP is not implemented")
	}
}

// healthFlags turns the health that the configuration states into flags, as EDS has
// them.
func healthFlags(s corev3.HealthStatus) host.HealthFlags {
	switch s {
	case corev3.HealthStatus_UNHEALTHY, corev3.HealthStatus_TIMEOUT:
		return host.FailedEDSHealth
	case corev3.HealthStatus_DRAINING:
		return host.FailedEDSHealth | host.EDSStatusDraining
	case corev3.HealthStatus_DEGRADED:
		return host.DegradedEDSHealth
	}
	return 0
}
