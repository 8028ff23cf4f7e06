package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// The categories of extensions, in Envoy's words.
const (
	NetworkFilters  = "envoy.filters.network"
	ListenerFilters = "envoy.filters.listener"
	HTTPFilters     = "envoy.filters.http"
	AccessLoggers   = "envoy.access_loggers"
)

// A NetworkFilterFactory makes network filters.
type NetworkFilterFactory interface {
	Factory
	// Terminal reports whether the filter ends a chain.
	Terminal() bool
	// BuildNetworkFilter checks the configuration, once, on the main goroutine. Errors
	// go to errs with the path of the field; the builder is nil then.
	BuildNetworkFilter(msg proto.Message, ctx NetworkContext, path conf.Path, errs *conf.Errors) network.FilterBuilder
}

// NetworkContext is what the factory of a network or listener filter may use.
type NetworkContext struct {
	Context
	Listener Listener
}

// A ListenerFilterFactory makes listener filters. What Build returns is called on
// the worker of each accepted socket.
type ListenerFilterFactory interface {
	Factory
	BuildListenerFilter(msg proto.Message, ctx NetworkContext, path conf.Path, errs *conf.Errors) func() network.ListenerFilter
}

// An HTTPFilterFactory makes HTTP filters.
type HTTPFilterFactory interface {
	Factory
	// Terminal reports whether the filter ends a chain.
	Terminal() bool
	// BuildHTTPFilter checks the configuration, once, on the main goroutine. Errors go
	// to errs with the path of the field; the builder is nil then.
	BuildHTTPFilter(msg proto.Message, ctx HTTPContext, path conf.Path, errs *conf.Errors) httpfilter.Builder
}

// An HTTPRouteFilterFactory is an HTTPFilterFactory with configuration per route.
type HTTPRouteFilterFactory interface {
	HTTPFilterFactory
	// RouteConfig returns an empty message of the per-route configuration's type.
	RouteConfig() proto.Message
	// BuildRouteConfig checks it and returns the immutable value that filters get from
	// Route.FilterConfig.
	BuildRouteConfig(msg proto.Message, ctx HTTPContext, path conf.Path, errs *conf.Errors) any
}

// HTTPContext is what the factory of an HTTP filter may use.
type HTTPContext struct {
	Context
	// Root is the server's scope, for statistics that are not below http.<stat_prefix>.
	Root stats.Scope
	// StatPrefix is "http.<stat_prefix>.", the name of the Stats scope.
	StatPrefix string
	Listener   Listener
	// LocalAddress is that of this machine, as x-forwarded-for shows it. It may be the
	// zero Address.
	LocalAddress address.Address
}

// An AccessLoggerFactory makes access loggers.
type AccessLoggerFactory interface {
	Factory
	// BuildAccessLogger checks the configuration. Errors go to errs; it returns nil
	// then.
	BuildAccessLogger(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) accesslog.Logger
}
