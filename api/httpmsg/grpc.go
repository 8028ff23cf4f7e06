package httpmsg

import (
	"math"
	"strconv"
	"time"
)

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
