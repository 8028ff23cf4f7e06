package bootstrap

import "github.com/nuncio-proxy/nuncio/api/conf"

// Fields lists the fields of the bootstrap that are implemented. The components that
// read admin and layered_runtime check them further.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.bootstrap.v3.Bootstrap",
		Names: []string{
			"node",
			"static_resources.listeners",
			"static_resources.clusters",
			"static_resources.secrets",
			"admin",
			"stats_config.stats_tags",
			"stats_config.use_all_default_tags",
			"stats_flush_interval",
			"layered_runtime",
			"watchdogs.main_thread_watchdog.miss_timeout",
			"watchdogs.main_thread_watchdog.megamiss_timeout",
			"watchdogs.worker_watchdog.miss_timeout",
			"watchdogs.worker_watchdog.megamiss_timeout",
			"default_regex_engine",
			"bootstrap_extensions",
		},
	}
}
