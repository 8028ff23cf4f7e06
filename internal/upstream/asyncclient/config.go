// Package asyncclient makes the gRPC calls of the proxy itself, over its own clusters:
// their balancing, circuit breakers, TLS and statistics apply.
package asyncclient

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// hardLimit bounds a message that is received where nothing is configured, in bytes.
const hardLimit = 256 << 20

// Fields lists the fields of GrpcService that are implemented.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.GrpcService", Names: []string{
		"envoy_grpc.cluster_name", "envoy_grpc.authority", "envoy_grpc.max_receive_message_length",
		"envoy_grpc.skip_envoy_headers", "timeout", "initial_metadata",
	}}
}

// Clients makes the clients of a server. It implements grpcclient.Clients.
type Clients struct {
	// Clusters are those of the configuration. Any goroutine.
	Clusters upstream.Clusters
	Formats  format.Compiler
	// LocalAddress is what x-forwarded-for says of this machine, without a port.
	LocalAddress string
}

var _ grpcclient.Clients = (*Clients)(nil)

// client is the configuration of a service. It is immutable.
type client struct {
	clusters   upstream.Clusters
	cluster    string
	authority  string
	maxMessage int
	metadata   []metadatum
	// forwardedFor is the value of x-forwarded-for, "" where there are to be no headers
	// that say what this proxy is.
	forwardedFor string
}

// A metadatum is a header of each call.
type metadatum struct {
	name   string
	value  headeroption.Value
	binary bool // it is sent in base64
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
	if t := service.GetTimeout(); t != nil && (t.CheckValid() != nil || t.AsDuration() < 0) {
		errs.Add(path.Field("timeout"), "must not be negative")
	}
	made := &client{clusters: c.Clusters, cluster: to.GetClusterName(), authority: to.GetAuthority(), maxMessage: hardLimit}
	if made.authority == "" {
		made.authority = made.cluster
	}
	if n := to.GetMaxReceiveMessageLength().GetValue(); n > 0 {
		made.maxMessage = int(min(n, hardLimit))
	}
	if !to.GetSkipEnvoyHeaders() {
		made.forwardedFor = c.LocalAddress
	}
	for i, h := range service.GetInitialMetadata() {
		made.metadata = append(made.metadata, c.metadatum(h, path.Field("initial_metadata").Index(i), errs))
	}
	if len(*errs) > before {
		return nil
	}
	return made
}

func (c *Clients) metadatum(h *corev3.HeaderValue, path conf.Path, errs *conf.Errors) metadatum {
	name, text, at := strings.ToLower(h.GetKey()), h.GetValue(), path.Field("value")
	if text == "" {
		text, at = string(h.GetRawValue()), path.Field("raw_value")
	}
	if name == "" || name[0] == ':' || name == "host" {
		errs.Add(path.Field("key"), ":-prefixed or host headers may not be modified")
	}
	return metadatum{name: name, value: headeroption.NewValue(text, c.Formats, at, errs), binary: strings.HasSuffix(name, "-bin")}
}
