// Package uuid is the extension envoy.request_id.uuid: request ids are random UUIDs
// in which one digit says why the request is traced.
package uuid

import (
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
)

// Factory is the extension.RequestIDFactory.
type Factory struct{}

var _ extension.RequestIDFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.request_id.uuid" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RequestID }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &uuidv3.UuidRequestIdConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields { return []conf.Fields{fields()} }

// fields has use_request_id_for_trace_sampling because it matters for tracing only,
// which is refused where it is configured.
func fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
		Names:   []string{"pack_trace_reason", "use_request_id_for_trace_sampling"},
	}
}

// BuildRequestID implements extension.RequestIDFactory.
func (Factory) BuildRequestID(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) httpfilter.RequestIDs {
	m := msg.(*uuidv3.UuidRequestIdConfig)
	conf.Check(m, fields(), path, errs)
	return &ids{packReason: m.GetPackTraceReason() == nil || m.GetPackTraceReason().GetValue()}
}
