package localratelimit

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func TestLocalRateLimit(t *testing.T) {
	l, stats, runtime := loop.New(1), metrics.New(1), httpfilter.Runtime{}
	var errs conf.Errors
	build := Factory{}.BuildNetworkFilter(&ratelimitv3.LocalRateLimit{
		StatPrefix:     "p",
		TokenBucket:    &typev3.TokenBucket{MaxTokens: 2, FillInterval: durationpb.New(time.Second)},
		RuntimeEnabled: &corev3.RuntimeFeatureFlag{RuntimeKey: "key", DefaultValue: wrapperspb.Bool(true)},
	}, extension.NetworkContext{Context: extension.Context{Stats: stats, Runtime: runtime}}, conf.Path{}, &errs)
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
	runtime["key"] = "false"
	if connect().WasClosed {
		t.Error("closed though it is turned off")
	}
}

func TestConfigErrors(t *testing.T) {
	var errs conf.Errors
	if (Factory{}).BuildNetworkFilter(&ratelimitv3.LocalRateLimit{ShareKey: "x"}, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	want := "share_key: field share_key is not implemented\nstat_prefix: must not be empty\n" +
		"token_bucket.fill_interval: must be at least 50ms, is 0s"
	if got := errs.Error(); got != want {
		t.Error(got)
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
