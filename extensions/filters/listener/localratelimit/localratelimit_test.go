package localratelimit

import (
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func TestLocalRateLimit(t *testing.T) {
	l, stats, settings := loop.New(1), metrics.New(1), httpfilter.Runtime{}
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(&ratelimitv3.LocalRateLimit{
		StatPrefix:     "p",
		TokenBucket:    &typev3.TokenBucket{MaxTokens: 2, FillInterval: durationpb.New(time.Second)},
		RuntimeEnabled: &corev3.RuntimeFeatureFlag{RuntimeKey: "key", DefaultValue: wrapperspb.Bool(true)},
	}, extension.NetworkContext{Context: extension.Context{Stats: stats, Runtime: settings}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	passes := func() bool {
		s := listenerfilter.New(l, build())
		s.Accept()
		if s.Done == s.Closed {
			t.Error("undecided")
		}
		return s.Done
	}
	if got := []bool{passes(), passes(), passes()}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("passed: %v, want two", got)
	}
	if n := stats.Value("listener_local_ratelimit.p.rate_limited"); n != 1 {
		t.Errorf("limited %d", n)
	}
	l.Advance(time.Second)
	if !passes() {
		t.Error("closed though there is a token again")
	}
	settings["key"] = "false"
	if !passes() {
		t.Error("closed though it is turned off")
	}
	if n := testing.AllocsPerRun(100, func() { build() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConfigErrors(t *testing.T) {
	var errs conf.Errors
	if (Factory{}).BuildListenerFilter(&ratelimitv3.LocalRateLimit{TokenBucket: &typev3.TokenBucket{MaxTokens: 1}}, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
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
