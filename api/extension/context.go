package extension

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/api/why"
)

// Context is what the factory of any extension may use. Main goroutine, except
// where a member says otherwise.
type Context struct {
	Registry *Registry
	// Stats is the scope of the extension point: the root for network filters,
	// http.<stat_prefix>. for HTTP filters.
	Stats    stats.Scope
	Runtime  runtimeconf.Loader // any goroutine
	Clusters upstream.Clusters  // any goroutine
	Formats  format.Compiler
	Log      Logger // any goroutine
	Server   Server // any goroutine
	// Workers are the loops that carry connections, in the order of their shards, which
	// begin at 0; nil where there are none, as in checks of a configuration.
	Workers []event.Dispatcher
	// AccessLogs makes the loggers of an access_log field.
	AccessLogs AccessLogs
	// GRPC makes clients for the proxy's own calls.
	GRPC grpcclient.Clients
	// Secrets finds certificates and other secrets.
	Secrets secret.Provider
	// ACME answers challenges; nil if the server has no certificates by ACME.
	ACME ACME
	// UpstreamFilters makes the filters between a router and its hosts.
	UpstreamFilters UpstreamFilters
	// RoutePolicies makes the policies of clusters that take the place of those of routes.
	RoutePolicies RoutePolicies
	// Files opens the files of access loggers.
	Files accesslog.Files
	// Why remembers the answers that the proxy makes; it may be nil. Any goroutine.
	Why why.Recorder
	// LookupEnv is os.LookupEnv, or what stands for it; nil for an empty environment.
	LookupEnv func(name string) (value string, ok bool)
}

// Server tells the state of the whole server. Any goroutine.
type Server interface {
	// HealthCheckFailed reports whether the operator made the server unhealthy, or
	// it drains.
	HealthCheckFailed() bool
	// ServiceCluster, ServiceNode and ServiceZone are the names of the node.
	ServiceCluster() string
	ServiceNode() string
	ServiceZone() string
	// Node is the node message of the bootstrap, nil if it has none. It is shared: nobody
	// writes to it.
	Node() *corev3.Node
	// Shards is the number of shards of statistics: one more than the highest Shard
	// of a dispatcher.
	Shards() int
}

// AccessLogs makes loggers from an access_log field, one for each message: it logs
// the entries that its filter lets pass. Errors go to errs; a message with errors has
// no logger in the result. Main goroutine.
type AccessLogs interface {
	Build(config []*accesslogv3.AccessLog, path conf.Path, errs *conf.Errors) []accesslog.Logger
	// BuildFilter makes a filter that stands for itself, as a condition on streams.
	// Errors go to errs; the filter must not be used then.
	BuildFilter(config *accesslogv3.AccessLogFilter, path conf.Path, errs *conf.Errors) accesslog.Filter
}

// A Logger writes to the operational log. Any goroutine.
type Logger interface {
	Debugf(format string, args ...any)
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Listener describes the listener that a filter chain belongs to.
type Listener struct {
	Name string
	// Scope is listener.<address or stat prefix>.
	Scope stats.Scope
	// Inbound is set when the traffic direction is INBOUND, Outbound for OUTBOUND.
	Inbound, Outbound bool
	Drain             network.DrainDecision // any goroutine
}
