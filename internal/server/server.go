// Package server builds the rooms of the engine, hands them to one another, and
// runs them: it is the only place that knows all of them.
//
// One goroutine, that of the main loop, owns all configuration: listeners,
// clusters, runtime. Workers get immutable snapshots and are never waited for.
// Several servers run in one process; nothing here is global.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	apievent "github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/extension"
	apistats "github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/control/acme"
	"github.com/nuncio-proxy/nuncio/internal/control/bootstrap"
	"github.com/nuncio-proxy/nuncio/internal/control/runtimeconf"
	"github.com/nuncio-proxy/nuncio/internal/control/secret"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/format"
	"github.com/nuncio-proxy/nuncio/internal/l4/drain"
	"github.com/nuncio-proxy/nuncio/internal/l4/listener"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlscontext"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
	"github.com/nuncio-proxy/nuncio/internal/l7/hcm"
	"github.com/nuncio-proxy/nuncio/internal/l7/route"
	"github.com/nuncio-proxy/nuncio/internal/observe/accesslog"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
	"github.com/nuncio-proxy/nuncio/internal/observe/why"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
	"github.com/nuncio-proxy/nuncio/internal/upstream/asyncclient"
	"github.com/nuncio-proxy/nuncio/internal/upstream/cluster"
	"github.com/nuncio-proxy/nuncio/internal/upstream/dns"
)

// A Config describes a server.
type Config struct {
	Options Options
	// Bootstrap is the loaded configuration.
	Bootstrap *bootstrap.Config
	// Extensions are the factories of all extensions; the HTTP connection manager
	// comes with the engine.
	Extensions []extension.Factory
	// Log is the operational log, which the caller closes after Run.
	Log *oplog.Log
	// Grace is how long Run, when its context ends, lets requests finish that are on
	// their way. 0: not at all, as Envoy.
	Grace time.Duration
	// LookupEnv is os.LookupEnv, or what stands for it in %ENVIRONMENT()% of formats;
	// nil for an empty environment.
	LookupEnv func(name string) (value string, ok bool)
}

// A Server is one proxy: New builds it from its configuration, Run runs it.
type Server struct {
	// Set in New, read-only after.
	options    Options
	bootstrap  *bootstrapv3.Bootstrap
	warnings   []string // of the configuration, for the log
	grace      time.Duration
	lookupEnv  func(name string) (string, bool)
	log        *oplog.Log
	logger     *oplog.Logger // of the component main
	started    time.Time
	registry   *extension.Registry
	store      *stats.Store
	stats      serverStats
	main       *event.Loop
	workers    []*event.Loop
	runtime    *runtimeconf.Runtime
	formats    *format.Compiler
	files      *accesslog.Files
	resolver   *dns.Resolver
	secrets    *secret.Provider // main goroutine, except Dump
	tls        *tlscontext.Contexts
	handshakes *tlssocket.Handshakes
	acme       *acme.Manager     // nil if the bootstrap has none
	clusters   *cluster.Manager  // main goroutine, except Get
	static     []*cluster.Config // clusters that start adds
	listeners  *listener.Manager // main goroutine
	managers   []*hcmv3.HttpConnectionManager
	drain      *drain.Decision
	answers    *why.Log
	admin      *admin.Server // nil if the bootstrap has none

	// atomic
	connectionIDs   atomic.Uint64
	openConnections atomic.Int64
	live            atomic.Bool
	unhealthy       atomic.Bool // /healthcheck/fail
	adminAddress    atomic.Pointer[string]
	listening       atomic.Pointer[[]admin.ListenerStatus]

	ready    chan struct{} // closed when the listeners accept
	quit     chan struct{} // closed when the server is to end
	quitOnce sync.Once
	fatal    error // why, set before quit is closed
	loops    sync.WaitGroup
}

