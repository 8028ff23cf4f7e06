package format

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// GRPCStatus returns the gRPC status of the response: that of its trailers, of its
// headers, or the one that stands for its HTTP status. It is -1 if what was sent is
// no number, and not ok without a response.
func (e *Entry) GRPCStatus() (status int, ok bool) {
	value := grpcStatus(e.Trailers)
	if value == "" {
		value = grpcStatus(e.Response)
	}
	if value != "" {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return -1, true
		}
		return int(n), true
	}
	switch e.Stream.ResponseCode {
	case 0:
		return 0, false
	case 400:
		return 13, true // Internal
	case 401:
		return 16, true // Unauthenticated
	case 403:
		return 7, true // PermissionDenied
	case 404:
		return 12, true // Unimplemented
	case 429, 502, 503, 504:
		return 14, true // Unavailable
	default:
		return 2, true // Unknown
	}
}

func grpcStatus(h *httpmsg.Headers) string {
	if h == nil {
		return ""
	}
	return h.Get(httpmsg.GRPCStatus)
}
