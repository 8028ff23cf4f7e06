package hcm

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// readRequestIDs takes what gives requests their ids, and the early mutations of
// their headers.
func (c *config) readRequestIDs(m *hcmv3.HttpConnectionManager, ctx extension.Context, path conf.Path, errs *conf.Errors) {
	c.preserveRequestID = m.GetPreserveExternalRequestId()
	c.alwaysSetRequestID = m.GetAlwaysSetRequestIdInResponse()
	at := path.Field("early_header_mutation_extensions")
	for i, e := range m.GetEarlyHeaderMutationExtensions() {
		at := at.Index(i).Field("typed_config")
		msg, factory := connectionManagerExtension[extension.EarlyHeaderMutationFactory](
			extension.EarlyHeaderMutation, e.GetTypedConfig(), ctx, at, errs)
		if factory != nil {
			c.early = append(c.early, factory.BuildEarlyHeaderMutation(msg, ctx, at, errs))
		}
	}
	at = path.Field("request_id_extension").Field("typed_config")
	typed := m.GetRequestIdExtension().GetTypedConfig()
	if m.GetRequestIdExtension() == nil {
		at = path.Field("generate_request_id")
		typed, _ = anypb.New(new(uuidv3.UuidRequestIdConfig)) // an empty message can be packed
	}
	msg, factory := connectionManagerExtension[extension.RequestIDFactory](extension.RequestID, typed, ctx, at, errs)
	if factory != nil {
		c.requestIDs = factory.BuildRequestID(msg, ctx, at, errs)
	}
	c.generateRequestID = boolean(m.GetGenerateRequestId(), true)
}

// connectionManagerExtension returns the factory of an extension of the category, and
// its message. The factory is the zero F if it reported an error.
func connectionManagerExtension[F extension.Factory](category string, typed *anypb.Any, ctx extension.Context, path conf.Path,
	errs *conf.Errors) (msg proto.Message, factory F) {
	if msg = extension.Unpack(typed, path, errs); msg == nil {
		return nil, factory
	}
	factory, ok := ctx.Registry.ForMessage(category, msg).(F)
	if !ok {
		errs.Add(path, "no extension of the category %s is registered for type %s", category,
			msg.ProtoReflect().Descriptor().FullName())
	}
	return msg, factory
}

// setRequestID gives the request an id.
func (s *stream) setRequestID(h *httpmsg.Headers, edge bool) {
	if s.cfg.generateRequestID {
		s.cfg.requestIDs.SetRequestID(h, edge, s.cfg.preserveRequestID, s.m.d)
	}
	s.info.RequestID = h.Get(httpmsg.XRequestID)
}
