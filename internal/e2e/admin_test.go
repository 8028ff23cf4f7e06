package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAdminEndpoints asks every endpoint by the right and the wrong method.
func TestAdminEndpoints(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	if m := get(t, p.addr("front"), "/x"); m.status() != 200 {
		t.Fatal(m.head)
	}
	const text, js, html = "text/plain; charset=UTF-8", "application/json", "text/html; charset=UTF-8"
	for _, tc := range []struct {
		method, path string
		status       int
		kind         string // content type
		contains     string
	}{
		{"GET", "/", 200, html, "</html>"},
		{"GET", "/help", 200, text, "admin commands are:"},
		{"GET", "/certs", 200, js, "certificates"},
		{"GET", "/clusters", 200, text, "up::127.0.0.1:" + u.port() + "::cx_total::1\n"},
		{"GET", "/clusters?format=json", 200, js, `"cluster_statuses"`},
		{"GET", "/clusters?filter=nothing", 200, text, ""},
		{"GET", "/config_dump", 200, js, "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"},
		{"GET", "/config_dump?resource=static_listeners", 200, js, "envoy.admin.v3.ListenersConfigDump.StaticListener"},
		{"GET", "/config_dump?resource=none", 404, "text/plain", "none not found in config dump"},
		{"GET", "/hot_restart_version", 200, text, ""},
		{"GET", "/init_dump", 200, js, "{}"},
		{"GET", "/listeners", 200, text, "front::" + p.addr("front") + "\n"},
		{"GET", "/listeners?format=json", 200, js, `"listener_statuses"`},
		{"GET", "/memory", 200, js, `"allocated"`},
		{"GET", "/ready", 200, text, "LIVE\n"},
		{"GET", "/runtime", 200, js, `"layers"`},
		{"GET", "/server_info", 200, js, `"state"`},
		{"GET", "/stats", 200, text, "http.http.downstream_rq_2xx: 1\n"},
		{"GET", "/stats?usedonly", 200, text, "cluster.up.upstream_rq_200: 1\n"},
		{"GET", "/stats?filter=^server.live$", 200, text, "server.live: 1\n"},
		{"GET", "/stats?filter=[", 400, text, "Invalid re2 regex"},
		{"GET", "/stats?type=nothing", 400, text, "invalid &type= param"},
		{"GET", "/stats?format=nothing", 400, text, ""},
		{"GET", "/stats?format=json", 200, js, `{"name":"server.live","value":1}`},
		{"GET", "/stats?format=html", 200, html, "server.live"},
		{"GET", "/stats?format=prometheus", 200, text, "envoy_server_live{} 1\n"},
		{"GET", "/stats/prometheus", 200, text, `envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="http"} 1`},
		{"GET", "/stats/prometheus?usedonly", 200, text, `envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="up"} 1`},
		{"GET", "/stats/recentlookups", 200, text, ""},
		{"POST", "/ready", 200, text, "LIVE\n"},
		{"POST", "/logging", 200, text, "active loggers:"},
		{"POST", "/logging?nobody=debug", 400, text, ""},
		{"POST", "/reopen_logs", 200, text, "OK\n"},
		{"POST", "/runtime_modify?a=b", 503, text, "No admin layer specified"},
		{"POST", "/cpuprofiler", 400, text, "?enable=<y|n>"},
		{"GET", "/nothing", 404, text, "invalid path. admin commands are:"},
		{"GET", "/quitquitquit", 405, text, "Method GET not allowed, POST required."},
		{"GET", "/drain_listeners", 405, text, "Method GET not allowed, POST required."},
		{"GET", "/healthcheck/fail", 405, text, "Method GET not allowed, POST required."},
		{"GET", "/logging", 405, text, "Method GET not allowed, POST required."},
		{"GET", "/reset_counters", 405, text, "Method GET not allowed, POST required."},
	} {
		r, err := http.NewRequest(tc.method, "http://"+p.admin+tc.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		m, err := (&http.Client{Timeout: patience}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(m.Body)
		m.Body.Close()
		if m.StatusCode != tc.status || m.Header.Get("content-type") != tc.kind || !strings.Contains(string(body), tc.contains) {
			t.Errorf("%s %s: %d, %s, %q; want %d, %s, %q", tc.method, tc.path, m.StatusCode, m.Header.Get("content-type"), clip(string(body)), tc.status, tc.kind, tc.contains)
		}
		if m.Header.Get("cache-control") != "no-cache, max-age=0" || m.Header.Get("x-content-type-options") != "nosniff" {
			t.Errorf("%s %s: headers %v", tc.method, tc.path, m.Header)
		}
		if tc.kind == js && !json.Valid(body) {
			t.Errorf("%s %s is no JSON: %s", tc.method, tc.path, clip(string(body)))
		}
	}
}

// TestStatNames: what dashboards are made of is there, under Envoy's names.
func TestStatNames(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: []listener{{name: "front", filters: []string{hcm{routes: toCluster("up", "")}.yaml()}, fields: "stat_prefix: front"},
		{name: "tcp", filters: []string{tcpProxy("cluster: up")}}}, clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	if m := get(t, p.addr("front"), "/x"); m.status() != 200 {
		t.Fatal(m.head)
	}
	all := p.adminGet("/stats")
	for group, names := range map[string]string{
		"server.": "concurrency hot_restart_epoch live memory_allocated memory_heap_size memory_physical_size parent_connections state " +
			"total_connections uptime version initialization_time_ms worker_0.watchdog_miss worker_1.watchdog_mega_miss main_thread.watchdog_miss static_unknown_fields days_until_first_cert_expiring",
		"listener_manager.": "listener_added listener_create_success listener_create_failure listener_modified listener_removed listener_stopped total_listeners_active total_listeners_warming total_listeners_draining workers_started total_filter_chains_draining",
		"listener.front.":   "downstream_cx_total downstream_cx_active downstream_cx_destroy downstream_cx_length_ms downstream_cx_overflow downstream_pre_cx_active no_filter_chain_match worker_0.downstream_cx_total worker_1.downstream_cx_active downstream_global_cx_overflow http.http.downstream_rq_2xx http.http.downstream_rq_completed",
		"http.http.": "downstream_cx_total downstream_cx_active downstream_cx_destroy downstream_cx_destroy_remote downstream_cx_destroy_local downstream_cx_http1_total downstream_cx_length_ms downstream_cx_rx_bytes_total downstream_cx_tx_bytes_total downstream_cx_protocol_error downstream_cx_idle_timeout downstream_cx_drain_close downstream_cx_upgrades_total " +
			"downstream_rq_total downstream_rq_active downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx downstream_rq_time downstream_rq_completed downstream_rq_rx_reset downstream_rq_tx_reset downstream_rq_timeout downstream_rq_idle_timeout downstream_rq_too_large downstream_rq_ws_on_non_ws_route downstream_rq_non_relative_path " +
			"no_route no_cluster rq_direct_response rq_redirect rq_total rq_reset_after_downstream_response_started",
		"cluster.up.": "assignment_stale bind_errors lb_healthy_panic membership_total membership_healthy membership_degraded membership_excluded membership_change max_host_weight original_dst_host_invalid retry_or_shadow_abandoned update_attempt update_success update_failure version warming_state " +
			"upstream_cx_total upstream_cx_active upstream_cx_http1_total upstream_cx_connect_fail upstream_cx_connect_timeout upstream_cx_connect_ms upstream_cx_length_ms upstream_cx_destroy upstream_cx_destroy_local upstream_cx_destroy_remote upstream_cx_destroy_with_active_rq upstream_cx_none_healthy upstream_cx_overflow upstream_cx_protocol_error upstream_cx_max_requests upstream_cx_idle_timeout upstream_cx_rx_bytes_total upstream_cx_tx_bytes_total upstream_cx_rx_bytes_buffered upstream_cx_tx_bytes_buffered upstream_cx_connect_attempts_exceeded " +
			"upstream_rq_total upstream_rq_active upstream_rq_pending_total upstream_rq_pending_active upstream_rq_pending_overflow upstream_rq_pending_failure_eject upstream_rq_cancelled upstream_rq_timeout upstream_rq_per_try_timeout upstream_rq_rx_reset upstream_rq_tx_reset upstream_rq_retry upstream_rq_retry_success upstream_rq_retry_overflow upstream_rq_retry_limit_exceeded upstream_rq_maintenance_mode upstream_rq_max_duration_reached upstream_rq_completed upstream_rq_200 upstream_rq_2xx upstream_rq_time external.upstream_rq_200 external.upstream_rq_completed upstream_internal_redirect_failed_total upstream_flow_control_paused_reading_total upstream_flow_control_drained_total " +
			"circuit_breakers.default.cx_open circuit_breakers.default.rq_open circuit_breakers.default.rq_pending_open circuit_breakers.default.rq_retry_open circuit_breakers.default.cx_pool_open circuit_breakers.high.rq_open default.total_match_count lb_subsets_active lb_recalculate_zone_structures http1.dropped_headers_with_underscores",
		"tcp.tcp.":         "downstream_cx_total downstream_cx_no_route downstream_cx_rx_bytes_total downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_total downstream_cx_tx_bytes_buffered idle_timeout upstream_flush_active upstream_flush_total downstream_flow_control_paused_reading_total max_downstream_connection_duration",
		"cluster_manager.": "active_clusters warming_clusters cluster_added cluster_modified cluster_removed cluster_updated",
		"runtime.":         "load_success load_error num_keys num_layers override_dir_exists admin_overrides_active deprecated_feature_use",
		"filesystem.":      "write_buffered write_completed write_failed write_total_buffered flushed_by_timer reopen_failed",
		"main_thread.":     "watchdog_miss watchdog_mega_miss",
		"workers.":         "watchdog_miss watchdog_mega_miss",
	} {
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains("\n"+all, "\n"+group+name+": ") {
				t.Errorf("no statistic %s%s", group, name)
			}
		}
	}
}

func TestConfigDump(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "timeout: 3s")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	var dump struct {
		Configs []map[string]any `json:"configs"`
	}
	p.adminJSON("/config_dump", &dump)
	var kinds []string
	for _, c := range dump.Configs {
		kind, _ := c["@type"].(string)
		kinds = append(kinds, kind[strings.LastIndexByte(kind, '.')+1:])
	}
	if got := strings.Join(kinds, " "); got != "BootstrapConfigDump ClustersConfigDump ListenersConfigDump ScopedRoutesConfigDump RoutesConfigDump SecretsConfigDump" {
		t.Errorf("sections: %s", got)
	}
	for _, want := range []string{`"static_clusters"`, `"static_listeners"`, `"static_route_configs"`, `"timeout": "3s"`, `"last_updated"`, `"stat_prefix": "http"`} {
		if !strings.Contains(p.adminGet("/config_dump"), want) {
			t.Errorf("the dump does not have %s", want)
		}
	}
}

