package format

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// GRPCStatus returns the gRPC status of a response: that of its trailers, of its
// headers, or the one that stands for its HTTP status. It is -1 if what was sent is
// no number, and not ok without a response. Any worker.
func GRPCStatus(e *format.Entry) (status int, ok bool) {
	value := get(e.Trailers, httpmsg.GRPCStatus)
	if value == "" {
		value = get(e.Response, httpmsg.GRPCStatus)
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

type grpcForm int

const (
	grpcCamel grpcForm = iota
	grpcSnake
	grpcNumber
)

func buildGRPCStatus(_ *Compiler, arg string) (operator, error) {
	switch arg {
	case "", "CAMEL_STRING":
		return grpcStatus(grpcCamel), nil
	case "SNAKE_STRING":
		return grpcStatus(grpcSnake), nil
	case "NUMBER":
		return grpcStatus(grpcNumber), nil
	}
	return nil, fmt.Errorf("GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: %s", arg)
}

// grpcStatus prints the status of gRPC requests. A status without a name is printed
// as number.
func grpcStatus(form grpcForm) operator {
	names := [2][17]string{{
		"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
		"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated",
	}, {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		rest, isGRPC := strings.CutPrefix(get(e.Request, httpmsg.ContentType), "application/grpc")
		if !isGRPC || rest != "" && rest[0] != '+' {
			return dst, missing
		}
		status, ok := GRPCStatus(e)
		switch {
		case !ok:
			return dst, missing
		case form == grpcNumber:
			return strconv.AppendInt(dst, int64(status), 10), literal
		case status < 0 || status >= len(names[form]):
			return strconv.AppendInt(dst, int64(status), 10), text
		}
		return append(dst, names[form][status]...), text
	}
}
