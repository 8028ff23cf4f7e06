// Package grpc is what filters know of gRPC as HTTP messages: content types, statuses
// and messages in headers, the frames of a body, and where calls are counted.
package grpc

import (
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// ContentType is that of gRPC.
const ContentType = "application/grpc"

// The statuses that proxies make.
const (
	OK       = 0
	Unknown  = 2
	Internal = 13
)

// IsRequest reports whether these are the headers of a gRPC request.
func IsRequest(h *httpmsg.Headers) bool { return h.IsGRPC() && h.Has(httpmsg.Path) }

// IsResponse reports whether these are the headers of a gRPC response, which end the
// stream if end is set.
func IsResponse(h *httpmsg.Headers, end bool) bool {
	if end {
		return h.Has(httpmsg.GRPCStatus)
	}
	return h.StatusCode() == 200 && h.IsGRPC()
}

// ServiceAndMethod returns the two parts of a path that names a gRPC method, which may
// have a query.
func ServiceAndMethod(path string) (service, method string, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	path = strings.Trim(path, "/")
	service, method, ok = strings.Cut(path, "/")
	method = strings.TrimLeft(method, "/")
	return service, method, ok && service != "" && !strings.Contains(method, "/")
}

// Cluster returns the cluster that the request goes to as things stand, nil if there is
// none.
func Cluster(h *httpmsg.Headers, cb httpfilter.Callbacks, clusters upstream.Clusters) upstream.Cluster {
	r := cb.Route()
	if r == nil || r.Forward == nil {
		return nil
	}
	return clusters.Get(r.Forward.ClusterName(h, cb.Stream(), cb.StreamID()))
}

// Status returns the number in grpc-status. ok is false if there is none, or if it is no
// number.
func Status(h *httpmsg.Headers) (status int, ok bool) {
	text := h.Get(httpmsg.GRPCStatus)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err == nil
}

// EncodeMessage returns text as grpc-message has it, percent-encoded.
func EncodeMessage(text []byte) string {
	const hex = "0123456789ABCDEF"
	dst := make([]byte, 0, len(text))
	for _, c := range text {
		if c < ' ' || c > '~' || c == '%' {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return string(dst)
}

// DecodeMessage undoes EncodeMessage; what is not encoded well stays as it is.
func DecodeMessage(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	dst := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				dst = append(dst, byte(c))
				i += 2
				continue
			}
		}
		dst = append(dst, text[i])
	}
	return string(dst)
}
