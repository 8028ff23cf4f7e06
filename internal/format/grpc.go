package format

import (
	"fmt"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/format"
)

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
		if e.Request == nil || !e.Request.IsGRPC() {
			return dst, missing
		}
		status, ok := e.GRPCStatus()
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
