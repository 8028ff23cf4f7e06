package admin_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3" // is in the recording
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
)

var update = flag.Bool("update", false, "record testdata/envoy anew with the Envoy binary that NUNCIO_ENVOY names")

// recorded are the requests whose answers are compared, in this order: some change
// what the later ones show.
func recorded() []string {
	return []string{
		// The state that the test starts from.
		"GET /config_dump?resource=static_clusters", "GET /config_dump?resource=static_listeners",
		"GET /config_dump?resource=static_endpoint_configs&include_eds",

		"GET /ready", "POST /ready", "DELETE /ready", "HEAD /ready",
		"GET /quitquitquit", "PUT /quitquitquit", "GET /logging", "GET /reset_counters", "GET /reopen_logs", "GET /drain_listeners",
		"GET /healthcheck/ok", "GET /healthcheck/fail", "GET /cpuprofiler", "GET /runtime_modify",
		"GET /hot_restart_version", "GET /init_dump", "GET /init_dump?mask=listener", "GET /certs", "GET /contention", "GET /memory",
		"GET /listeners", "GET /listeners?format=json", "GET /listeners?format=xml",
		"GET /clusters?filter=full", "GET /clusters?filter=full&format=json", "GET /clusters?filter=^e", "GET /clusters?filter=^e&format=json",
		"GET /clusters?filter=(", "GET /clusters?filter=zzz", "GET /clusters?filter=zzz&format=json",
		"POST /cpuprofiler", "POST /cpuprofiler?enable=x", "POST /cpuprofiler?enable=n", "POST /heapprofiler", "POST /allocprofiler?enable=x",
		"GET /runtime", "POST /runtime_modify", "POST /runtime_modify?b=5&new=1+2&a.c=", "GET /runtime", "POST /runtime_modify form=%20&other=1+2", "GET /runtime",
		"GET /config_dump?mask=bootstrap.node.id", "GET /config_dump?mask=bootstrap.nope", "GET /config_dump?mask=nope",
		"GET /config_dump?mask=bootstrap.node.id,bootstrap.node.cluster", "GET /config_dump?mask=static_listeners.listener.name",
		"GET /config_dump?mask=static_listeners", "GET /config_dump?mask=version_info,dynamic_listeners",
		"GET /config_dump?resource=static_clusters&mask=cluster.name", "GET /config_dump?resource=static_clusters&mask=cluster.name,cluster.connect_timeout.seconds",
		"GET /config_dump?resource=static_clusters&mask=nope", "GET /config_dump?resource=static_clusters&mask=cluster.nope",
		"GET /config_dump?resource=static_clusters&mask=cluster.load_assignment.endpoints.locality",
		"GET /config_dump?resource=static_clusters&name_regex=f", "GET /config_dump?resource=static_clusters&name_regex=f.*|x", "GET /config_dump?resource=static_listeners&name_regex=zzz&mask=listener.name",
		"GET /config_dump?resource=dynamic_listeners", "GET /config_dump?resource=static_endpoint_configs", "GET /config_dump?resource=bootstrap",
		"GET /config_dump?resource=version_info", "GET /config_dump?resource=nope", "GET /config_dump?name_regex=(",
		"POST /healthcheck/fail", "GET /ready", "POST /healthcheck/ok", "GET /ready", "POST /reset_counters", "POST /reopen_logs",
		"POST /drain_listeners?inboundonly", "GET /nope", "POST /nope", "GET /ready/", "POST /quitquitquit",
	}
}

// debugMessage is a protobuf's debug output, of which the start varies from run to run.
var debugMessage = regexp.MustCompile(`FieldMask goo\.gle/debug\w+ +\npaths: "(.*)"\n`)

// ours puts what differs on purpose into our words.
func ours(want *answer) {
	want.body = debugMessage.ReplaceAllString(want.body, "FieldMask $1")
	want.body = regexp.MustCompile(`(?s)^(invalid path\. admin commands are:\n).*`).ReplaceAllString(want.body, "$1")
	if strings.HasPrefix(want.body, "?enable=") && strings.Contains(want.request, "allocprofiler") {
		want.status, want.body = "501 Not Implemented", "The current build does not support allocation profiler"
	}
}

