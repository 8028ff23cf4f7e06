// Package admin is the admin server: it routes requests to endpoints, some of its
// own and some that other rooms bring (api/adminhook).
//
// It runs on goroutines of its own and sees the rest of the server only through
// the functions of Config. None of them waits for a worker, so that admin answers
// under any load and disturbs none.
package admin

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

const (
	maxHeaderBytes    = 64 << 10
	maxBodyBytes      = 1 << 20
	readHeaderTimeout = 30 * time.Second
	idleTimeout       = 5 * time.Minute
)

// Config is what admin sees of the server. All functions are called on admin's
// goroutines, several at a time, and must not wait for a worker. Those marked
// optional may be nil.
type Config struct {
	// Lifecycle is the server.
	Lifecycle Lifecycle
	// JSON prints a message indented by one space, without what is secret.
	JSON func(msg proto.Message) []byte
	// Regexp compiles an RE2 expression to a search; its error is for the client.
	Regexp func(pattern string) (match func(string) bool, err error)
	// Clusters lists the clusters.
	Clusters func() []ClusterStatus
	// Listeners lists the listeners that are active.
	Listeners func() []ListenerStatus
	// Sections are the parts of /config_dump, in their order.
	Sections []ConfigSection
	// Unready lists what initialization waits for; component is a part of the server
	// such as "listener", or "" for all. Optional.
	Unready func(component string) *adminv3.UnreadyTargetsDumps
	// Certificates lists the loaded certificates. Optional.
	Certificates func() *adminv3.Certificates
	// Runtime shows the runtime.
	Runtime func() RuntimeValues
	// ModifyRuntime changes values of the admin layer, removing those that are "". Its
	// error, that there is no such layer, is for the client.
	ModifyRuntime func(changes map[string]string) error
	// Logging carries out /logging.
	Logging func(query url.Values) (status int, body string)
	// Contention tells how often and how long locks were waited for. Optional: without it
	// /contention says how to have it.
	Contention func() *adminv3.MutexStats
	// ReopenLogs reopens the access logs.
	ReopenLogs func()
	// ProfilePath is the file that /cpuprofiler writes to.
	ProfilePath string
	// HotRestartVersion is what /hot_restart_version answers.
	HotRestartVersion string
	// Endpoints are those of other rooms and of extensions.
	Endpoints []adminhook.Endpoint
	// AllowPaths, if not empty, are the only paths served: a path, with its query, is
	// allowed if one of these says so.
	AllowPaths []func(path string) bool
	// AccessLog is called when a request begins; what it returns, when the answer was
	// written. Optional.
	AccessLog func(r *http.Request) (done func(status int, bytes int64))
	// Stats is the root scope, in which admin counts its own connections and requests
	// (http.admin.* and listener.admin.*); Now is time.Now. Both or none: optional.
	Stats stats.Scope
	Now   func() time.Time
	// Log takes a line for the operational log: a refused request, or a handler that
	// panicked. Optional.
	Log func(line string)
}

// Lifecycle is the server as admin can steer it.
type Lifecycle interface {
	// State returns at once, whatever the load: liveness probes depend on it.
	State() adminv3.ServerInfo_State
	// Info returns a message that admin may keep.
	Info() *adminv3.ServerInfo
	// DrainListeners begins to drain the listeners and returns: gradually first if
	// graceful, without closing them at its end if skipExit, only those of inbound
	// traffic if inboundOnly.
	DrainListeners(graceful, skipExit, inboundOnly bool)
	// FailHealthChecks makes health checks fail until PassHealthChecks.
	FailHealthChecks()
	PassHealthChecks()
	// Quit begins to shut down and returns.
	Quit()
}

// A Server is one admin server.
type Server struct {
	// Set in New, read-only after.
	config    Config
	endpoints []adminhook.Endpoint // by path
	help      string
	index     []byte
	http      *http.Server
	profiler  *cpuProfiler
	traffic   *traffic // nil if it is not counted
	serving   sync.WaitGroup
}

// New returns a server that does not serve yet. Two endpoints with one path are an error.
func New(config Config) (*Server, error) {
	if config.Log == nil {
		config.Log = func(string) {}
	}
	s := &Server{config: config, profiler: &cpuProfiler{path: config.ProfilePath}}
	s.endpoints = slices.Concat(s.builtin(), config.Endpoints)
	slices.SortFunc(s.endpoints, func(a, b adminhook.Endpoint) int { return strings.Compare(a.Path, b.Path) })
	for i := 1; i < len(s.endpoints); i++ {
		if s.endpoints[i].Path == s.endpoints[i-1].Path {
			return nil, fmt.Errorf("two admin endpoints have the path %q", s.endpoints[i].Path)
		}
	}
	s.help = helpText(s.endpoints)
	s.index = indexPage(s.endpoints)
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(lineWriter(config.Log), "", 0),
	}
	if config.Stats != nil {
		s.traffic = newTraffic(config.Stats, config.Now)
		s.http.ConnContext = withConn
	}
	return s, nil
}

// Serve answers the connections of l, which it owns from now on, and returns at once.
// It is called once for each address.
func (s *Server) Serve(l net.Listener) {
	if s.traffic != nil {
		l = countingListener{l, s.traffic}
	}
	s.serving.Go(func() {
		if err := s.http.Serve(l); err != http.ErrServerClosed {
			s.config.Log("admin stopped: " + err.Error())
		}
	})
}

// Close closes the listeners, waits up to grace for requests being answered, then
// closes all connections. It returns when the goroutines that accept have ended.
func (s *Server) Close(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.serving.Wait()
	s.profiler.stop()
}

// lineWriter hands what package log writes to a function.
type lineWriter func(line string)

func (w lineWriter) Write(p []byte) (int, error) {
	w(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
