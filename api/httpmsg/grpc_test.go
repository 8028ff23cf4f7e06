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

func TestGRPCStatusAndHTTPStatus(t *testing.T) {
	for http, want := range map[int]int{200: 2, 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 503: 14, 500: 2} {
		if got := GRPCStatusOfHTTP(http); got != want {
			t.Errorf("%d: %d", http, got)
		}
	}
	for status, want := range map[int]int{0: 200, 1: 499, 5: 404, 16: 401, 17: 500, -1: 500} {
		if got := HTTPStatusOfGRPC(status); got != want {
			t.Errorf("%d: %d", status, got)
		}
	}
}

func TestAppendGRPCTimeout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0m", 1500 * time.Microsecond: "1m", 99_999_999 * time.Millisecond: "99999999m", 100_000_000 * time.Millisecond: "100000S",
		math.MaxInt64: "2562047H",
	} {
		if got := string(AppendGRPCTimeout(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestIsGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"": false, "application/grpc": true, "application/grpc+proto": true, "application/grpc+": true,
		"application/grpc;charset=utf-8": false, "application/grpc-web": false, "application/GRPC": false,
	} {
		h := new(Headers)
		h.AddID(ContentType, contentType)
		if got := h.IsGRPC(); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
}
