package connectionlimit

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A bench builds filters of one configuration.
type bench struct {
	loop    *loop.Fake
	stats   *metrics.Scope
	runtime httpfilter.Runtime
	build   network.FilterBuilder
}

func newBench(t *testing.T, msg *limitv3.ConnectionLimit) *bench {
	b := &bench{loop: loop.New(1), stats: metrics.New(1), runtime: httpfilter.Runtime{}}
	var errs conf.Errors
	b.build = Factory{}.BuildNetworkFilter(msg, extension.NetworkContext{Context: extension.Context{
		Stats: b.stats, Runtime: b.runtime}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	t.Cleanup(func() {
		if n := b.loop.ArmedTimers(); n != 0 {
			t.Errorf("%d timers are armed", n)
		}
		if n := b.stats.Value("connection_limit.p.active_connections"); n != 0 {
			t.Errorf("%d active connections", n)
		}
	})
	return b
}

func (b *bench) connect() *connection.Fake {
	c := connection.New(b.loop)
	b.build(c, c)
	c.Start()
	return c
}

func TestLimit(t *testing.T) {
	b := newBench(t, &limitv3.ConnectionLimit{StatPrefix: "p", MaxConnections: wrapperspb.UInt64(2)})
	first, second, third := b.connect(), b.connect(), b.connect()
	if first.WasClosed || second.WasClosed {
		t.Error("closed below the limit")
	}
	if !third.WasClosed || third.CloseType != network.NoFlush || third.CloseDetails != "over_connection_limit" {
		t.Errorf("%v, %v, %s", third.WasClosed, third.CloseType, third.CloseDetails)
	}
	if n := b.stats.Value("connection_limit.p.limited_connections"); n != 1 {
		t.Errorf("limited %d", n)
	}
	first.Raise(network.RemoteClose)
	fourth := b.connect()
	if fourth.WasClosed {
		t.Error("a place that was left is not given again")
	}
	second.Raise(network.RemoteClose)
	fourth.Raise(network.LocalClose)
}

func TestDelay(t *testing.T) {
	b := newBench(t, &limitv3.ConnectionLimit{StatPrefix: "p", MaxConnections: wrapperspb.UInt64(1), Delay: durationpb.New(time.Second)})
	first, late, impatient := b.connect(), b.connect(), b.connect()
	late.Receive("ignored", false)
	if late.Unread() != "" {
		t.Errorf("kept %q", late.Unread())
	}
	if n := b.stats.Value("connection_limit.p.active_connections"); n != 3 {
		t.Errorf("%d active", n)
	}
	impatient.Raise(network.RemoteClose)
	first.Raise(network.RemoteClose)
	next := b.connect()
	b.loop.Advance(999 * time.Millisecond)
	if late.WasClosed || next.WasClosed {
		t.Error("closed too early, or counts though it was rejected")
	}
	b.loop.Advance(time.Millisecond)
	if !late.WasClosed || next.WasClosed {
		t.Error("not closed")
	}
	next.Raise(network.RemoteClose)
}

func TestRuntime(t *testing.T) {
	b := newBench(t, &limitv3.ConnectionLimit{StatPrefix: "p", MaxConnections: wrapperspb.UInt64(1),
		RuntimeEnabled: &corev3.RuntimeFeatureFlag{RuntimeKey: "key", DefaultValue: wrapperspb.Bool(false)}})
	free := []*connection.Fake{b.connect(), b.connect()}
	b.runtime["key"] = "true"
	counted, over := b.connect(), b.connect()
	if free[1].WasClosed || counted.WasClosed || !over.WasClosed {
		t.Error("the runtime is not heeded")
	}
	for _, c := range append(free, counted) {
		c.Raise(network.RemoteClose)
	}
}

func TestConfigErrors(t *testing.T) {
	var errs conf.Errors
	if (Factory{}).BuildNetworkFilter(&limitv3.ConnectionLimit{}, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	if got := errs.Error(); got != "stat_prefix: must not be empty\nmax_connections: must be from 1 to 2^62, is 0" {
		t.Error(got)
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
