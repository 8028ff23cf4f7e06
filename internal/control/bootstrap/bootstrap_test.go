package bootstrap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/control/bootstrap"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestQuickStart(t *testing.T) {
	cfg, err := bootstrap.Load(bootstrap.Source{Path: "testdata/quickstart.yaml"})
	if err != nil || len(cfg.Warnings) > 0 {
		t.Fatal(err, cfg.Warnings)
	}
	if got := cfg.Bootstrap.StaticResources.Clusters[0].ConnectTimeout.AsDuration().String(); got != "250ms" {
		t.Error(got)
	}
	errs := conf.Errors{{Path: conf.Path{}.Field("static_resources").Field("listeners").Index(0).Field("filter_chains").Index(0).
		Field("filters").Index(0).Field("typed_config").Field("codec_type"), Message: "wrong"}}
	cfg.Positions.Locate(errs)
	if errs[0].Line != 16 || errs[0].Column != 11 {
		t.Error(errs)
	}
}

func TestKinds(t *testing.T) {
	want := &bootstrapv3.Bootstrap{Node: &corev3.Node{Id: "x", Cluster: "c"}}
	binary, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"b.yaml":    "node: {id: x, cluster: c}",
		"b.YML":     `{"node": {"id": "x", "cluster": "c"}}`,
		"b.json":    `{"node": {"id": "x", "cluster": "c"}}`,
		"b.pb":      string(binary),
		"b.pb_text": `node { id: "x" cluster: "c" }`,
		"plain":     "node:\n  id: x\n  cluster: c\n",
		"plainjson": `{"node": {"id": "x", "cluster": "c"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := bootstrap.Load(bootstrap.Source{Path: write(t, name, text)})
			if err != nil || !proto.Equal(cfg.Bootstrap, want) {
				t.Errorf("got %v (%v)", cfg.Bootstrap, err)
			}
		})
	}
}

// TestOpenedOnce reads a FIFO and an unlinked file behind a descriptor.
func TestOpenedOnce(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "bootstrap.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- os.WriteFile(fifo, []byte("node: {id: x}"), 0) }()
	cfg, err := bootstrap.Load(bootstrap.Source{Path: fifo})
	if err != nil || cfg.Bootstrap.Node.GetId() != "x" {
		t.Error(cfg.Bootstrap, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}

	path := write(t, "gone", `{"node": {"id": "y"}}`)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	cfg, err = bootstrap.Load(bootstrap.Source{Path: fmt.Sprintf("/dev/fd/%d", f.Fd())})
	if err != nil || cfg.Bootstrap.Node.GetId() != "y" {
		t.Error(cfg.Bootstrap, err)
	}
}

func TestMergeAndOverride(t *testing.T) {
	cfg, err := bootstrap.Load(bootstrap.Source{
		Path:           write(t, "b.yaml", "node: {id: file, cluster: file, locality: {region: file, zone: file}}\nstatic_resources: {clusters: [{name: a}]}"),
		YAML:           "node: {id: yaml}\nstatic_resources: {clusters: {name: b}}",
		Proto:          &bootstrapv3.Bootstrap{Node: &corev3.Node{UserAgentName: "proto"}},
		ServiceCluster: "flag", ServiceZone: "flag",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"node":{"id":"yaml","cluster":"flag","locality":{"region":"file","zone":"flag"},"user_agent_name":"proto"},` +
		`"static_resources":{"clusters":[{"name":"a"},{"name":"b"}]}}`
	if got := string(protoconv.MarshalJSON(cfg.Bootstrap, protoconv.Print{})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	cfg, err = bootstrap.Load(bootstrap.Source{YAML: "{}", ServiceNode: "n", ServiceZone: "z"})
	if err != nil || cfg.Bootstrap.Node.Id != "n" || cfg.Bootstrap.Node.Locality.Zone != "z" {
		t.Error(cfg.Bootstrap, err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name string
		src  bootstrap.Source
		want string
	}{
		{"nothing", bootstrap.Source{}, "no configuration: --config-path or --config-yaml must be given"},
		{"missing", bootstrap.Source{Path: "/no/such.yaml"}, "/no/such.yaml: cannot read the configuration: no such file or directory"},
		{"directory", bootstrap.Source{Path: dir}, dir + ": cannot read the configuration: is a directory"},
		{"unimplemented", bootstrap.Source{YAML: `
hds_config: {}
tracing: {}
perf_tracing_file_path: /x
admin: {address: {pipe: {path: "@x"}}}
layered_runtime:
  layers: [{name: a, static_layer: {}}]
flags_path: /x
node: {id: n}
default_regex_engine: {name: a}
cluster_manager: {local_cluster_name: a}
`}, `--config-yaml:2:1: hds_config: field hds_config is not implemented
--config-yaml:3:1: tracing: field tracing is not implemented
--config-yaml:4:1: perf_tracing_file_path: field perf_tracing_file_path is not implemented
--config-yaml:8:1: flags_path: field flags_path is not implemented
--config-yaml:9:12: node.id: want a string, got the boolean n; quote it to make it one
--config-yaml:10:1: default_regex_engine.typed_config: value is required
--config-yaml:11:1: cluster_manager: field cluster_manager is not implemented`},
		{"unknown", bootstrap.Source{YAML: "nothing: 1"}, "--config-yaml:1:1: nothing: unknown field of envoy.config.bootstrap.v3.Bootstrap"},
		{"unknown allowed", bootstrap.Source{YAML: "nothing: 1", AllowUnknown: true}, ""},
		{"regex engine", bootstrap.Source{YAML: `default_regex_engine: {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2}}`}, ""},
		{"other regex engine", bootstrap.Source{YAML: `default_regex_engine: {name: a, typed_config: {"@type": type.googleapis.com/google.protobuf.Empty}}`},
			"--config-yaml:1:33: default_regex_engine.typed_config: only envoy.extensions.regex_engines.v3.GoogleRE2 is implemented"},
		{"watchdogs", bootstrap.Source{YAML: `watchdogs: {main_thread_watchdog: {miss_timeout: 1s, kill_timeout: 1s}}`},
			"--config-yaml:1:54: watchdogs.main_thread_watchdog.kill_timeout: field kill_timeout is not implemented"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := bootstrap.Load(tc.src)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// TestRuntimeDecidesDeprecation refuses a deprecated field by a key of the static
// layer, however the key is nested.
func TestRuntimeDecidesDeprecation(t *testing.T) {
	const text = "static_resources: {clusters: [{name: a, http2_protocol_options: {}}]}\nlayered_runtime: {layers: [{name: a, static_layer: {%s}}]}"
	const feature = "envoy.deprecated_features:envoy.config.cluster.v3.Cluster.http2_protocol_options"
	for layer, accepted := range map[string]bool{
		"":                    true,
		feature + ": true":    true,
		feature + ": false":   false,
		feature + `: "false"`: false,
		feature + ": 0":       true,
		"envoy: {\"deprecated_features:envoy\": {config.cluster.v3.Cluster.http2_protocol_options: no}}": false,
		feature + ": false, envoy.features: {enable_all_deprecated_features: true}":                      true,
	} {
		layer = strings.Replace(layer, feature, `"`+feature+`"`, 1)
		cfg, err := bootstrap.Load(bootstrap.Source{YAML: fmt.Sprintf(text, layer)})
		if (err == nil) != accepted || accepted && (len(cfg.Warnings) != 1 || cfg.Warnings[0].Kind != protoconv.DeprecatedField) {
			t.Errorf("%s: got %v, %v", layer, err, cfg.Warnings)
		}
	}
}

func TestFields(t *testing.T) {
	implemented, missing, err := bootstrap.Fields().Split((&bootstrapv3.Bootstrap{}).ProtoReflect().Descriptor())
	if err != nil || len(implemented) != len(bootstrap.Fields().Names) || len(missing) == 0 {
		t.Error(implemented, missing, err)
	}
}

func TestACME(t *testing.T) {
	const one = `{name: x, typed_config: {"@type": type.googleapis.com/%s}}`
	typed := fmt.Sprintf(one, "nuncio.extensions.acme.v1.Acme, storage_path: here")
	wrapped := fmt.Sprintf(one, `xds.type.v3.TypedStruct, type_url: type.googleapis.com/nuncio.extensions.acme.v1.Acme, value: {storage_path: here}`)
	for _, text := range []string{typed, wrapped} {
		cfg, err := bootstrap.Load(bootstrap.Source{YAML: "{bootstrap_extensions: [" + text + "]}"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		found := bootstrap.ReadExtensions(cfg.Bootstrap)
		if found.ACME.GetStoragePath() != "here" || found.ACMEPath.String() != "bootstrap_extensions[0].typed_config" {
			t.Errorf("%s: %v at %s", text, found.ACME, found.ACMEPath)
		}
	}
	for text, want := range map[string]string{
		typed + ", " + typed: "bootstrap_extensions[1].typed_config: there is ACME already, at bootstrap_extensions[0].typed_config",
		strings.Replace(typed, "storage_path", "storage", 1):                                 "bootstrap_extensions[0].typed_config.storage: ",
		strings.Replace(typed, "here", "[]", 1):                                              "bootstrap_extensions[0].typed_config.storage_path: ",
		strings.Replace(wrapped, "{storage_path", "{storage", 1):                             "storage",
		strings.Replace(typed, "storage_path: here", "on_demand: {max_certificates: -1}", 1): "bootstrap_extensions[0].typed_config.on_demand.max_certificates: ",
	} {
		if _, err := bootstrap.Load(bootstrap.Source{YAML: "{bootstrap_extensions: [" + text + "]}"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if cfg, err := bootstrap.Load(bootstrap.Source{YAML: "{}"}); err != nil || bootstrap.ReadExtensions(cfg.Bootstrap).ACME != nil {
		t.Error("on without being configured")
	}
}

func TestInternalBuffer(t *testing.T) {
	const text = `{bootstrap_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener%s}}]}`
	for with, want := range map[string]int{"": 1 << 20, ", buffer_size_kb: 1": 1 << 10, ", buffer_size_kb: 8192": 8 << 20} {
		cfg, err := bootstrap.Load(bootstrap.Source{YAML: fmt.Sprintf(text, with)})
		if err != nil || bootstrap.ReadExtensions(cfg.Bootstrap).InternalBuffer != want {
			t.Errorf("%q: %v", with, err)
		}
	}
	if bootstrap.ReadExtensions(&bootstrapv3.Bootstrap{}).InternalBuffer != 0 {
		t.Error("internal listeners without the extension")
	}
	for text, want := range map[string]string{
		fmt.Sprintf(text, ", buffer_size_kb: 0"):    "buffer_size_kb",
		fmt.Sprintf(text, ", buffer_size_kb: 8193"): "buffer_size_kb",
		"{bootstrap_extensions: [{name: x}]}":       "bootstrap_extensions[0].typed_config: value is required",
		`{bootstrap_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 1s}}]}`: "only envoy.extensions.bootstrap",
	} {
		if _, err := bootstrap.Load(bootstrap.Source{YAML: text}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
