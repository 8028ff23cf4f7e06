package localratelimit

import (
	"runtime"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func TestLocalRateLimit(t *testing.T) {
	l, stats, settings := loop.New(1), metrics.New(1), httpfilter.Runtime{}
	var errs conf.Errors
	build := NewFactory().BuildNetworkFilter(&ratelimitv3.LocalRateLimit{
		StatPrefix:     "p",
		TokenBucket:    &typev3.TokenBucket{MaxTokens: 2, FillInterval: durationpb.New(time.Second)},
		RuntimeEnabled: &corev3.RuntimeFeatureFlag{RuntimeKey: "key", DefaultValue: wrapperspb.Bool(true)},
	}, extension.NetworkContext{Context: extension.Context{Stats: stats, Runtime: settings}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	connect := func() *connection.Fake {
		c := connection.New(l)
		build(c, c)
		c.Start()
		return c
	}
	for i := range 2 {
		if c := connect(); c.WasClosed {
			t.Errorf("connection %d was closed", i)
		}
	}
	c := connect()
	if !c.WasClosed || c.CloseDetails != "local_ratelimit_close_over_limit" || string(c.Stream().Flags.Append(nil)) != "URX" {
		t.Errorf("%v, %s, %s", c.WasClosed, c.CloseDetails, c.Stream().Flags.Append(nil))
	}
	if n := stats.Value("local_rate_limit.p.rate_limited"); n != 1 {
		t.Errorf("limited %d", n)
	}
	l.Advance(time.Second)
	if connect().WasClosed {
		t.Error("closed though there is a token again")
	}
	settings["key"] = "false"
	if connect().WasClosed {
		t.Error("closed though it is turned off")
	}
}

func TestConfigErrors(t *testing.T) {
	var errs conf.Errors
	if NewFactory().BuildNetworkFilter(&ratelimitv3.LocalRateLimit{ShareKey: "x", TokenBucket: &typev3.TokenBucket{MaxTokens: 1}}, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	want := "stat_prefix: must not be empty\n" +
		"token_bucket.fill_interval: must be at least 50ms, is 0s"
	if got := errs.Error(); got != want {
		t.Error(got)
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}

func TestShareKey(t *testing.T) {
	l := loop.New(1)
	f, other := NewFactory(), NewFactory()
	// connects returns how many of ten connections get through a new filter.
	connects := func(f Factory, key string, tokens uint32) (n int) {
		var errs conf.Errors
		build := f.BuildNetworkFilter(&ratelimitv3.LocalRateLimit{StatPrefix: "p", ShareKey: key,
			TokenBucket: &typev3.TokenBucket{MaxTokens: tokens, FillInterval: durationpb.New(time.Hour)},
		}, extension.NetworkContext{Context: extension.Context{Stats: metrics.New(1), Runtime: httpfilter.Runtime{}}}, conf.Path{}, &errs)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		t.Cleanup(func() { build(connection.New(l), connection.New(l)) }) // keeps the filter, and its bucket
		for range 10 {
			c := connection.New(l)
			build(c, c)
			if c.Start(); !c.WasClosed {
				n++
			}
		}
		return n
	}
	for i, tc := range []struct {
		factory Factory
		key     string
		tokens  uint32
		want    int
	}{
		{f, "a", 3, 3}, {f, "a", 3, 0}, {f, "a", 4, 4}, {f, "b", 3, 3}, {other, "a", 3, 3}, {f, "", 2, 2}, {f, "", 2, 2},
	} {
		if n := connects(tc.factory, tc.key, tc.tokens); n != tc.want {
			t.Errorf("filter %d: %d connections", i, n)
		}
	}
}

// TestSharedBucketGoes makes sure that a bucket without a filter is not kept.
func TestSharedBucketGoes(t *testing.T) {
	s := NewFactory().shared
	key := func(name string) shareKey {
		return shareKey{name, tokenbucket.Config{Max: 1, PerFill: 1, Interval: time.Second}}
	}
	s.get(key("a"))
	kept := s.get(key("b"))
	for range 3 {
		runtime.GC()
	}
	s.get(key("c"))
	if _, there := s.buckets[key("a")]; there || s.buckets[key("b")].Value() != kept {
		t.Errorf("%d buckets", len(s.buckets))
	}
	runtime.KeepAlive(kept)
}
