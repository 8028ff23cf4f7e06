package stats

import (
	"math"
	"strconv"
)

// appendNumber writes v with as many digits as it needs, in the shorter of its plain
// and its scientific form.
func appendNumber(dst []byte, v float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	var buf [32]byte
	if e := strconv.AppendFloat(buf[:0], v, 'e', -1, 64); len(e) < len(dst)-start {
		return append(dst[:start], e...)
	}
	return dst
}

// appendPlain writes v with as many digits as it needs, plainly unless it is huge or
// tiny.
func appendPlain(dst []byte, v float64) []byte {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return append(dst, "nan"...)
	case size >= 1e16 || size != 0 && size < 1e-4:
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendDigits writes v as C's %g with this many digits.
func appendDigits(dst []byte, v float64, digits int) []byte {
	if math.IsNaN(v) {
		return append(dst, "nan"...)
	}
	return strconv.AppendFloat(dst, v, 'g', digits, 64)
}

// appendJSONNumber is appendNumber with null for what JSON has no number for.
func appendJSONNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return appendNumber(dst, v)
}