func TestAdminChangesThings(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})

	if got := p.adminPost("/logging?http=debug"); !strings.Contains(got, "  http: debug\n") {
		t.Errorf("logging: %s", clip(got))
	}
	if got := p.adminPost("/logging?level=error"); strings.Contains(got, "debug") || !strings.Contains(got, "  http: error\n") {
		t.Errorf("logging: %s", clip(got))
	}
	if m := get(t, p.addr("front"), "/x"); m.status() != 200 {
		t.Fatal(m.head)
	}
	p.wantStats(map[string]int64{"cluster.up.upstream_rq_200": 1})
	p.adminPost("/reset_counters")
	if all := p.stats(); all["cluster.up.upstream_rq_200"] != 0 || all["cluster.up.upstream_cx_active"] != 1 || all["server.live"] != 1 {
		t.Errorf("after reset: rq %d, cx_active %d", all["cluster.up.upstream_rq_200"], all["cluster.up.upstream_cx_active"])
	}
	p.adminPost("/healthcheck/fail")
	if status, body, err := p.ask("GET", "/ready"); status != 503 || body != "DRAINING\n" {
		t.Errorf("/ready: %d %q %v", status, body, err)
	}
	p.wantStats(map[string]int64{"server.live": 0, "server.state": 1})
	if m := get(t, p.addr("front"), "/x"); m.status() != 200 || m.get("connection") != "close" {
		t.Errorf("a request while health checks fail: %q", m.head)
	}
	p.adminPost("/healthcheck/ok")
	if got := p.adminGet("/ready"); got != "LIVE\n" {
		t.Errorf("/ready: %q", got)
	}

	open := dial(t, p.addr("front"))
	if m := open.get("/x"); m.status() != 200 {
		t.Fatal(m.head)
	}
	p.adminPost("/drain_listeners")
	p.wantStats(map[string]int64{"listener_manager.listener_stopped": 1})
	if m := open.get("/x"); m.status() != 200 {
		t.Errorf("an open connection of a stopped listener: %q", m.head)
	}
	open.Close()
	p.adminPost("/quitquitquit")
	if status := p.status(); status != 0 {
		t.Errorf("status %d after /quitquitquit", status)
	}
}
