// Package internalupstream is the extension envoy.transport_sockets.internal_upstream: it
// passes metadata and filter state along with connections to internal listeners.
package internalupstream

import (
	"maps"
	"slices"
	"strconv"

	internalupstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
)

// Factory is the extension.UpstreamTransportSocketFactory.
type Factory struct{}

var _ extension.UpstreamTransportSocketFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.transport_sockets.internal_upstream" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.UpstreamTransportSockets }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &internalupstreamv3.InternalUpstreamTransport{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

func fields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport", Names: []string{
		"passthrough_metadata.kind.host", "passthrough_metadata.kind.cluster", "passthrough_metadata.name", "transport_socket"}}
}

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (Factory) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, path conf.Path, errs *conf.Errors) transport.ClientFactory {
	m := msg.(*internalupstreamv3.InternalUpstreamTransport)
	before := len(*errs)
	conf.Check(m, fields(), path, errs)
	if m.GetTransportSocket() == nil {
		errs.Add(path.Field("transport_socket"), "must be set")
	}
	f := &clientFactory{cluster: ctx.ClusterMetadata, noMetadata: ctx.Scope.Counter("internal_upstream.no_metadata")}
	f.Inner = ctx.UpstreamTransportSocket(m.GetTransportSocket(), path.Field("transport_socket"), errs)
	for i, s := range m.GetPassthroughMetadata() {
		at := path.Field("passthrough_metadata").Index(i)
		switch s.GetKind().GetKind().(type) {
		case *metadatav3.MetadataKind_Host_, *metadatav3.MetadataKind_Cluster_:
		case nil:
			errs.Add(at.Field("kind"), "must be set")
		} // the others are fields that are not implemented, as in Envoy
		if s.GetName() == "" {
			errs.Add(at.Field("name"), "must not be empty")
		}
		f.sources = append(f.sources, source{namespace: s.GetName(), ofHost: s.GetKind().GetHost() != nil})
	}
	if len(*errs) > before {
		return nil
	}
	return f
}

// A source is a name space of metadata that is passed along, of the host or the cluster.
type source struct {
	namespace string
	ofHost    bool
}

// A clientFactory makes the sockets of a cluster. It is immutable.
type clientFactory struct {
	passthrough.Factory
	sources    []source
	cluster    map[string]*structpb.Struct
	noMetadata *stats.Counter
}

var _ transport.Passer = (*clientFactory)(nil)

// New implements transport.ClientFactory: nothing becomes of the bytes.
func (f *clientFactory) New(o *transport.Options, h transport.Host) transport.Socket {
	return passthrough.New(f.Inner, o, h)
}

// Key implements transport.ClientFactory: objects that tell their hash keep requests from
// sharing a connection. Of others a connection has those of the request it was made for.
func (f *clientFactory) Key(o *transport.Options) string {
	key := f.Factory.Key(o)
	if o == nil {
		return key
	}
	if len(o.FilterState) > 0 {
		key += " shared"
	}
	for _, name := range slices.Sorted(maps.Keys(o.FilterState)) {
		if object, ok := o.FilterState[name].Value.(route.Hashable); ok {
			if hash, ok := object.Hash(); ok {
				key += " " + name + "=" + strconv.FormatUint(hash, 16)
			}
		}
	}
	return key
}

// Pass implements transport.Passer.
func (f *clientFactory) Pass(d event.Dispatcher, o *transport.Options, h transport.Host) transport.Passed {
	var p transport.Passed
	if o != nil {
		p.FilterState = o.FilterState
	}
	for _, s := range f.sources {
		from := f.cluster
		if s.ofHost {
			from = nil
			if h, ok := h.(upstream.Host); ok {
				from = h.Metadata()
			}
		}
		fields := from[s.namespace]
		if fields == nil {
			f.noMetadata.Inc(d.Shard())
			continue
		}
		if p.Metadata == nil {
			p.Metadata = map[string]*structpb.Struct{}
		}
		p.Metadata[s.namespace] = fields
	}
	return p
}
