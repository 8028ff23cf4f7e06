package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// transportMatchMetadata is the metadata of endpoints that transport_socket_matches look
// at.
const transportMatchMetadata = "envoy.transport_socket_match"

// Transports make the transport sockets of a cluster. They are immutable, but for
// release.
type Transports struct {
	otherwise transport.ClientFactory // nil for plain ones
	matches   []transportMatch
	// proxyHeader says that connections depend on the addresses of the downstream.
	proxyHeader bool
	closers     []func() // main goroutine
}

// A transportMatch is the transport of the endpoints with certain metadata.
type transportMatch struct {
	name     string
	criteria map[string]*structpb.Value
	factory  transport.ClientFactory // nil for plain ones
}

// parseTransports reads transport_socket and transport_socket_matches.
func parseTransports(msg *clusterv3.Cluster, ctx extension.Context, info string, path conf.Path, errs *conf.Errors) Transports {
	var t Transports
	if msg.GetTransportSocket() == nil && len(msg.GetTransportSocketMatches()) == 0 {
		return t
	}
	scope := ctx.Stats.Scope("cluster." + info + ".")
	t.closers = append(t.closers, scope.Close)
	sockets := extension.TransportSocketContext{
		Context: ctx, Scope: scope, ClusterMetadata: metadata(msg.GetMetadata()),
		Closed: func(f func()) { t.closers = append(t.closers, f) },
	}
	t.otherwise = sockets.UpstreamTransportSocket(msg.GetTransportSocket(), path.Field("transport_socket"), errs)
	for i, m := range msg.GetTransportSocketMatches() {
		at := path.Field("transport_socket_matches").Index(i)
		t.matches = append(t.matches, transportMatch{
			name: m.GetName(), criteria: m.GetMatch().GetFields(),
			factory: sockets.UpstreamTransportSocket(m.GetTransportSocket(), at.Field("transport_socket"), errs),
		})
	}
	t.proxyHeader = t.sendsProxyHeader()
	return t
}

// checkALPN wants all transports to agree on a protocol.
func (t *Transports) checkALPN(cluster string, path conf.Path, errs *conf.Errors) {
	if t.otherwise == nil || !t.otherwise.SupportsALPN() {
		errs.Add(path, "ALPN configured for cluster %s which has a non-ALPN transport socket", cluster)
	}
	for i, m := range t.matches {
		if m.factory == nil || !m.factory.SupportsALPN() {
			errs.Add(path.Field("transport_socket_matches").Index(i), "ALPN configured for cluster %s which has a non-ALPN transport socket matcher", cluster)
		}
	}
}

// release tells that no connections are made any more.
func (t *Transports) release() {
	for _, f := range t.closers {
		f()
	}
	t.closers = nil
}

// of returns what makes the transports of connections to an endpoint with that metadata,
// and counts it.
func (t *Transports) of(metadata map[string]*structpb.Struct, counts []*stats.Counter, otherwise *stats.Counter) transport.ClientFactory {
	for i := range t.matches {
		if t.matches[i].match(metadata[transportMatchMetadata]) {
			counts[i].Inc(stats.Any)
			return t.matches[i].factory
		}
	}
	otherwise.Inc(stats.Any)
	return t.otherwise
}

// match reports whether labels, which may be nil, has all that m asks for.
func (m *transportMatch) match(labels *structpb.Struct) bool {
	if len(m.criteria) > 0 && labels == nil {
		return false
	}
	for key, want := range m.criteria {
		if got, ok := labels.GetFields()[key]; !ok || !proto.Equal(got, want) {
			return false
		}
	}
	return true
}

// transportCounters makes the statistics of the matches.
func (t *Transports) transportCounters(scope stats.Scope) []*stats.Counter {
	var counts []*stats.Counter
	for _, m := range t.matches {
		counts = append(counts, scope.Counter(m.name+".total_match_count"))
	}
	return counts
}

// hostTransport is connpool.DialConfig's Transport.
func hostTransport(h transport.Host) transport.ClientFactory { return h.(*host.Host).Transport() }

// transportKey is connpool.Config's TransportKey.
func transportKey(h transport.Host, o *transport.Options) string {
	if f := hostTransport(h); f != nil {
		return f.Key(o)
	}
	return ""
}
