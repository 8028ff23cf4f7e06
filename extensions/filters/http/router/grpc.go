package router

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// grpcStatus returns the grpc-status in headers or trailers, -1 if there is none
// that makes sense.
func grpcStatus(h *httpmsg.Headers) int {
	n, ok := parseUint(h.Get(httpmsg.GRPCStatus))
	if !ok || n > grpcUnauthenticated {
		return -1
	}
	return int(n)
}

// The gRPC status codes that retries look at, and the last one.
const (
	grpcCancelled         = 1
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcTimeout is the timeout that a request asks for with the text of its header
// grpc-timeout, within the limits of the route; 0 stands for none.
func grpcTimeout(text string, limits *route.GRPCTimeout) time.Duration {
	d, _ := httpmsg.ParseGRPCTimeout(text)
	if limits.Offset < d {
		d -= limits.Offset
	}
	if limits.Max != 0 && (d == 0 || d > limits.Max) {
		d = limits.Max
	}
	return d
}