// An answer is the part of an HTTP response that is compared.
type answer struct{ request, status, contentType, caching, sniffing, body string }

func recordingName(i int) string { return fmt.Sprintf("testdata/envoy/%02d.txt", i) }

func TestAgainstEnvoy(t *testing.T) {
	if *update {
		record(t)
	}
	want := make([]answer, len(recorded()))
	for i, request := range recorded() {
		data, err := os.ReadFile(recordingName(i))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(string(data), "\n", 6)
		want[i] = answer{parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]}
		if want[i].request != request {
			t.Fatalf("%s records %s, not %s", recordingName(i), want[i].request, request)
		}
		ours(&want[i])
	}
	f := newFake()
	f.config.Sections = sections(t, want[0].body, want[1].body, want[2].body)
	f.config.Clusters = clusters
	f.config.Listeners = func() []admin.ListenerStatus {
		return []admin.ListenerStatus{
			{Name: "main", Addresses: []address.Address{address.Unix("@nuncio_admin_test_1"), address.Unix("@nuncio_admin_test_2")}},
			{Name: "other", Addresses: []address.Address{address.Unix("@nuncio_admin_test_3")}},
		}
	}
	url := f.start(t)
	for i, request := range recorded() {
		got := ask(t, url, request)
		got.body = regexp.MustCompile(`(?s)^(invalid path\. admin commands are:\n).*`).ReplaceAllString(got.body, "$1")
		if !same(got, want[i]) {
			t.Errorf("%s (%s)\ngot  %q\nwant %q", request, recordingName(i), got, want[i])
		}
	}
	if got := f.calls.String(); got != "fail pass reopen drain(inbound) quit " {
		t.Errorf("calls: %s", got)
	}
}

// same compares two answers; JSON by its values, /memory by its keys only.
func same(got, want answer) bool {
	var g, w any
	if json.Unmarshal([]byte(got.body), &g) == nil && json.Unmarshal([]byte(want.body), &w) == nil {
		if strings.HasPrefix(got.body, "{\n") != strings.HasPrefix(want.body, "{\n") {
			return false // one is not indented
		}
		if got.request == "GET /memory" {
			g, w = keys(g), keys(w)
		}
		if !reflect.DeepEqual(g, w) {
			return false
		}
		got.body, want.body = "", ""
	}
	return got == want
}

func keys(object any) map[string]bool {
	set := map[string]bool{}
	for key, value := range object.(map[string]any) {
		_, set[key] = value.(string)
	}
	return set
}

// sections returns the configuration that was recorded.
func sections(t *testing.T, staticClusters, staticListeners, endpoints string) []admin.ConfigSection {
	t.Helper()
	c, l, e := &adminv3.ClustersConfigDump{}, &adminv3.ListenersConfigDump{}, &adminv3.EndpointsConfigDump{}
	unpack(t, staticClusters, func(m proto.Message) {
		c.StaticClusters = append(c.StaticClusters, m.(*adminv3.ClustersConfigDump_StaticCluster))
	})
	unpack(t, staticListeners, func(m proto.Message) {
		l.StaticListeners = append(l.StaticListeners, m.(*adminv3.ListenersConfigDump_StaticListener))
	})
	unpack(t, endpoints, func(m proto.Message) {
		e.StaticEndpointConfigs = append(e.StaticEndpointConfigs, m.(*adminv3.EndpointsConfigDump_StaticEndpointConfig))
	})
	bootstrap := &adminv3.BootstrapConfigDump{Bootstrap: &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: "n1", Cluster: "c1"}, StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}}
	return []admin.ConfigSection{
		{Dump: func(func(string) bool) proto.Message { return bootstrap }},
		{Dump: func(match func(string) bool) proto.Message {
			matching := &adminv3.ClustersConfigDump{}
			for _, s := range c.StaticClusters {
				if m := new(clusterv3.Cluster); s.Cluster.UnmarshalTo(m) == nil && match(m.Name) {
					matching.StaticClusters = append(matching.StaticClusters, s)
				}
			}
			return matching
		}},
		{Endpoints: true, Dump: func(func(string) bool) proto.Message {
			if err := e.StaticEndpointConfigs[0].EndpointConfig.UnmarshalTo(new(endpointv3.ClusterLoadAssignment)); err != nil {
				t.Error(err)
			}
			return e
		}},
		{Dump: func(match func(string) bool) proto.Message {
			matching := &adminv3.ListenersConfigDump{}
			for _, s := range l.StaticListeners {
				if m := new(listenerv3.Listener); s.Listener.UnmarshalTo(m) == nil && match(m.Name) {
					matching.StaticListeners = append(matching.StaticListeners, s)
				}
			}
			return matching
		}},
		{Dump: func(func(string) bool) proto.Message { return &adminv3.RoutesConfigDump{} }},
	}
}

