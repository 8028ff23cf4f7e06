package listener

import "github.com/nuncio-proxy/nuncio/api/stats"

// listenerStats are listener.<address>.*. Some are of features to come: they are
// there, and zero, as in Envoy.
type listenerStats struct {
	scope stats.Scope

	destroy, overflow, overloadReject, total, transportTimeout, globalOverflow, filterError, filterRemoteClose,
	preTimeout, noChain, acceptPaused *stats.Counter
	active, preActive *stats.Gauge
	accepted, length  stats.Histogram
	workers           []workerStats
}

// workerStats are listener.<address>.worker_<n>.*.
type workerStats struct {
	total  *stats.Counter
	active *stats.Gauge
}

// DeclareStats makes the statistics of a listener at zero, but for those of workers and
// those that only nuncio has: admin, which is none, shows the same names.
func DeclareStats(scope stats.Scope) { baseStats(scope) }

func newListenerStats(o *Options, name string) *listenerStats {
	scope := o.Context.Stats.Scope("listener." + name + ".")
	s := baseStats(scope)
	s.acceptPaused = scope.Counter("nuncio_accept_paused")
	scope.Counter("extension_config_missing")
	scope.Counter("network_extension_config_missing")
	for _, l := range o.Workers {
		w := scope.Scope(l.Name() + ".")
		s.workers = append(s.workers, workerStats{w.Counter("downstream_cx_total"), w.Gauge("downstream_cx_active")})
	}
	return s
}

func baseStats(scope stats.Scope) *listenerStats {
	return &listenerStats{
		scope:             scope,
		destroy:           scope.Counter("downstream_cx_destroy"),
		overflow:          scope.Counter("downstream_cx_overflow"),
		overloadReject:    scope.Counter("downstream_cx_overload_reject"),
		total:             scope.Counter("downstream_cx_total"),
		transportTimeout:  scope.Counter("downstream_cx_transport_socket_connect_timeout"),
		globalOverflow:    scope.Counter("downstream_global_cx_overflow"),
		filterError:       scope.Counter("downstream_listener_filter_error"),
		filterRemoteClose: scope.Counter("downstream_listener_filter_remote_close"),
		preTimeout:        scope.Counter("downstream_pre_cx_timeout"),
		noChain:           scope.Counter("no_filter_chain_match"),
		active:            scope.Gauge("downstream_cx_active"),
		preActive:         scope.Gauge("downstream_pre_cx_active"),
		accepted:          scope.Histogram("connections_accepted_per_socket_event", stats.Unspecified),
		length:            scope.Histogram("downstream_cx_length_ms", stats.Milliseconds),
	}
}

// managerStats are listener_manager.*, but for those of LDS.
type managerStats struct {
	added, createFailure, createSuccess, inPlaceUpdated, modified, removed, stopped *stats.Counter
	active, draining, warming, chainsDraining, workersStarted                       *stats.Gauge
}

func newManagerStats(root stats.Scope) managerStats {
	scope := root.Scope("listener_manager.")
	s := managerStats{
		added:          scope.Counter("listener_added"),
		createFailure:  scope.Counter("listener_create_failure"),
		createSuccess:  scope.Counter("listener_create_success"),
		inPlaceUpdated: scope.Counter("listener_in_place_updated"),
		modified:       scope.Counter("listener_modified"),
		removed:        scope.Counter("listener_removed"),
		stopped:        scope.Counter("listener_stopped"),
		active:         scope.Gauge("total_listeners_active"),
		draining:       scope.Gauge("total_listeners_draining"),
		warming:        scope.Gauge("total_listeners_warming"),
		chainsDraining: scope.Gauge("total_filter_chains_draining"),
		workersStarted: scope.Gauge("workers_started"),
	}
	scope.Gauge("workers_pinned")
	for _, g := range []*stats.Gauge{s.active, s.warming, s.workersStarted} {
		g.Set(0)
	}
	return s
}
