// Package connectionlimit is the filter envoy.filters.network.connection_limit: it
// bounds the number of connections of its filter chain.
package connectionlimit

import (
	"sync/atomic"
	"time"

	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Factory is the extension.NetworkFilterFactory of the filter.
type Factory struct{}

var _ extension.NetworkFilterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.filters.network.connection_limit" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.NetworkFilters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &limitv3.ConnectionLimit{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit", Names: []string{
		"stat_prefix", "max_connections", "delay", "runtime_enabled"}}}
}

// Terminal implements extension.NetworkFilterFactory.
func (Factory) Terminal() bool { return false }

// BuildNetworkFilter implements extension.NetworkFilterFactory.
func (Factory) BuildNetworkFilter(msg proto.Message, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder {
	cfg := newConfig(msg.(*limitv3.ConnectionLimit), ctx, path, errs)
	if cfg == nil {
		return nil
	}
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&filter{config: cfg}) }
}

// A config is what the filters of a chain share, on all workers.
type config struct {
	// set by newConfig, read-only after
	max     int64
	delay   time.Duration
	enabled runtimeconf.Flag
	runtime runtimeconf.Loader
	limited *stats.Counter
	active  *stats.Gauge

	// shared by the workers
	open atomic.Int64 // connections that were let through
}

func newConfig(msg *limitv3.ConnectionLimit, ctx extension.NetworkContext, path conf.Path, errs *conf.Errors) *config {
	before := len(*errs)
	conf.Check(msg, Factory{}.Fields()[0], path, errs)
	if msg.GetStatPrefix() == "" {
		errs.Add(path.Field("stat_prefix"), "must not be empty")
	}
	limit := msg.GetMaxConnections().GetValue()
	if limit < 1 || limit > 1<<62 {
		errs.Add(path.Field("max_connections"), "must be from 1 to 2^62, is %d", limit)
	}
	if len(*errs) > before {
		return nil
	}
	scope := ctx.Stats.Scope("connection_limit." + msg.GetStatPrefix() + ".")
	c := &config{
		max:     int64(limit),
		delay:   msg.GetDelay().AsDuration(),
		enabled: runtimeconf.Flag{Default: true},
		runtime: ctx.Runtime,
		limited: scope.Counter("limited_connections"),
		active:  scope.Gauge("active_connections"),
	}
	if f := msg.GetRuntimeEnabled(); f != nil {
		c.enabled = runtimeconf.Flag{Key: f.GetRuntimeKey(), Default: f.GetDefaultValue().GetValue()}
	}
	return c
}
