package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l4/listener"
	"github.com/nuncio-proxy/nuncio/internal/l7/hcm"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

var adminFields = conf.Fields{
	Message: "envoy.config.bootstrap.v3.Admin",
	// ignore_global_conn_limit holds in any case: admin's connections are not counted.
	Names: []string{"access_log", "access_log_path", "profile_path", "address", "ignore_global_conn_limit", "allow_paths"},
}

// publish renews what admin shows of the listeners. Main goroutine.
func (s *Server) publish() {
	var now []admin.ListenerStatus
	for _, l := range s.listeners.Listeners() {
		if !l.Draining {
			now = append(now, admin.ListenerStatus{Name: l.Name, Addresses: l.Addresses})
		}
	}
	s.listening.Store(&now)
}

// buildAdmin makes the admin server, if the bootstrap has one.
func (s *Server) buildAdmin(ctx extension.Context, path conf.Path, errs *conf.Errors) {
	cfg := s.bootstrap.GetAdmin()
	if cfg == nil {
		return
	}
	conf.Check(cfg, adminFields, path, errs)
	if cfg.GetAddress() == nil {
		errs.Add(path, "address must be set: an admin server without one is not implemented")
	}
	logs := ctx.AccessLogs.Build(cfg.GetAccessLog(), path.Field("access_log"), errs)
	if file := cfg.GetAccessLogPath(); file != "" {
		logs = append(logs, ctx.AccessLogs.Build([]*accesslogv3.AccessLog{{
			Name:       "envoy.access_loggers.file",
			ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: pack(&filev3.FileAccessLog{Path: file})},
		}}, path.Field("access_log_path"), errs)...)
	}
	profile := cfg.GetProfilePath()
	if profile == "" {
		profile = "/var/log/envoy/envoy.prof"
	}
	var contention func() *adminv3.MutexStats
	if s.options.EnableMutexTracing {
		contention = mutexStats
	}
	root := s.store.Root()
	hcm.DeclareStats(root.Scope("http.admin."), root.Scope("listener.admin.http.admin."))
	listener.DeclareStats(root.Scope("listener.admin."))
	var err error
	s.admin, err = admin.New(admin.Config{
		Stats: root, Now: time.Now,
		Lifecycle: (*lifecycle)(s),
		JSON: func(m proto.Message) []byte {
			return protoconv.MarshalJSON(m, protoconv.Print{Indent: true, Redact: true})
		},
		Regexp:            stats.Filter,
		Clusters:          s.clusterStatus,
		Listeners:         func() []admin.ListenerStatus { return *s.listening.Load() },
		Sections:          s.configSections(),
		Runtime:           s.runtimeValues,
		Certificates:      s.tls.Certificates,
		ModifyRuntime:     s.runtime.Modify,
		Logging:           s.log.Logging,
		Contention:        contention,
		ReopenLogs:        s.ReopenLogs,
		ProfilePath:       profile,
		HotRestartVersion: hotRestartVersion(&s.options),
		Endpoints:         append(s.store.Endpoints(), s.answers.Endpoint()),
		AccessLog:         s.adminAccessLog(logs),
		AllowPaths:        allowPaths(cfg.GetAllowPaths(), path.Field("allow_paths"), errs),
		Log:               func(line string) { s.log.Logger("admin").Warnf("%s", line) },
	})
	if err != nil {
		errs.Add(path, "%v", err)
	}
}

func allowPaths(cfg []*matcherv3.StringMatcher, path conf.Path, errs *conf.Errors) []func(string) bool {
	var allow []func(string) bool
	for i, m := range cfg {
		if s := match.NewString(m, path.Index(i), errs); s != nil {
			allow = append(allow, s.Match)
		}
	}
	return allow
}

// ReopenLogs reopens the access logs and the operational log, after they were
// rotated. Any goroutine.
func (s *Server) ReopenLogs() {
	s.main.Post(s.files.Reopen)
	if err := s.log.Reopen(); err != nil {
		s.logger.Errorf("cannot reopen the log: %v", err)
	}
}

// mutexStats sums up the runtime's mutex profile. The wait of the latest contention,
// which Envoy shows as well, is not in it and stays 0.
func mutexStats() *adminv3.MutexStats {
	n, _ := runtime.MutexProfile(nil)
	records := make([]runtime.BlockProfileRecord, n+64) // room for those that come meanwhile
	n, _ = runtime.MutexProfile(records)
	stats := new(adminv3.MutexStats)
	for _, r := range records[:n] {
		stats.NumContentions += uint64(r.Count)
		stats.LifetimeWaitCycles += uint64(r.Cycles)
	}
	return stats
}

func (s *Server) runtimeValues() admin.RuntimeValues {
	layers, entries := s.runtime.Entries()
	values := admin.RuntimeValues{Layers: layers, Entries: map[string]admin.RuntimeEntry{}}
	for key, e := range entries {
		values.Entries[key] = admin.RuntimeEntry{Final: e.Final, Layers: e.Layers}
	}
	return values
}

// startAdmin binds the admin address and serves.
func (s *Server) startAdmin() error {
	if s.admin == nil {
		return nil
	}
	l, err := listenAdmin(s.bootstrap.GetAdmin().GetAddress())
	if err != nil {
		return fmt.Errorf("cannot bind the admin address: %w", err)
	}
	text := l.Addr().String()
	s.adminAddress.Store(&text)
	if file := s.options.AdminAddressPath; file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			l.Close()
			return fmt.Errorf("cannot write the admin address: %w", err)
		}
	}
	s.admin.Serve(l)
	s.logger.Infof("admin address: %s", text)
	return nil
}

