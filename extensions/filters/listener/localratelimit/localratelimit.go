// Package localratelimit is the filter envoy.filters.listener.local_ratelimit: it
// bounds the rate of new connections of its listener.
package localratelimit

import (
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/local_ratelimit/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// Factory is the extension.ListenerFilterFactory of the filter.
type Factory struct{}

var _ extension.ListenerFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.listener.local_ratelimit" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ListenerFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &ratelimitv3.LocalRateLimit{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit", Names: []string{
		"stat_prefix", "token_bucket", "runtime_enabled"}}, tokenbucket.Fields()}
}

// BuildListenerFilter implements extension.ListenerFilterFactory.
func (f Factory) BuildListenerFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter {
	m, before := msg.(*ratelimitv3.LocalRateLimit), len(*errs)
	conf.Check(m, f.Fields()[0], path, errs)
	if m.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	bucket := tokenbucket.New(m.GetTokenBucket(), path.Field("token_bucket"), errs)
	if len(*errs) > before {
		return nil
	}
	l := &filter{bucket: bucket, enabled: runtimeconf.Flag{Default: true}, runtime: ctx.Runtime}
	if flag := m.GetRuntimeEnabled(); flag != nil {
		l.enabled = runtimeconf.Flag{Key: flag.GetRuntimeKey(), Default: flag.GetDefaultValue().GetValue()}
	}
	l.limited = ctx.Stats.Scope("listener_local_ratelimit." + m.GetStatPrefix() + ".").Counter("rate_limited")
	return func() network.ListenerFilter { return l }
}

// A filter is shared by the sockets of all workers: it remembers nothing of them. It
// is immutable, but for the bucket.
type filter struct {
	bucket  *tokenbucket.Bucket
	enabled runtimeconf.Flag
	runtime runtimeconf.Loader
	limited *stats.Counter
}

// OnAccept implements network.ListenerFilter.
func (f *filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	d := cb.Dispatcher()
	if !f.enabled.Enabled(f.runtime.Snapshot()) || f.bucket.Take(d.Now()) {
		return network.Continue
	}
	f.limited.Inc(d.Shard())
	cb.Continue(false)
	return network.StopIteration
}

// OnData implements network.ListenerFilter; it is not called.
func (*filter) OnData([]byte) network.FilterStatus { return network.Continue }

// MaxReadBytes implements network.ListenerFilter.
func (*filter) MaxReadBytes() int { return 0 }

// OnClose implements network.ListenerFilter.
func (*filter) OnClose() {}
