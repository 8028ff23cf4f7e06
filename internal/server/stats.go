package server

import (
	"runtime"
	"strconv"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	apistats "github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// serverStats are the statistics server.*.
type serverStats struct {
	unknownFields, wipProtos, deprecatedUse, panics *apistats.Counter
	concurrency, live, state, uptime, totalConnections,
	memoryAllocated, memoryHeapSize, memoryPhysicalSize, daysUntilFirstCertExpiring, secondsUntilFirstOCSPExpiring *apistats.Gauge
	initializationTime apistats.Histogram
	misses, megaMisses [][]*apistats.Counter // by worker, main last
}

func newServerStats(root apistats.Scope, workers int, hotRestart bool) serverStats {
	s := root.Scope("server.")
	st := serverStats{
		unknownFields:                 s.Counter("static_unknown_fields"),
		wipProtos:                     s.Counter("wip_protos"),
		deprecatedUse:                 root.Counter("runtime.deprecated_feature_use"),
		panics:                        s.Counter("nuncio_panics"),
		concurrency:                   s.Gauge("concurrency"),
		live:                          s.Gauge("live"),
		state:                         s.Gauge("state"),
		uptime:                        s.Gauge("uptime"),
		totalConnections:              s.Gauge("total_connections"),
		memoryAllocated:               s.Gauge("memory_allocated"),
		memoryHeapSize:                s.Gauge("memory_heap_size"),
		memoryPhysicalSize:            s.Gauge("memory_physical_size"),
		daysUntilFirstCertExpiring:    s.Gauge("days_until_first_cert_expiring"),
		secondsUntilFirstOCSPExpiring: s.Gauge("seconds_until_first_ocsp_response_expiring"),
		initializationTime:            s.Histogram("initialization_time_ms", apistats.Milliseconds),
	}
	for _, name := range []string{"debug_assertion_failures", "envoy_notifications", "dropped_stat_flushes", "dynamic_unknown_fields", "envoy_bug_failures"} {
		s.Counter(name)
	}
	s.Gauge("parent_connections")
	s.Gauge("stats_recent_lookups")
	s.Gauge("hot_restart_epoch")
	for name, value := range map[string]uint64{
		"compilation_settings.fips_mode": 0, "version": 0,
	} {
		s.Gauge(name).Set(value)
	}
	if hotRestart {
		s.Gauge("hot_restart_generation").Set(1)
	}
	for i := range workers + 1 {
		name, old := "worker_"+strconv.Itoa(i), "workers"
		if i == workers {
			name, old = "main_thread", "main_thread"
		}
		st.misses = append(st.misses, []*apistats.Counter{s.Counter(name + ".watchdog_miss"), root.Counter(old + ".watchdog_miss")})
		st.megaMisses = append(st.megaMisses, []*apistats.Counter{s.Counter(name + ".watchdog_mega_miss"), root.Counter(old + ".watchdog_mega_miss")})
	}
	return st
}

// newStore makes the store of statistics with the tags of bootstrap and flags.
func (s *Server) newStore(shards int, errs *conf.Errors) *stats.Store {
	path := conf.Path{}.Field("stats_config")
	cfg := s.bootstrap.GetStatsConfig()
	var rules []stats.TagRule
	for _, t := range s.options.StatsTags {
		rules = append(rules, stats.TagRule{Name: t.Name, Fixed: t.Value})
	}
	for i, t := range cfg.GetStatsTags() {
		rule := stats.TagRule{Name: t.GetTagName()}
		switch v := t.GetTagValue().(type) {
		case *metricsv3.TagSpecifier_Regex:
			rule.Regex = &v.Regex
		case *metricsv3.TagSpecifier_FixedValue:
			rule.Fixed = v.FixedValue
		case nil:
			rule.Regex = new(string)
		default:
			errs.Add(path.Field("stats_tags").Index(i), "unknown tag value")
		}
		rules = append(rules, rule)
	}
	defaults := cfg.GetUseAllDefaultTags() == nil || cfg.GetUseAllDefaultTags().GetValue()
	tags, err := stats.NewTags(rules, defaults)
	if err != nil {
		errs.Add(path.Field("stats_tags"), "%v", err)
	}
	return stats.NewStore(shards, stats.Config{Tags: tags})
}

// countInflated sets how many clusters each loop has. They share them, so that each has
// all.
func (s *Server) countInflated(clusters int) {
	for _, l := range append([]*event.Loop{s.main}, s.workers...) {
		s.store.Root().Gauge("thread_local_cluster_manager." + l.Name() + ".clusters_inflated").Set(uint64(clusters))
	}
}

// countWarnings counts what the configuration's warnings are about.
func (s *Server) countWarnings(warnings []protoconv.Warning) {
	for _, w := range warnings {
		switch w.Kind {
		case protoconv.UnknownField:
			s.stats.unknownFields.Inc(apistats.Any)
		case protoconv.DeprecatedField:
			s.stats.deprecatedUse.Inc(apistats.Any)
		case protoconv.WorkInProgress:
			s.stats.wipProtos.Inc(apistats.Any)
		}
	}
}

// updateStats sets the gauges that nobody else keeps. Main goroutine.
func (s *Server) updateStats() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	st := &s.stats
	st.memoryAllocated.Set(m.HeapAlloc)
	st.memoryHeapSize.Set(m.HeapSys)
	st.memoryPhysicalSize.Set(m.Sys - m.HeapReleased)
	st.uptime.Set(uint64(time.Since(s.started) / time.Second))
	st.totalConnections.Set(uint64(s.openConnections.Load()))
	st.state.Set(uint64(s.State()))
	st.daysUntilFirstCertExpiring.Set(s.tls.DaysUntilFirstExpiry())
	if seconds, ok := s.tls.SecondsUntilFirstOCSPExpiry(); ok {
		st.secondsUntilFirstOCSPExpiring.Set(seconds)
	}
}

// watchdogs returns the watchdog of all loops. Main thread and workers have
// thresholds of their own.
func (s *Server) watchdogs() []*event.Watchdog {
	w := s.bootstrap.GetWatchdogs()
	var workers []event.Watched
	for i, l := range s.workers {
		workers = append(workers, event.Watched{Loop: l, Miss: s.stats.misses[i], MegaMiss: s.stats.megaMisses[i]})
	}
	last := len(s.workers)
	main := []event.Watched{{Loop: s.main, Miss: s.stats.misses[last], MegaMiss: s.stats.megaMisses[last]}}
	return []*event.Watchdog{newWatchdog(w.GetWorkerWatchdog(), workers), newWatchdog(w.GetMainThreadWatchdog(), main)}
}

func newWatchdog(w *bootstrapv3.Watchdog, loops []event.Watched) *event.Watchdog {
	miss, megaMiss := 200*time.Millisecond, time.Second
	if d := w.GetMissTimeout(); d != nil {
		miss = d.AsDuration()
	}
	if d := w.GetMegamissTimeout(); d != nil {
		megaMiss = d.AsDuration()
	}
	return event.NewWatchdog(miss, megaMiss, loops)
}
