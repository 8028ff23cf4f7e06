package route

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// With the durations that Envoy 1.40 gave such requests.
func TestStreamDuration(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		f      Forward
		header string
		want   time.Duration
		ok     bool
	}{
		{Forward{}, "200m", 0, false},
		{Forward{HasMaxStreamDuration: true, MaxStreamDuration: 400 * ms, GRPC: GRPCTimeout{Offset: 200 * ms}}, "100m", 400 * ms, true},
		{Forward{GRPC: GRPCTimeout{Stream: true}}, "", 0, false},
		{Forward{GRPC: GRPCTimeout{Stream: true}}, "bad", 0, false},
		{Forward{HasMaxStreamDuration: true, GRPC: GRPCTimeout{Stream: true}}, "bad", 0, true},
		{Forward{GRPC: GRPCTimeout{Stream: true}}, "200m", 200 * ms, true},
		{Forward{GRPC: GRPCTimeout{Stream: true}}, "0m", time.Nanosecond, true},
		{Forward{GRPC: GRPCTimeout{Stream: true, Max: 300 * ms}}, "5S", 300 * ms, true},
		{Forward{GRPC: GRPCTimeout{Stream: true, Max: 300 * ms}}, "100m", 100 * ms, true},
		{Forward{GRPC: GRPCTimeout{Stream: true, Offset: 200 * ms}}, "300m", 100 * ms, true},
		{Forward{GRPC: GRPCTimeout{Stream: true, Offset: 200 * ms}}, "100m", time.Nanosecond, true},
	} {
		h := new(httpmsg.Headers)
		h.Add("grpc-timeout", tc.header)
		if d, ok := tc.f.StreamDuration(h); d != tc.want || ok != tc.ok {
			t.Errorf("%+v, %q: %v, %v", tc.f, tc.header, d, ok)
		}
	}
}
