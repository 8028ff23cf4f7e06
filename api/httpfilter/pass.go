package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// PassBody, embedded in a DecoderFilter, lets body and trailers of the request
// pass: for filters that look at headers only.
type PassBody struct{}

// DecodeData implements DecoderFilter.
func (PassBody) DecodeData(*buffer.Buffer, bool) DataStatus { return DataContinue }

// DecodeTrailers implements DecoderFilter.
func (PassBody) DecodeTrailers(*httpmsg.Headers) TrailersStatus { return TrailersContinue }

// PassResponseBody, embedded in an EncoderFilter, lets 1xx responses, body and
// trailers of the response pass.
type PassResponseBody struct{}

// EncodeInterim implements EncoderFilter.
func (PassResponseBody) EncodeInterim(*httpmsg.Headers) HeadersStatus { return Continue }

// EncodeData implements EncoderFilter.
func (PassResponseBody) EncodeData(*buffer.Buffer, bool) DataStatus { return DataContinue }

// EncodeTrailers implements EncoderFilter.
func (PassResponseBody) EncodeTrailers(*httpmsg.Headers) TrailersStatus { return TrailersContinue }
