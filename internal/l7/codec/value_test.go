package codec

import (
	"strings"
	"testing"
)

// TestValidValue has each byte at each place of a value that is looked at in words, and ends in
// some bytes more.
func TestValidValue(t *testing.T) {
	const size = 19
	for at := range size {
		for c := range 256 {
			p := []byte(strings.Repeat("a", size))
			p[at] = byte(c)
			want := c == '\t' || c >= ' ' && c != 0x7f
			if got := ValidValue(string(p)); got != want {
				t.Errorf("%#x at %d: %v", c, at, got)
			}
		}
	}
	for text, want := range map[string]bool{
		"": true, "\t\t\t\t\t\t\t\t": true, "\t\t\t\t\t\t\t\x00": false, "\x80\xff\x80\xff\x80\xff\x80\xff": true, "\xff\x7f\xff\xff\xff\xff\xff\xff": false,
		"\x9f\x1f\x9f\x9f\x9f\x9f\x9f\x9f": false,
	} {
		if ValidValue(text) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
