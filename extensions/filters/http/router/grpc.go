package router

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

func isGRPC(h *httpmsg.Headers) bool {
	t, ok := strings.CutPrefix(h.Get(httpmsg.ContentType), "application/grpc")
	return ok && (t == "" || t[0] == '+' || t[0] == ';')
}

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

// httpStatusOfGRPC is the HTTP status that means the same as a gRPC status.
var httpStatusOfGRPC = [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}

// grpcTimeout is the timeout that a request asks for with the text of its header
// grpc-timeout, within the limits of the route; 0 stands for none.
func grpcTimeout(text string, limits *route.GRPCTimeout) time.Duration {
	d := parseGRPCTimeout(text)
	if limits.Offset < d {
		d -= limits.Offset
	}
	if limits.Max != 0 && (d == 0 || d > limits.Max) {
		d = limits.Max
	}
	return d
}

const maxGRPCDigits = 8

// parseGRPCTimeout reads at most eight digits and a unit, and rounds up to whole
// milliseconds. It returns 0 for what is none.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
func parseGRPCTimeout(text string) time.Duration {
	digits := len(text) - 1
	if digits < 1 || digits > maxGRPCDigits {
		return 0
	}
	n, err := strconv.ParseUint(text[:digits], 10, 32)
	if err != nil {
		return 0
	}
	var unit time.Duration
	switch text[digits] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	}
	if unit > 0 && n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64 / time.Millisecond * time.Millisecond
	}
	d := time.Duration(n) * unit
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d
}

// appendGRPCTimeout appends d as grpc-timeout has it, in the finest unit from
// milliseconds up that has room for it.
func appendGRPCTimeout(dst []byte, d time.Duration) []byte {
	const most = 99_999_999
	n, unit := d.Milliseconds(), byte('m')
	for _, next := range [...]struct {
		per  int64
		unit byte
	}{{1000, 'S'}, {60, 'M'}, {60, 'H'}} {
		if n <= most {
			break
		}
		n, unit = n/next.per, next.unit
	}
	return append(strconv.AppendInt(dst, min(n, most), 10), unit)
}
