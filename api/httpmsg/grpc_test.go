package httpmsg

import (
	"math"
	"testing"
	"time"
)

func TestParseGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "200m": 200 * time.Millisecond, "1u": time.Millisecond,
		"1000001n": 2 * time.Millisecond, "0m": 0, "99999999H": math.MaxInt64 / time.Millisecond * time.Millisecond,
	} {
		if d, ok := ParseGRPCTimeout(text); d != want || !ok {
			t.Errorf("%q: %v, %v", text, d, ok)
		}
	}
	for _, text := range []string{"", "1", "S", "bad", "100000000m", "-1m", "+1m", "1s", "1 m", "1.5S"} {
		if d, ok := ParseGRPCTimeout(text); ok || d != 0 {
			t.Errorf("%q: %v", text, d)
		}
	}
}
