package grpcweb

import (
	"math"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// A textEncoder makes base64 of the frames of a gRPC response, of each by itself: the
// text is padded behind every frame. It does not wait for a frame to be complete. The zero
// textEncoder is ready.
type textEncoder struct {
	cutter grpc.Cutter
	base64 grpc.Base64Encoder
}

// append appends the text of a piece of the body to dst. The rest of a piece behind
// flags that gRPC does not know is left out, as Envoy does.
func (e *textEncoder) append(dst []byte, body *buffer.Buffer) []byte {
	var room [16][]byte
	for _, p := range body.Slices(room[:0], math.MaxInt) {
		for len(p) > 0 {
			before := e.cutter
			data, rest, first, last := e.cutter.Next(p)
			if first && e.cutter.Header().Flags()&^grpc.Compressed != 0 {
				e.cutter = before
				return dst
			}
			header := e.cutter.Header()
			if !before.InMessage() && (last || e.cutter.InMessage()) {
				dst = e.base64.Append(dst, header[:])
			}
			if dst = e.base64.Append(dst, data); last {
				dst = e.base64.Flush(dst)
			}
			p = rest
		}
	}
	return dst
}
