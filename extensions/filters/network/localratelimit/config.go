// Package localratelimit is the filter envoy.filters.network.local_ratelimit: it
// bounds the rate of new connections of its filter chain.
package localratelimit

import (
	"weak"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// A Factory is the extension.NetworkFilterFactory of the filter. Its filters share the
// buckets that have a share_key. NewFactory makes it.
type Factory struct{ shared *sharedBuckets }

// NewFactory returns a factory whose filters share nothing with those of another one.
func NewFactory() Factory {
	return Factory{&sharedBuckets{buckets: map[shareKey]weak.Pointer[tokenbucket.Bucket]{}}}
}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.local_ratelimit" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &ratelimitv3.LocalRateLimit{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit", Names: []string{
		"stat_prefix", "token_bucket", "runtime_enabled", "share_key"}}, tokenbucket.Fields()}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return false }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (f Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	cfg := f.newConfig(msg.(*ratelimitv3.LocalRateLimit), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{config: cfg}) }
}

// A config is what the filters of a chain share, on all workers. It is immutable,
// but for the bucket.
type config struct {
	bucket  *tokenbucket.Bucket
	enabled runtimeconf.Flag
	runtime runtimeconf.Loader
	limited *stats.Counter
}

func (f Factory) newConfig(msg *ratelimitv3.LocalRateLimit, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(msg, f.Fields()[0], path, errs)
	if msg.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	limit := tokenbucket.FromProto(msg.GetTokenBucket(), path.Field("token_bucket"), errs)
	if len(*errs) > before {
		return nil
	}
	c := &config{enabled: runtimeconf.Flag{Default: true}, runtime: ctx.Runtime}
	if flag := msg.GetRuntimeEnabled(); flag != nil {
		c.enabled = runtimeconf.Flag{Key: flag.GetRuntimeKey(), Default: flag.GetDefaultValue().GetValue()}
	}
	if name := msg.GetShareKey(); name != "" {
		c.bucket = f.shared.get(shareKey{name, limit})
	} else {
		c.bucket = limit.New()
	}
	c.limited = ctx.Stats.Scope("local_rate_limit." + msg.GetStatPrefix() + ".").Counter("rate_limited")
	return c
}
