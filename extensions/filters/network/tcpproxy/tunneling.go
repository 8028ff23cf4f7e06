package tcpproxy

import (
	"strings"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// metadataNamespace is the name space of the filter's dynamic metadata.
const metadataNamespace = "envoy.filters.network.tcp_proxy"

func tunnelingFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig", Names: []string{
		"hostname", "use_post", "headers_to_add", "propagate_response_headers", "post_path", "propagate_response_trailers",
		"request_id_extension", "request_id_header", "request_id_metadata_key", "formatters"}}
}

// A tunneling is what the requests for tunnels are made of. It is immutable.
type tunneling struct {
	host    format.Format
	post    bool
	path    string // of POST
	headers *headeroption.List
	ids     httpfilter.RequestIDs // nil for none
	// idHeader and idMetadata are where an id goes.
	idHeader, idMetadata                string
	propagateHeaders, propagateTrailers bool
}

// newTunneling reads tunneling_config; it is nil for none.
func newTunneling(msg *tcpv3.TcpProxy_TunnelingConfig, ctx extension.Context, path conf.Path, errs *conf.Errors) *tunneling {
	if msg == nil {
		return nil
	}
	formats := ctx.Formats.With(msg.GetFormatters(), path.Field("formatters"), errs)
	t := &tunneling{
		post:             msg.GetUsePost(),
		path:             msg.GetPostPath(),
		headers:          headeroption.NewList(msg.GetHeadersToAdd(), nil, formats, path.Field("headers_to_add"), path, errs),
		idHeader:         strings.ToLower(msg.GetRequestIdHeader()),
		idMetadata:       msg.GetRequestIdMetadataKey(),
		propagateHeaders: msg.GetPropagateResponseHeaders(), propagateTrailers: msg.GetPropagateResponseTrailers(),
	}
	if msg.GetHostname() == "" {
		errs.Add(path.Field("hostname"), "must not be empty")
	}
	var err error
	if t.host, err = formats.Compile(msg.GetHostname()); err != nil {
		errs.Add(path.Field("hostname"), "%v", err)
	}
	switch {
	case t.path != "" && !t.post:
		errs.Add(path.Field("post_path"), "Can't set a post path when POST method isn't used")
	case t.path == "":
		t.path = "/"
	}
	if t.idHeader == "" {
		t.idHeader = "x-request-id"
	}
	if t.idMetadata == "" {
		t.idMetadata = "tunnel_request_id"
	}
	if e := msg.GetRequestIdExtension(); e != nil {
		t.readRequestIDs(e.GetTypedConfig(), ctx, path.Field("request_id_extension").Field("typed_config"), errs)
	}
	return t
}

// fill makes the headers of a request for the connection of e.
func (t *tunneling) fill(f *filter, h *httpmsg.Headers, scheme string, multiplexed bool) {
	d := f.down.Dispatcher()
	e := format.Entry{Stream: f.stream, Now: d.Now(), Shard: d.Shard(), Random: d.Random()}
	method := "CONNECT"
	if t.post {
		method = "POST"
	}
	h.Reset()
	h.AddID(httpmsg.Method, method)
	h.AddID(httpmsg.Authority, string(t.host.Append(nil, &e)))
	if t.post {
		h.AddID(httpmsg.Path, t.path)
		if multiplexed {
			h.AddID(httpmsg.Scheme, scheme)
		}
	}
	if t.ids != nil {
		var made httpmsg.Headers
		t.ids.SetRequestID(&made, true, false, d)
		id := made.Get(httpmsg.XRequestID)
		h.SetName(t.idHeader, id)
		f.stream.SetMetadata(metadataNamespace, &structpb.Struct{Fields: map[string]*structpb.Value{
			t.idMetadata: structpb.NewStringValue(id)}})
	}
	t.headers.MutateHeaders(h, &e)
}

func (t *tunneling) readRequestIDs(typed *anypb.Any, ctx extension.Context, path conf.Path, errs *conf.Errors) {
	msg := extension.Unpack(typed, path, errs)
	if msg == nil {
		return
	}
	factory, ok := ctx.Registry.ForMessage(extension.RequestID, msg).(extension.RequestIDFactory)
	if !ok {
		errs.Add(path, "no extension of the category %s is registered for type %s", extension.RequestID,
			msg.ProtoReflect().Descriptor().FullName())
		return
	}
	t.ids = factory.BuildRequestID(msg, ctx, path, errs)
}
