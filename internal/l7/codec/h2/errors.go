package h2

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// Envoy's response code details.
const (
	detailInvalidHeader    = "http2.invalid.header.field"
	detailMessaging        = "http2.violation.of.messaging.rule"
	detailUnknown          = "http2.unknown.nghttp2.error"
	detailTooManyHeaders   = "http2.too_many_headers"
	detailHeadersTooLarge  = "http2.header_list_size_too_large"
	detailUnderscore       = "http2.unexpected_underscore"
	detailEmptyFramesFlood = "http2.inbound_empty_frames_flood"
	detailRemoteReset      = "http2.remote_reset"
	detailRemoteRefused    = "http2.remote_refuse"
	// detailCodec is that of every stream of a connection that ends by an error of
	// another one, and of those that no detail is known for. It is what Envoy makes of
	// nghttp2's text.
	detailCodec = "codec_error:The_user_callback_function_failed"
)

// failure is the error of a connection.
func failure(cause string) *codec.Error {
	return &codec.Error{Detail: detailCodec, Cause: cause}
}

// flood is the error of a connection whose peer sends or leaves too much.
func flood(cause string) *codec.Error {
	return &codec.Error{Detail: "codec_error:" + strings.ReplaceAll(cause, " ", "_"), Flood: true}
}
