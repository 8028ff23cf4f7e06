package stats_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
	api "github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
)

var update = flag.Bool("update", false, "record testdata/envoy anew with the Envoy binary that NUNCIO_ENVOY names")

// samples are the sizes of the bodies sent through each cluster of the recording:
// Envoy counts them in cluster.<name>.upstream_rq_body_size.
func samples() map[string][]int {
	mixed := []int{}
	for v := 1; v < 3_000_000; v = v*5/3 + 1 {
		mixed = append(mixed, v)
	}
	return map[string][]int{
		"alike":   {100, 100, 100, 100},
		"bounds":  {0, 0, 0, 100, 105, 109, 110, 119, 555, 12, 13, 14},
		"digits":  {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		"mixed":   mixed,
		"nothing": {},
		"outlier": {100, 100, 100, 100, 100, 100, 100, 100, 100, 7000000},
		"pairs":   {5, 5, 50, 50, 500, 500, 110, 110, 110, 290, 290, 70000, 70000},
	}
}

// halves are what is sent before and after a flush.
func halves(values []int) [2][]int {
	return [2][]int{values[:len(values)/2], values[len(values)/2:]}
}

// customBounds are the buckets of cluster.bounds.
func customBounds() []float64 {
	return []float64{0.1, 1, 5.05, 12, 12.5, 13, 14.5, 100, 105, 109, 110, 119, 119.5, 550, 555, 560}
}

// stable leaves out what changes from run to run or from request to request.
const stable = "invert_filter&filter=admin|server%5C.|memory|filesystem|command|upstream_cx|downstream_cx|http1|_bytes|" +
	"cluster%5C.(bounds|digits|mixed|nothing|outlier|pairs)|" + // they are all alike
	"(_time|_size|_ms|_count|_per_cx|_duration|_event|_delay)$" // and all histograms, whose values are not known

// recorded are the requests whose answers are compared.
func recorded() []string {
	list := []string{
		// These three are also the state that the test starts from.
		"/stats?format=json&type=Counters&" + stable,
		"/stats?format=json&type=Gauges&" + stable,
		"/stats?format=json&type=TextReadouts",
		"/stats?type=Counters&" + stable, "/stats?type=Gauges&" + stable, "/stats?type=TextReadouts",
		"/stats?type=Gauges&usedonly&" + stable, "/stats?type=Counters&usedonly&" + stable, "/stats?type=TextReadouts&usedonly",
		"/stats?filter=^cluster%5C.alike%5C.(upstream_rq_[^t]|lb)[^s]*$", // counters and gauges mixed
		"/stats/prometheus?" + stable, "/stats/prometheus?type=Gauges&usedonly&" + stable,
		"/stats?format=prometheus&text_readouts&filter=version_text",
		"/stats?filter=server%5C.live+$", "/stats?filter=zzz", "/stats?filter=zzz&format=json", "/stats?filter=zzz&format=prometheus",
		"/stats?filter=(", "/stats?filter=a**", "/stats?type=counters", "/stats?format=xml",
		"/stats/prometheus?filter=(", "/stats/prometheus?histogram_buckets=detailed", "/stats?usedonly=0&filter=rq_body_size",
	}
	for _, mode := range []string{"", "none", "summary", "cumulative", "disjoint", "detailed"} {
		for _, format := range []string{"text", "json", "prometheus"} {
			list = append(list, fmt.Sprintf("/stats?filter=rq_body_size&format=%s&histogram_buckets=%s", format, mode))
		}
	}
	return list
}

// An answer is the part of an HTTP response that is compared.
type answer struct{ status, contentType, body string }

func recordingName(i int) string { return fmt.Sprintf("testdata/envoy/%02d.txt", i) }

func TestAgainstEnvoy(t *testing.T) {
	if *update {
		record(t)
	}
	want := make([]answer, len(recorded()))
	for i, query := range recorded() {
		data, err := os.ReadFile(recordingName(i))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(string(data), "\n", 4)
		if parts[0] != query {
			t.Fatalf("%s records %s, not %s", recordingName(i), parts[0], query)
		}
		want[i] = answer{parts[1], parts[2], parts[3]}
	}
	tags, err := stats.NewTags([]stats.TagRule{{Name: "fixed", Fixed: `a"b`}}, true)
	if err != nil {
		t.Fatal(err)
	}
	store := stats.NewStore(2, stats.Config{Tags: tags, Buckets: []stats.BucketRule{
		{Match: func(name string) bool { return strings.HasPrefix(name, "cluster.bounds.") }, Bounds: customBounds()},
	}})
	root := store.Root()
	restore(t, root, want[0].body, func(name string, v uint64) { root.Counter(name).Add(api.Any, v) })
	restore(t, root, want[1].body, func(name string, v uint64) {
		if g := root.Gauge(name); v != 0 || strings.Contains(want[6].body, name+": ") {
			g.Set(v)
		}
	})
	restore(t, root, want[2].body, nil)
	root.Gauge("server.live").Set(1)
	root.Histogram("cluster.alike.upstream_rq_per_cx", api.Unspecified)
	for half := range 2 {
		for cluster, values := range samples() {
			h := root.Histogram("cluster."+cluster+".upstream_rq_body_size", api.Bytes)
			for i, v := range halves(values)[half] {
				h.Record(i%2, uint64(v))
			}
		}
		store.Flush()
	}
	server := httptest.NewServer(serve(store.Endpoints()))
	defer server.Close()
	for i, query := range recorded() {
		got := ask(t, server.URL+query)
		if got != want[i] {
			t.Errorf("%s (%s):\n%s", query, recordingName(i), difference(got, want[i]))
		}
	}
}

// restore makes the metrics of a JSON answer; set gets the numbers.
func restore(t *testing.T, root api.Scope, body string, set func(string, uint64)) {
	t.Helper()
	var state struct {
		Stats []struct {
			Name  string
			Value any
		}
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&state); err != nil {
		t.Fatal(err)
	}
	if len(state.Stats) == 0 {
		t.Fatal("nothing was recorded")
	}
	for _, m := range state.Stats {
		switch v := m.Value.(type) {
		case json.Number:
			n, err := strconv.ParseUint(v.String(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			set(m.Name, n)
		case string:
			if text := root.TextReadout(m.Name); v != "" {
				text.Set(v)
			}
		}
	}
}

// serve routes as the admin server does.
func serve(endpoints []adminhook.Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, e := range endpoints {
			if e.Path == r.URL.Path {
				w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
				e.Serve(w, r, adminhook.ParseQuery(r.URL.RawQuery))
			}
		}
	})
}

func ask(t *testing.T, url string) answer {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.Status, resp.Header.Get("Content-Type"), string(body)}
}

