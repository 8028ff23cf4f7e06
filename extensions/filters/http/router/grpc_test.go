package router

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// TestGRPCTimeout: what a request asks for, what it gets, and what the upstream is
// told. Recorded from Envoy 1.40.
func TestGRPCTimeout(t *testing.T) {
	const s = time.Second
	limited := route.GRPCTimeout{Response: true, Max: 2 * s, Offset: 100 * time.Millisecond}
	for _, tc := range []struct {
		name, asked string
		limits      route.GRPCTimeout
		told        string // "" for the header as it came
		timeout     time.Duration
	}{
		{"offset", "1S", limited, "900m", 900 * time.Millisecond},
		{"too long", "5S", limited, "2000m", 2 * s},
		{"shorter than the offset", "50m", limited, "50m", 50 * time.Millisecond},
		{"not asked", "", limited, "2000m", 2 * s},
		{"malformed", "1x", limited, "2000m", 2 * s},
		{"no limit", "3S", route.GRPCTimeout{Response: true}, "3000m", 3 * s},
		{"no limit and not asked", "", route.GRPCTimeout{Response: true}, "", 0},
		{"rounded up", "500u", route.GRPCTimeout{Response: true}, "1m", time.Millisecond},
		{"in hours", "30000H", route.GRPCTimeout{Response: true}, "1800000M", 30000 * time.Hour},
		{"bounds the stream", "1S", route.GRPCTimeout{Stream: true}, "1000m", 0},
		{"stream, too long", "5S", route.GRPCTimeout{Stream: true, Max: s}, "1000m", 0},
		{"stream, offset", "2S", route.GRPCTimeout{Stream: true, Max: 10 * s, Offset: s / 2}, "1500m", 0},
		{"stream, nothing left", "2S", route.GRPCTimeout{Stream: true, Offset: 3 * s}, "0m", 0},
		{"stream, malformed", "2x", route.GRPCTimeout{Stream: true, Max: s}, "2x", 0},
		{"stream, not asked", "", route.GRPCTimeout{Stream: true, Max: s}, "", 0},
		{"not heeded", "1S", route.GRPCTimeout{}, "1S", 15 * s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil, func(b *bench) { b.route.Forward.GRPC = tc.limits })
			fields := []string{"content-type", "application/grpc"}
			if tc.asked != "" {
				fields = append(fields, "grpc-timeout", tc.asked)
			}
			b.get(fields...)
			if got, _ := b.stream.Headers().Find("grpc-timeout"); got != tc.told {
				t.Errorf("told %q, want %q", got, tc.told)
			}
			if got := b.filter.(*filter).timeouts.response; got != tc.timeout {
				t.Errorf("timeout %v, want %v", got, tc.timeout)
			}
		})
	}
}

func FuzzGRPCTimeout(f *testing.F) {
	for _, s := range []string{"1S", "99999999H", "00000001n", "123456789m", "m", "", "-1S", "1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, _ := httpmsg.ParseGRPCTimeout(text)
		if d < 0 || d%time.Millisecond != 0 {
			t.Fatalf("%q: %v", text, d)
		}
		if d == 0 {
			return
		}
		// What is sent on is never longer, and shorter by less than its unit.
		again, _ := httpmsg.ParseGRPCTimeout(string(httpmsg.AppendGRPCTimeout(nil, d)))
		if again > d || d-again >= time.Hour || d < time.Hour && again != d {
			t.Errorf("%q: %v, then %v", text, d, again)
		}
	})
}
