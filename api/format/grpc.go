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
	if e.Stream.ResponseCode == 0 {
		return 0, false
	}
	return httpmsg.GRPCStatusOfHTTP(e.Stream.ResponseCode), true
}

func grpcStatus(h *httpmsg.Headers) string {
	if h == nil {
		return ""
	}
	return h.Get(httpmsg.GRPCStatus)
}