// difference shows the first line in which two answers differ.
func difference(got, want answer) string {
	if got.status != want.status || got.contentType != want.contentType {
		return fmt.Sprintf("got  %s %s\nwant %s %s", got.status, got.contentType, want.status, want.contentType)
	}
	g, w := strings.Split(got.body, "\n"), strings.Split(want.body, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// record runs Envoy with testdata/envoy.yaml, sends the samples through it and saves
// its answers.
func record(t *testing.T) {
	dir := t.TempDir()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	defer upstream.Close()
	type settings struct {
		Upstream, Dir string
		Clusters      map[string][]int
		Bounds        []float64
	}
	config, err := os.Create(filepath.Join(dir, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(upstream.URL, "http://"), ":")
	err = template.Must(template.ParseFiles("testdata/envoy.yaml")).Execute(config, settings{port, dir, samples(), customBounds()})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"lds.yaml": `{version_info: 'v<1>"\', resources: []}`,
		"rds.yaml": `{version_info: r1, resources: [{"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: my.routes, virtual_hosts: []}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	envoy := exec.Command(os.Getenv("NUNCIO_ENVOY"), "-c", config.Name(), "--disable-hot-restart", "--concurrency", "2",
		"--log-level", "error", "--admin-address-path", filepath.Join(dir, "admin"))
	envoy.Stderr = os.Stderr
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		envoy.Process.Kill()
		envoy.Wait()
	}()
	admin := "http://" + waitFor(t, func() string {
		address, err := os.ReadFile(filepath.Join(dir, "admin"))
		if err != nil {
			return ""
		}
		return string(address)
	})
	waitFor(t, func() string { return strings.TrimPrefix(ask(t, admin+"/ready").status, "503 Service Unavailable") })
	var listeners struct {
		Statuses []struct {
			Name    string
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal([]byte(ask(t, admin+"/listeners?format=json").body), &listeners); err != nil {
		t.Fatal(err)
	}
	send := func(cluster string, size int) {
		url := fmt.Sprintf("http://127.0.0.1:%d/%s", listeners.Statuses[0].Address.Socket.Port, cluster)
		resp, err := http.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for half := range 3 { // the first one is a wait for a flush, so that the next is far away
		if half > 0 {
			for cluster, values := range samples() {
				for _, v := range halves(values)[half-1] {
					send(cluster, v)
				}
			}
		}
		before := ask(t, admin+"/stats?filter=dotted.name.upstream_rq_time&format=prometheus").body
		send("tick", 1)
		waitFor(t, func() string {
			return strings.TrimPrefix(ask(t, admin+"/stats?filter=dotted.name.upstream_rq_time&format=prometheus").body, before)
		})
	}
	for i, query := range recorded() {
		a := ask(t, admin+query)
		text := strings.Join([]string{query, a.status, a.contentType, a.body}, "\n")
		if err := os.WriteFile(recordingName(i), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// waitFor asks until there is an answer. Only recording waits for anything.
func waitFor(t *testing.T, f func() string) string {
	for t.Context().Err() == nil {
		if s := f(); s != "" {
			return s
		}
	}
	t.Fatal(t.Context().Err())
	return ""
}
