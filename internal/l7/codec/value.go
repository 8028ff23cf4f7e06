package codec

import (
	"encoding/binary"
	"unsafe"
)

// ValidValue reports whether s may be the value of a header field (RFC 9110, section 5.5): it
// has no control character but tabs. Bytes above 127 are allowed, as in Envoy. It looks at
// eight bytes at a time, the last of which it may see twice.
func ValidValue(s string) bool {
	n := len(s)
	if n < 8 {
		return validBytes(s)
	}
	for at := 0; at < n-8; at += 8 {
		if hasControl(s[at:]) && !validBytes(s[at:at+8]) {
			return false
		}
	}
	return !hasControl(s[n-8:]) || validBytes(s[n-8:])
}

// hasControl reports whether one of the first eight bytes of s is below ' ' or DEL.
func hasControl(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	x := binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), 8))
	del := x ^ 0x7f*ones
	return ((x-' '*ones)&^x|(del-ones)&^del)&tops != 0
}

func validBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