func listenAdmin(a *corev3.Address) (net.Listener, error) {
	if pipe := a.GetPipe(); pipe != nil {
		if err := os.Remove(pipe.GetPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		l, err := net.Listen("unix", pipe.GetPath())
		if err == nil && pipe.GetMode() != 0 {
			err = os.Chmod(pipe.GetPath(), fs.FileMode(pipe.GetMode()))
		}
		return l, err
	}
	sa := a.GetSocketAddress()
	return net.Listen("tcp", net.JoinHostPort(sa.GetAddress(), strconv.Itoa(int(sa.GetPortValue()))))
}

// AdminAddress is where admin listens, "" before Run has bound it or without admin.
// Any goroutine.
func (s *Server) AdminAddress() string {
	if a := s.adminAddress.Load(); a != nil {
		return *a
	}
	return ""
}

// ListenerAddresses returns the addresses that the listener with that name is bound
// to, nil if there is none. Any goroutine.
func (s *Server) ListenerAddresses(name string) []address.Address {
	for _, l := range *s.listening.Load() {
		if l.Name == name {
			return l.Addresses
		}
	}
	return nil
}

// configSections are the parts of /config_dump.
func (s *Server) configSections() []admin.ConfigSection {
	return []admin.ConfigSection{
		{Dump: func(func(string) bool) proto.Message {
			b := proto.CloneOf(s.bootstrap)
			b.Node = s.node()
			return &adminv3.BootstrapConfigDump{Bootstrap: b, LastUpdated: timestamppb.New(s.started)}
		}},
		{Dump: s.dumpClusters},
		{Endpoints: true, Dump: s.dumpEndpoints},
		{Dump: func(match func(string) bool) proto.Message {
			dump := new(adminv3.ListenersConfigDump)
			for _, l := range s.bootstrap.GetStaticResources().GetListeners() {
				if match(l.GetName()) {
					dump.StaticListeners = append(dump.StaticListeners, &adminv3.ListenersConfigDump_StaticListener{
						Listener: pack(l), LastUpdated: timestamppb.New(s.started),
					})
				}
			}
			return dump
		}},
		{Dump: s.dumpScopedRoutes},
		{Dump: s.dumpRoutes},
		{Dump: func(match func(string) bool) proto.Message { return s.secrets.Dump(match) }},
	}
}

// dumpRoutes shows the route configurations of managers that have one.
func (s *Server) dumpRoutes(match func(string) bool) proto.Message {
	dump := new(adminv3.RoutesConfigDump)
	for _, m := range s.managers {
		if r := m.GetRouteConfig(); r != nil && match(r.GetName()) {
			dump.StaticRouteConfigs = append(dump.StaticRouteConfigs, &adminv3.RoutesConfigDump_StaticRouteConfig{
				RouteConfig: pack(r), LastUpdated: timestamppb.New(s.started),
			})
		}
	}
	return dump
}

// dumpScopedRoutes shows the route configurations of the others.
func (s *Server) dumpScopedRoutes(match func(string) bool) proto.Message {
	dump := new(adminv3.ScopedRoutesConfigDump)
	for _, m := range s.managers {
		r := m.GetScopedRoutes()
		if r == nil || !match(r.GetName()) {
			continue
		}
		scopes := &adminv3.ScopedRoutesConfigDump_InlineScopedRouteConfigs{Name: r.GetName(), LastUpdated: timestamppb.New(s.started)}
		for _, c := range r.GetScopedRouteConfigurationsList().GetScopedRouteConfigurations() {
			scopes.ScopedRouteConfigs = append(scopes.ScopedRouteConfigs, pack(c))
		}
		dump.InlineScopedRouteConfigs = append(dump.InlineScopedRouteConfigs, scopes)
	}
	return dump
}

// pack packs a message that was loaded from the bootstrap: that cannot fail.
func pack[M proto.Message](m M) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		return nil
	}
	return a
}

// adminAccessLog returns the function that logs admin's requests, nil if nobody
// wants them.
func (s *Server) adminAccessLog(logs []accesslog.Logger) func(*http.Request) func(int, int64) {
	if len(logs) == 0 {
		return nil
	}
	return func(r *http.Request) func(int, int64) {
		start := time.Now()
		return func(status int, sent int64) {
			info := streaminfo.Stream{Start: start, End: time.Now(), Version: httpmsg.HTTP11, HasVersion: true, ResponseCode: status,
				ResponseDetails: "admin_filter_response", BytesSent: uint64(sent), Downstream: new(streaminfo.Connection)}
			if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
				info.Downstream.Remote = address.FromAddrPort(ap)
				info.Downstream.DirectRemote = info.Downstream.Remote
			}
			var h httpmsg.Headers
			h.AddID(httpmsg.Method, r.Method)
			h.AddID(httpmsg.Path, r.URL.RequestURI())
			h.AddID(httpmsg.Authority, r.Host)
			for _, id := range []httpmsg.ID{httpmsg.UserAgent, httpmsg.XForwardedFor, httpmsg.XRequestID} {
				if v := r.Header.Get(id.String()); v != "" {
					h.AddID(id, v)
				}
			}
			entry := format.Entry{Request: &h, Stream: &info, Type: format.DownstreamEnd, Now: info.End, Shard: s.main.Shard()}
			for _, l := range logs {
				l.Log(&entry)
			}
		}
	}
}
