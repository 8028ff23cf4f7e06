// Package asyncclient makes the gRPC calls of the proxy itself, over its own clusters:
// their balancing, circuit breakers, TLS and statistics apply.
package asyncclient

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// hardLimit bounds a message that is received where nothing is configured, in bytes.
const hardLimit = 256 << 20

// Fields lists the fields of GrpcService that are implemented.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.GrpcService", Names: []string{
		"envoy_grpc.cluster_name", "envoy_grpc.authority", "envoy_grpc.max_receive_message_length", "timeout",
		"initial_metadata",
		// There are no such headers.
		"envoy_grpc.skip_envoy_headers",
	}}
}

// Clients makes the clients of a server. It implements grpcclient.Clients.
type Clients struct {
	// Clusters are those of the configuration. Any goroutine.
	Clusters upstream.Clusters
	Formats  format.Compiler
}

var _ grpcclient.Clients = (*Clients)(nil)

// client is the configuration of a service. It is immutable.
type client struct {
	clusters   upstream.Clusters
	cluster    string
	authority  string
	timeout    time.Duration // 0 for none
	maxMessage int
	metadata   []metadatum
}

// A metadatum is a header of each call.
type metadatum struct {
	name  string
	value format.Format
}

// Client implements grpcclient.Clients.
func (c *Clients) Client(service *corev3.GrpcService, path conf.Path, errs *conf.Errors) grpcclient.Client {
	before := len(*errs)
	conf.Check(service, Fields(), path, errs)
	to, at := service.GetEnvoyGrpc(), path.Field("envoy_grpc")
	if to == nil {
		if len(*errs) == before {
			errs.Add(path, "envoy_grpc must be set")
		}
		return nil
	}
	if !c.Clusters.Known(to.GetClusterName()) {
		errs.Add(at.Field("cluster_name"), "Unknown gRPC client cluster '%s'", to.GetClusterName())
	}
	made := &client{clusters: c.Clusters, cluster: to.GetClusterName(), authority: to.GetAuthority(),
		timeout: service.GetTimeout().AsDuration(), maxMessage: hardLimit}
	if made.authority == "" {
		made.authority = made.cluster
	}
	if n := to.GetMaxReceiveMessageLength().GetValue(); n > 0 {
		made.maxMessage = int(min(n, hardLimit))
	}
	for i, h := range service.GetInitialMetadata() {
		value, err := c.Formats.Compile(h.GetValue())
		if err != nil {
			errs.Add(path.Field("initial_metadata").Index(i).Field("value"), "%v", err)
			continue
		}
		made.metadata = append(made.metadata, metadatum{strings.ToLower(h.GetKey()), value})
	}
	if len(*errs) > before {
		return nil
	}
	return made
}
