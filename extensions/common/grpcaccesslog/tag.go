package grpcaccesslog

import (
	"bytes"
	"encoding/json"
	"strconv"

	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A tag is a CustomTag. Its value is "" if there is none.
type tag struct {
	name  string
	value func(e *format.Entry) string
}

// newTag builds the tag at path.
func newTag(cfg *tracingv3.CustomTag, ctx extension.Context, path conf.Path, errs *conf.Errors) tag {
	t := tag{name: cfg.GetTag()}
	if t.name == "" {
		errs.Add(path.Field("tag"), "must not be empty")
	}
	switch of := cfg.GetType().(type) {
	case *tracingv3.CustomTag_Literal_:
		t.value = constant(of.Literal.GetValue())
	case *tracingv3.CustomTag_Environment_:
		value := of.Environment.GetDefaultValue()
		if ctx.LookupEnv != nil {
			if set, ok := ctx.LookupEnv(of.Environment.GetName()); ok {
				value = set
			}
		}
		t.value = constant(value)
	case *tracingv3.CustomTag_RequestHeader:
		t.value = header(match.Lower(of.RequestHeader.GetName()), of.RequestHeader.GetDefaultValue())
	case *tracingv3.CustomTag_Metadata_:
		t.value = metadataTag(of.Metadata, path.Field("metadata"), errs)
	case *tracingv3.CustomTag_Value:
		text := headeroption.NewValue(of.Value, ctx.Formats, path.Field("value"), errs)
		t.value = func(e *format.Entry) string {
			if e.Request == nil {
				return ""
			}
			return text.String(e.Request, e)
		}
	default:
		errs.Add(path, "one of literal, environment, request_header, metadata and value must be set")
	}
	return t
}

func constant(value string) func(*format.Entry) string {
	return func(*format.Entry) string { return value }
}

// header is the value of the first request header with that name.
func header(name, otherwise string) func(*format.Entry) string {
	return func(e *format.Entry) string {
		if e.Request != nil {
			if value, ok := e.Request.Find(name); ok {
				return value
			}
		}
		return otherwise
	}
}

// metadataTag is a value in metadata of some kind.
func metadataTag(cfg *tracingv3.CustomTag_Metadata, path conf.Path, errs *conf.Errors) func(*format.Entry) string {
	var of func(s *streaminfo.Stream) map[string]*structpb.Struct
	switch cfg.GetKind().GetKind().(type) {
	case *metadatav3.MetadataKind_Request_:
		of = func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.Metadata }
	case *metadatav3.MetadataKind_Route_:
		of = func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.RouteMetadata }
	case *metadatav3.MetadataKind_Cluster_:
		of = func(s *streaminfo.Stream) map[string]*structpb.Struct {
			if !s.Upstream.Host.IsValid() { // as in Envoy, which asks the host for its cluster
				return nil
			}
			return s.Upstream.ClusterMetadata
		}
	case *metadatav3.MetadataKind_Host_:
		of = func(s *streaminfo.Stream) map[string]*structpb.Struct { return s.Upstream.HostMetadata }
	default:
		errs.Add(path.Field("kind"), "one of request, route, cluster and host must be set")
		return nil
	}
	var keys []string
	for i, p := range cfg.GetMetadataKey().GetPath() {
		if p.GetKey() == "" {
			errs.Add(path.Field("metadata_key").Field("path").Index(i).Field("key"), "must not be empty")
		}
		keys = append(keys, p.GetKey())
	}
	namespace, otherwise := cfg.GetMetadataKey().GetKey(), cfg.GetDefaultValue()
	return func(e *format.Entry) string {
		if value, ok := find(of(e.Stream)[namespace], keys); ok {
			return value
		}
		return otherwise
	}
}

// find follows keys into fields and returns what is there as text.
func find(fields *structpb.Struct, keys []string) (text string, ok bool) {
	value := structpb.NewStructValue(fields)
	if fields == nil {
		return "", false
	}
	for _, key := range keys {
		if value = value.GetStructValue().GetFields()[key]; value == nil {
			return "", false
		}
	}
	switch v := value.GetKind().(type) {
	case *structpb.Value_StringValue:
		return v.StringValue, true
	case *structpb.Value_BoolValue:
		return strconv.FormatBool(v.BoolValue), true
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(v.NumberValue, 'g', -1, 64), true
	case *structpb.Value_StructValue, *structpb.Value_ListValue:
		var compact bytes.Buffer // protojson puts space where it likes
		b, err := protojson.Marshal(value)
		if err == nil {
			err = json.Compact(&compact, b)
		}
		return compact.String(), err == nil
	}
	return "", false
}
