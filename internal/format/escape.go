package format

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const (
	lowerHex = "0123456789abcdef"
	upperHex = "0123456789ABCDEF"
)

// isPlain reports whether p stands in a JSON string as it is.
func isPlain(p []byte) bool {
	for _, b := range p {
		if b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// escapeJSON makes dst[start:] the inside of a JSON string. Bytes that are not
// UTF-8 become the code points of the same number, and with one of them in a value
// all its special characters have the long form, as in Envoy.
func escapeJSON(dst []byte, start int) []byte {
	end := len(dst)
	if isPlain(dst[start:]) {
		return dst
	}
	valid := utf8.Valid(dst[start:])
	for _, b := range dst[start:end] {
		switch {
		case valid && b >= ' ' && b != '"' && b != '\\', b >= ' ' && b < 0x7f && b != '"' && b != '\\':
			dst = append(dst, b)
		case valid && shortEscape(b) != 0:
			dst = append(dst, '\\', shortEscape(b))
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[b>>4], lowerHex[b&15])
		}
	}
	return replace(dst, start, end)
}

// shortEscape returns the letter of a two-character escape, 0 if b has none.
func shortEscape(b byte) byte {
	switch b {
	case '"', '\\':
		return b
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

// encodeControls percent-encodes the control characters in dst[start:].
func encodeControls(dst []byte, start int) []byte {
	end := len(dst)
	clean := true
	for _, b := range dst[start:] {
		clean = clean && b >= ' ' && b != 0x7f
	}
	if clean {
		return dst
	}
	for _, b := range dst[start:end] {
		if b >= ' ' && b != 0x7f {
			dst = append(dst, b)
		} else {
			dst = append(dst, '%', upperHex[b>>4], upperHex[b&15])
		}
	}
	return replace(dst, start, end)
}

// replace puts dst[end:] in the place of dst[start:end].
func replace(dst []byte, start, end int) []byte {
	return dst[:start+copy(dst[start:], dst[end:])]
}

// appendNumber appends a number in the shorter of its plain and its scientific form.
// What JSON cannot say is null.
func appendNumber(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	precision := -1
	if f == math.Trunc(f) {
		precision = 0 // all digits of a whole number
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	end := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', precision, 64)
	if len(dst)-end > end-start {
		return dst[:end]
	}
	return replace(dst, start, end)
}
