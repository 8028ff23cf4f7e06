package httpmsg

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// IsGRPC reports whether the content type is that of gRPC. As in Envoy, and other than the
// protocol has it, it has no parameters.
func (h *Headers) IsGRPC() bool {
	rest, ok := strings.CutPrefix(h.Get(ContentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}

const maxGRPCDigits = 8

// ParseGRPCTimeout reads the value of grpc-timeout: at most eight digits and a unit. It
// rounds up to whole milliseconds. ok is false, and d zero, for what is none.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
func ParseGRPCTimeout(text string) (d time.Duration, ok bool) {
	digits := len(text) - 1
	if digits < 1 || digits > maxGRPCDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:digits], 10, 32)
	if err != nil {
		return 0, false
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
	default:
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64 / time.Millisecond * time.Millisecond, true
	}
	d = time.Duration(n) * unit
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d, true
}

// AppendGRPCTimeout appends d as grpc-timeout has it, in the finest unit from
// milliseconds up that has room for it.
func AppendGRPCTimeout(dst []byte, d time.Duration) []byte {
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

// HTTPStatusOfGRPC is the HTTP status that means the same as a gRPC status.
// https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
func HTTPStatusOfGRPC(status int) int {
	statuses := [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}
	if status < 0 || status >= len(statuses) {
		return 500
	}
	return statuses[status]
}

// GRPCStatusOfHTTP is the gRPC status that stands for an HTTP status without one.
// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
func GRPCStatusOfHTTP(status int) int {
	switch status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404:
		return 12 // UNIMPLEMENTED
	case 429, 502, 503, 504:
		return 14 // UNAVAILABLE
	default:
		return 2 // UNKNOWN
	}
}