// New builds a server and checks its whole configuration; nothing is bound and
// nothing runs yet. Errors in the configuration are a conf.Errors with the places
// in the file.
func New(c Config) (*Server, error) {
	b := c.Bootstrap.Bootstrap
	s := &Server{
		options: c.Options, bootstrap: b, grace: c.Grace, lookupEnv: c.LookupEnv, log: c.Log, logger: c.Log.Logger("main"), started: time.Now(),
		ready: make(chan struct{}), quit: make(chan struct{}),
	}
	s.listening.Store(new([]admin.ListenerStatus))
	var errs conf.Errors
	for _, w := range c.Bootstrap.Warnings {
		if w.Kind != protoconv.DeprecatedField || !c.Options.SkipDeprecatedLogs {
			s.warnings = append(s.warnings, w.Error.Error())
		}
	}
	err := s.buildLoops(&errs)
	if err == nil {
		err = s.register(c.Extensions)
	}
	if err != nil {
		s.closeLoops()
		return nil, err
	}
	s.build(&errs)
	if errs.Err() != nil {
		s.Close()
		if c.Bootstrap.Positions != nil {
			c.Bootstrap.Positions.Locate(errs)
		}
		errs.Sort()
		return nil, errs
	}
	s.countWarnings(c.Bootstrap.Warnings)
	return s, nil
}

// register fills the registry with what the caller brings and the engine's own.
func (s *Server) register(factories []extension.Factory) error {
	s.registry = new(extension.Registry)
	own := &hcm.Factory{
		LocalAddress: localAddress(s.options.LocalAddressIPVersion),
		Clock:        time.Now,
		TimesRoutes:  func() bool { return s.formats.WantsRouteTime() },
		OnBuilt:      func(m *hcmv3.HttpConnectionManager) { s.managers = append(s.managers, m) },
	}
	disabled := map[string]bool{}
	for _, name := range s.options.DisabledExtensions {
		disabled[name] = true
	}
	for _, f := range slices.Concat([]extension.Factory{own, filterchain.CodecFactory{}}, s.tls.Factories(), factories) {
		name := f.Category() + "/" + f.Name()
		if disabled[name] {
			delete(disabled, name)
			continue
		}
		if err := s.registry.Add(f); err != nil {
			return err
		}
	}
	for name := range disabled {
		s.warnings = append(s.warnings, fmt.Sprintf("failed to disable unknown extension '%s'", name))
	}
	return nil
}

