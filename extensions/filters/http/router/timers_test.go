package router

import (
	"fmt"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/format"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func TestLogFlush(t *testing.T) {
	var types []format.EntryType
	b := newBench(t, &routerv3.Router{
		UpstreamLog:        []*accesslogv3.AccessLog{anyLog()},
		UpstreamLogOptions: &routerv3.Router_UpstreamAccessLogOptions{UpstreamLogFlushInterval: durationpb.New(time.Second)},
	}, func(b *bench) {
		b.ctx.AccessLogs = filtertest.Loggers{logFunc(func(e *format.Entry) { types = append(types, e.Type) })}
	})
	b.get()
	b.loop.Advance(1500 * time.Millisecond)
	b.ready()
	b.loop.Advance(time.Second)
	b.last().Respond(true, ":status", "200")
	b.loop.Advance(time.Hour)
	if got := fmt.Sprint(types); got != "[UpstreamPeriodic UpstreamPeriodic UpstreamEnd]" {
		t.Error(got)
	}
}

// TestMaxStreamDuration: the request's header counts, or else the cluster's option.
func TestMaxStreamDuration(t *testing.T) {
	for _, tc := range []struct {
		header  string
		cluster time.Duration
		ends    bool // after two seconds
	}{
		{"", 0, false},
		{"", 2 * time.Second, true},
		{"2000", 0, true},
		{"3000", 2 * time.Second, false},
		{"0", 2 * time.Second, false},
		{"x", 2 * time.Second, true},
	} {
		b := newBench(t, nil, func(b *bench) { b.cluster.Immediate, b.cluster.Info().MaxStreamDuration = true, tc.cluster })
		if tc.header != "" {
			b.get("x-envoy-upstream-stream-duration-ms", tc.header)
		} else {
			b.get()
		}
		b.last().Respond(false, ":status", "200")
		b.loop.Advance(2 * time.Second)
		if b.stream.WasReset != tc.ends {
			t.Errorf("header %q, cluster %v: ended %v", tc.header, tc.cluster, b.stream.WasReset)
		}
	}
}
