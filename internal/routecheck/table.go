package routecheck

import (
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/format"
	"github.com/nuncio-proxy/nuncio/internal/l7/route"
	"github.com/nuncio-proxy/nuncio/internal/observe/accesslog"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
)

// buildTable makes the table of a route configuration as a proxy would that has all
// clusters.
func buildTable(s *source, rules *runtime, registry *extension.Registry, errs *conf.Errors) *route.Table {
	root := stats.NewStore(1, stats.Config{}).Root()
	ctx := extension.Context{Registry: registry, Stats: root, Runtime: rules, Clusters: anyCluster{}, Server: noServer{}, Log: noLog{}}
	ctx.Formats = format.NewCompiler(format.Options{Context: ctx})
	ctx.AccessLogs = accesslog.NewBuilder(ctx)
	http := extension.HTTPContext{Context: ctx, Root: root, StatPrefix: "http.routes_check."}
	rules.rule(s.config)
	return route.Build(s.config, route.BuildContext{HTTPContext: http}, s.path, errs)
}

// client is where requests come from.
func client(now time.Time) *streaminfo.Connection {
	loopback := address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))
	return &streaminfo.Connection{Remote: loopback, Local: loopback, DirectRemote: loopback, DirectLocal: loopback, Accepted: now}
}

// anyCluster knows every cluster by name.
type anyCluster struct{}

func (anyCluster) Get(string) upstream.Cluster { return nil }
func (anyCluster) Known(string) bool           { return true }

// noServer is a server without a name.
type noServer struct{}

func (noServer) HealthCheckFailed() bool { return false }
func (noServer) ServiceCluster() string  { return "" }
func (noServer) ServiceNode() string     { return "" }
func (noServer) ServiceZone() string     { return "" }
func (noServer) Node() *corev3.Node      { return nil }
func (noServer) Shards() int             { return 1 }

type noLog struct{}

func (noLog) Debugf(string, ...any) {}
func (noLog) Infof(string, ...any)  {}
func (noLog) Warnf(string, ...any)  {}
func (noLog) Errorf(string, ...any) {}