// buildLoops makes the statistics store and the loops, whose shards it has.
func (s *Server) buildLoops(errs *conf.Errors) error {
	workers := int(max(s.options.Concurrency, 1))
	s.store = s.newStore(workers+1, errs)
	s.stats = newServerStats(s.store.Root(), workers, !s.options.DisableHotRestart)
	s.stats.concurrency.Set(uint64(workers))
	s.handshakes = tlssocket.NewHandshakes(tlssocket.HandshakesConfig{
		Concurrency: workers, MaxWaiting: tlssocket.DefaultMaxWaiting, Scope: s.store.Root().Scope("server."),
		OnPanic: func(value any, stack []byte) { s.panicked("a TLS handshake", apistats.Any, value, stack) },
	})
	s.tls = tlscontext.New(s.handshakes, time.Now)
	for i := range workers {
		w, err := s.newLoop(fmt.Sprintf("worker_%d", i), i)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	var err error
	s.main, err = s.newLoop("main_thread", workers)
	return err
}

// newLoop makes a loop on which a panic of a callback is contained: the connection
// that it belongs to ends, all others live.
func (s *Server) newLoop(name string, shard int) (loop *event.Loop, err error) {
	loop, err = event.New(event.Config{Name: name, Shard: shard, OnPanic: func(owner, value any, stack []byte) {
		s.panicked(name, shard, value, stack)
		if c, ok := owner.(interface{ Kill() }); ok {
			loop.Defer(c.Kill)
		}
	}})
	return loop, err
}

// panicked tells of a panic that was contained.
func (s *Server) panicked(where string, shard int, value any, stack []byte) {
	s.stats.panics.Inc(shard)
	s.logger.Criticalf("panic on %s: %v", where, value)
	s.log.Backtrace(stack)
}

// build makes the rooms from the bottom up.
func (s *Server) build(errs *conf.Errors) {
	root, path := s.store.Root(), conf.Path{}
	s.runtime = runtimeconf.New(s.bootstrap.GetLayeredRuntime(), root, path.Field("layered_runtime"), errs)
	s.files = accesslog.NewFiles(accesslog.FilesOptions{
		Shards: len(s.workers) + 1, Stats: root.Scope("filesystem."),
		FlushInterval: s.options.FileFlushInterval, FlushMinSize: int(s.options.FileFlushMinSize) << 10,
	})
	http := s.log.Logger("http")
	s.answers = why.New(why.Config{
		Shards: len(s.workers) + 1, LogEnabled: func() bool { return http.Enabled(oplog.LevelDebug) },
		LogLine: func(line string) { http.Debugf("%s", line) },
	})
	s.secrets = secret.New(secret.Options{Dispatcher: s.main, Now: time.Now, Stats: root, Log: s.log.Logger("config")})
	s.secrets.AddStatic(s.bootstrap.GetStaticResources().GetSecrets(), path.Field("static_resources").Field("secrets"), errs)
	s.drain = drain.New(drain.Config{
		Strategy: drain.Strategy(s.options.DrainStrategy), Time: s.options.DrainTime, Now: time.Now,
	})
	ctx := extension.Context{
		Registry: s.registry, Stats: root, Runtime: s.runtime, Server: (*serverView)(s),
		Log: s.log.Logger("config"), Files: s.files, Secrets: s.secrets,
		LookupEnv: s.lookupEnv, Why: s.answers, Workers: dispatchers(s.workers),
	}
	extensions := bootstrap.ReadExtensions(s.bootstrap)
	s.buildACME(extensions, &ctx, errs)
	s.formats = format.NewCompiler(format.Options{Hostname: hostname(), LookupEnv: s.lookupEnv, Context: ctx})
	ctx.Formats = s.formats
	s.resolver = dns.New(dns.ReadSystem("/etc/resolv.conf"), "/etc/hosts", nil, dns.NewStats(root.Scope("dns.cares.")))
	s.clusters = cluster.NewManager(cluster.Options{
		Dispatcher: s.main, Stats: root, Runtime: s.runtime, Resolver: s.resolver,
		NextConnectionID: func() uint64 { return s.connectionIDs.Add(1) }, Shards: len(s.workers) + 1,
		ConnectInternal: s.connectInternal,
	})
	s.runtime.OnChange(s.clusters.RuntimeChanged)
	ctx.Clusters, ctx.UpstreamFilters, ctx.RoutePolicies = s.clusters, filterchain.Filters{}, route.Policies{}
	ctx.GRPC = &asyncclient.Clients{
		Clusters: s.clusters, Formats: s.formats,
		LocalAddress: localAddress(s.options.LocalAddressIPVersion).WithoutPort(),
	}
	ctx.AccessLogs = accesslog.NewBuilder(ctx)
	static := path.Field("static_resources")
	s.parseClusters(ctx, static.Field("clusters"), errs)
	ctx.Log = http
	s.listeners = listener.NewManager(listener.Options{
		Context: ctx, Main: s.main, Workers: s.workers, Resolve: extension.Unpack, Drain: s.drain,
		ConnectionIDs: &s.connectionIDs, Open: &s.openConnections, MeasureRTT: s.formats.WantsRTT,
		InternalBuffer: extensions.InternalBuffer,
	})
	for i, l := range s.bootstrap.GetStaticResources().GetListeners() {
		addErrors(s.listeners.Add(l, static.Field("listeners").Index(i), true), static, errs)
	}
	s.buildAdmin(ctx, path.Field("admin"), errs)
}

// dispatchers returns the loops as extensions see them.
func dispatchers(loops []*event.Loop) []apievent.Dispatcher {
	list := make([]apievent.Dispatcher, len(loops))
	for i, l := range loops {
		list[i] = l
	}
	return list
}

// parseClusters checks the clusters and makes their names known; start adds them.
func (s *Server) parseClusters(ctx extension.Context, path conf.Path, errs *conf.Errors) {
	names := map[string]bool{}
	for i, msg := range s.bootstrap.GetStaticResources().GetClusters() {
		at := path.Index(i)
		if names[msg.GetName()] {
			errs.Add(at.Field("name"), "there are two clusters named %s", msg.GetName())
		}
		names[msg.GetName()] = true
		s.clusters.Declare(msg.GetName())
		if c := cluster.Parse(msg, ctx, at, errs); c != nil {
			s.static = append(s.static, c)
		}
	}
	s.countInflated(len(s.static))
}

// addErrors takes the errors of a component into errs.
func addErrors(err error, path conf.Path, errs *conf.Errors) {
	var list conf.Errors
	switch {
	case err == nil:
	case errors.As(err, &list):
		*errs = append(*errs, list...)
	default:
		errs.Add(path, "%v", err)
	}
}

// Close lets go what New opened, of a server that is not run.
func (s *Server) Close() {
	s.closeLoops()
	s.resolver.Close()
	s.files.Close()
}

// LogWarnings logs what the configuration has that is deprecated or not known. Run does
// so too.
func (s *Server) LogWarnings() {
	for _, w := range s.warnings {
		s.logger.Warnf("%s", w)
	}
}

// Run runs the server until ctx ends, Quit is called, or it cannot start; then it
// returns the reason. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.startAdmin(); err != nil {
		s.Close()
		return err
	}
	s.LogWarnings()
	loops, stopLoops := context.WithCancel(context.Background())
	defer stopLoops()
	for _, l := range append([]*event.Loop{s.main}, s.workers...) {
		s.loops.Go(func() { l.Run(loops) })
	}
	for _, w := range s.watchdogs() {
		s.loops.Go(func() { w.Run(loops) })
	}
	s.main.Post(s.start)
	select {
	case <-ctx.Done():
	case <-s.quit:
	}
	s.shutDown(stopLoops)
	return s.fatal
}

