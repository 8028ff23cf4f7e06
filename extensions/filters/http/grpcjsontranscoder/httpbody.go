package grpcjsontranscoder

import (
	"strings"

	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// maxPiece bounds the data in one message of a stream of HttpBody.
const maxPiece = 1 << 20

// httpBodyData is the number of HttpBody.data.
const httpBodyData protowire.Number = 2

// appendEnvelope appends to dst what a message with an HttpBody, in the field that path
// leads to, begins with: n bytes of data are to follow.
func appendEnvelope(dst []byte, path fieldPath, contentType string, unknown *transcoderv3.UnknownQueryParams, n int) ([]byte, error) {
	body := &httpbody.HttpBody{ContentType: contentType}
	if len(unknown.GetKey()) > 0 {
		extension, err := anypb.New(unknown)
		if err != nil {
			return dst, err
		}
		body.Extensions = []*anypb.Any{extension}
	}
	inner, err := proto.Marshal(body)
	if err != nil {
		return dst, err
	}
	inner = protowire.AppendTag(inner, httpBodyData, protowire.BytesType)
	inner = protowire.AppendVarint(inner, uint64(n))
	sizes := make([]int, len(path))
	size := len(inner) + n
	for i := len(path) - 1; i >= 0; i-- {
		sizes[i] = size
		size += protowire.SizeTag(path[i].Number()) + protowire.SizeVarint(uint64(size))
	}
	for i, fd := range path {
		dst = protowire.AppendTag(dst, fd.Number(), protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizes[i]))
	}
	return append(dst, inner...), nil
}

// mergeHTTPBody reads the HttpBody in the field of message that path leads to.
func mergeHTTPBody(body *httpbody.HttpBody, message []byte, path fieldPath) error {
	if len(path) == 0 {
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(message, body)
	}
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, typ, message); n < 0 {
			return protowire.ParseError(n)
		}
		if number == path[0].Number() && typ == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(message)
			if err := mergeHTTPBody(body, inner, path[1:]); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}

// addUnknown keeps a query parameter that is no field.
func addUnknown(to *transcoderv3.UnknownQueryParams, b binding) {
	if to.Key == nil {
		to.Key = map[string]*transcoderv3.UnknownQueryParams_Values{}
	}
	name := strings.Join(b.field, ".")
	if to.Key[name] == nil {
		to.Key[name] = &transcoderv3.UnknownQueryParams_Values{}
	}
	to.Key[name].Values = append(to.Key[name].Values, b.value)
}