func unpack(t *testing.T, body string, add func(proto.Message)) {
	t.Helper()
	dump := &adminv3.ConfigDump{}
	if err := protojson.Unmarshal([]byte(body), dump); err != nil {
		t.Fatal(err)
	}
	for _, c := range dump.Configs {
		m, err := c.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		add(m)
	}
}

// clusters are those of testdata/envoy.yaml.
func clusters() []admin.ClusterStatus {
	defaults := admin.Thresholds{MaxConnections: 1024, MaxPendingRequests: 1024, MaxRequests: 1024, MaxRetries: 3}
	full := admin.ClusterStatus{
		Name: "full", ObservabilityName: "alt", Default: defaults, High: defaults, Outlier: &admin.OutlierStatus{
			SuccessRateAverage: -1, SuccessRateEjectionThreshold: -1,
			LocalOriginSuccessRateAverage: -1, LocalOriginSuccessRateEjectionThreshold: -1,
		}}
	full.Default.MaxConnections, full.Default.MaxRetries, full.High.MaxRequests = 5, 0, 7
	host := admin.HostStatus{Region: "r", Zone: "z", SubZone: "s", Weight: 1, SuccessRate: -1, LocalOriginSuccessRate: -1}
	draining, degraded, unhealthy := host, host, host
	draining.Address, draining.Hostname, draining.Weight, draining.Canary = ipAddress("[::1]:29903"), "hn", 3, true
	draining.Health.EDS = corev3.HealthStatus_DRAINING
	degraded.Address, degraded.Health.EDS = address.Unix("/tmp/sock"), corev3.HealthStatus_DEGRADED
	unhealthy.Address, unhealthy.Health.EDS = ipAddress("127.0.0.2:1"), corev3.HealthStatus_UNHEALTHY
	full.Hosts = []admin.HostStatus{draining, degraded, unhealthy}
	return []admin.ClusterStatus{full, {Name: "empty", ObservabilityName: "empty", Default: defaults, High: defaults}}
}

// ask sends "METHOD path" or "POST path form".
func ask(t *testing.T, url, request string) answer {
	t.Helper()
	parts := append(strings.SplitN(request, " ", 3), "")
	r, err := http.NewRequest(parts[0], url+parts[1], strings.NewReader(parts[2]))
	if err != nil {
		t.Fatal(err)
	}
	if parts[2] != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	return answer{request, resp.Status, h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("X-Content-Type-Options"), string(body)}
}

// record runs Envoy with testdata/envoy.yaml and saves its answers.
func record(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin")
	envoy := exec.Command(os.Getenv("NUNCIO_ENVOY"), "-c", "testdata/envoy.yaml", "--disable-hot-restart", "--concurrency", "1",
		"--log-level", "critical", "--admin-address-path", file)
	envoy.Stderr = os.Stderr
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		envoy.Process.Kill()
		envoy.Wait()
	}()
	var url string
	for ready := false; !ready && t.Context().Err() == nil; {
		if address, err := os.ReadFile(file); err == nil && len(address) > 0 {
			url = "http://" + string(address)
			ready = ask(t, url, "GET /ready").status == "200 OK"
		}
	}
	for i, request := range recorded() {
		a := ask(t, url, request)
		text := strings.Join([]string{a.request, a.status, a.contentType, a.caching, a.sniffing, a.body}, "\n")
		if err := os.WriteFile(recordingName(i), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