// WaitReady returns when the listeners accept, or with an error when the server or
// ctx ended before.
func (s *Server) WaitReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.quit:
		if s.fatal != nil {
			return s.fatal
		}
		return errors.New("the server was ended before it was ready")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Quit ends Run. Any goroutine.
func (s *Server) Quit() { s.end(nil) }

func (s *Server) end(err error) {
	s.quitOnce.Do(func() {
		s.fatal = err
		close(s.quit)
	})
}

// start brings the server up: clusters first, then listeners. Main goroutine.
func (s *Server) start() {
	s.logger.Infof("starting main dispatch loop")
	s.secrets.Start()
	if s.acme != nil {
		s.acme.Start()
	}
	s.tick()
	waiting := 1
	ready := func() {
		if waiting--; waiting == 0 {
			s.startListeners()
		}
	}
	for _, c := range s.static {
		waiting++
		s.clusters.Add(c, ready)
	}
	ready()
}

func (s *Server) startListeners() {
	s.logger.Infof("all clusters initialized, starting workers")
	if err := s.listeners.Start(); err != nil {
		s.end(err)
		return
	}
	s.publish()
	s.live.Store(true)
	s.stats.live.Set(1)
	s.stats.initializationTime.Record(s.main.Shard(), uint64(time.Since(s.started).Milliseconds()))
	s.updateStats()
	close(s.ready)
}

// tick flushes the statistics, now and then again at each interval. Main goroutine.
func (s *Server) tick() {
	interval := 5 * time.Second
	if d := s.bootstrap.GetStatsFlushInterval(); d != nil {
		interval = d.AsDuration()
	}
	var timer interface{ Enable(time.Duration) }
	timer = s.main.NewTimer(func() {
		s.flush()
		timer.Enable(interval)
	})
	s.flush()
	timer.Enable(interval)
}

func (s *Server) flush() {
	s.updateStats()
	s.store.Flush()
	s.publish()
}

// shutDown ends everything in the reverse order of start.
func (s *Server) shutDown(stopLoops func()) {
	s.live.Store(false)
	s.stats.live.Set(0)
	if s.grace > 0 {
		s.finishRequests()
	}
	closed := make(chan struct{})
	if s.main.Post(func() {
		s.listeners.Close(func() {
			s.clusters.Close()
			s.secrets.Close()
			close(closed)
		})
	}) {
		<-closed
	}
	s.handshakes.Wait()
	if s.acme != nil {
		s.acme.Close()
	}
	s.resolver.Close()
	if s.admin != nil {
		s.admin.Close(time.Second)
	}
	stopLoops()
	s.loops.Wait()
	s.files.Close()
	s.logger.Infof("exiting")
}

// finishRequests drains: it stops accepting, ends the connections that serve nobody
// and waits until all have gone, but no longer than the grace.
func (s *Server) finishRequests() {
	s.drain.End()
	gone := make(chan struct{})
	var check func()
	deadline := time.Now().Add(s.grace)
	var timer interface{ Enable(time.Duration) }
	check = func() {
		if s.openConnections.Load() == 0 || time.Now().After(deadline) {
			close(gone)
			return
		}
		s.listeners.CloseIdle()
		timer.Enable(10 * time.Millisecond)
	}
	if s.main.Post(func() {
		timer = s.main.NewTimer(check)
		s.listeners.Stop(false)
		check()
	}) {
		<-gone
	}
}

func (s *Server) closeLoops() {
	for _, l := range s.workers {
		l.Close()
	}
	if s.main != nil {
		s.main.Close()
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "-"
	}
	return name
}
