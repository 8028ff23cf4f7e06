package e2e

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const direct = `[{match: {prefix: "/"}, direct_response: {status: 200, body: {inline_string: direct}}}]`

// TestConfigSources starts the program with the same bootstrap from every place a
// bootstrap may come from.
func TestConfigSources(t *testing.T) {
	t.Parallel()
	s := setup{listeners: front(hcm{routes: direct})}
	yaml := s.bootstrap()
	for name, start := range map[string]func(t *testing.T, dir string) *proxy{
		"file": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "-c", writeFile(t, filepath.Join(dir, "b.yaml"), yaml))
		},
		"long_flag_in_one_argument": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "--config-path "+writeFile(t, filepath.Join(dir, "b.yml"), yaml))
		},
		"json": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "-c", writeFile(t, filepath.Join(dir, "b.json"), jsonBootstrap))
		},
		"text_proto": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "-c", writeFile(t, filepath.Join(dir, "b.pb_text"), textBootstrap))
		},
		"binary": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "-c", writeFile(t, filepath.Join(dir, "b.pb"), binaryBootstrap()))
		},
		"flag": func(t *testing.T, dir string) *proxy { return launch(t, dir, s, "--config-yaml", yaml) },
		"merged": func(t *testing.T, dir string) *proxy {
			return launch(t, dir, s, "-c", writeFile(t, filepath.Join(dir, "b.yaml"), "admin: {address: "+freeAddress+"}\nnode: {id: file, cluster: file}\n"),
				"--config-yaml", strings.Replace(yaml, "admin:", "node: {id: flag}\n#", 1))
		},
		"fifo": func(t *testing.T, dir string) *proxy {
			path := filepath.Join(dir, "fifo.yaml")
			makeFIFO(t, path)
			p := launch(t, dir, s, "-c", path)
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.WriteString(yaml[:20]) // in pieces, as a program writes
			_, _ = w.WriteString(yaml[20:])
			w.Close()
			return p
		},
		"descriptor": func(t *testing.T, dir string) *proxy {
			onlyNuncio(t) // Envoy wants a name that ends in .yaml
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			s := s
			s.files = []*os.File{r}
			p := launch(t, dir, s, "-c", "/dev/fd/3")
			_, _ = w.WriteString(yaml)
			w.Close()
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, t.TempDir())
			p.awaitReady()
			if m := get(t, p.addr("front"), "/"); m.body != "direct" {
				t.Errorf("response %q %q", m.head, m.body)
			}
			if info := p.adminGet("/server_info"); name == "merged" && (!strings.Contains(info, `"id": "flag"`) || !strings.Contains(info, `"cluster": "file"`)) {
				t.Errorf("merged node: %s", clip(info))
			}
		})
	}
}

const jsonBootstrap = `{"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
"static_resources": {"listeners": [{"name": "front", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}},
 "filterChains": [{"filters": [{"name": "hcm", "typed_config": {
  "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
  "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "direct"}}}]}]},
  "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}`

const textBootstrap = `admin { address { socket_address { address: "127.0.0.1" port_value: 0 } } }
static_resources { listeners { name: "front" address { socket_address { address: "127.0.0.1" port_value: 0 } }
 filter_chains { filters { name: "hcm" typed_config {
  [type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager] { stat_prefix: "http"
   route_config { virtual_hosts { name: "all" domains: "*" routes { match { prefix: "/" } direct_response { status: 200 body { inline_string: "direct" } } } } }
   http_filters { name: "router" typed_config { [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } } } } } } } }`

// binaryBootstrap is the same bootstrap in protobuf's wire format.
func binaryBootstrap() string {
	field := func(number byte, parts ...string) string {
		content := strings.Join(parts, "")
		return string(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(content)))) + content
	}
	number := func(field byte, value uint64) string { return string(binary.AppendUvarint([]byte{field << 3}, value)) }
	extension := func(number byte, kind string, fields ...string) string {
		const prefix = "type.googleapis.com/envoy.extensions.filters."
		return field(number, field(1, kind), field(4, field(1, prefix+kind), field(2, fields...)))
	}
	address := field(1, field(2, "127.0.0.1"), number(3, 0))
	route := field(3, field(1, field(1, "/")), field(7, number(1, 200), field(2, field(3, "direct"))))
	manager := extension(3, "network.http_connection_manager.v3.HttpConnectionManager", field(2, "http"),
		field(4, field(2, field(1, "all"), field(2, "*"), route)), extension(5, "http.router.v3.Router"))
	return field(2, field(1, field(1, "front"), field(2, address), field(3, manager))) + field(12, field(3, address))
}

func TestValidateGood(t *testing.T) {
	t.Parallel()
	s := setup{listeners: front(hcm{routes: direct})}
	path := writeFile(t, filepath.Join(t.TempDir(), "good.yaml"), s.bootstrap())
	status, stdout, stderr := execute(t, "--mode", "validate", "-c", path)
	if status != 0 || !strings.HasSuffix(stdout, "configuration '"+path+"' OK\n") {
		t.Errorf("status %d, %q\n%s", status, stdout, stderr)
	}
	onlyNuncio(t)
	if status, stdout, stderr := execute(t, "validate", "--json", "-c", path); status != 0 || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("validate --json: %d %q\n%s", status, stdout, stderr)
	}
}

// The mistakes are of two kinds: what a field may not hold, which is found while the
// file is read, and what makes no sense together.
const badFields = `static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 70000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ""
          codec_type: HTTP9
          route_config:
            virtual_hosts:
            - name: all
              domains: []
          http_filterss: []
`

const badSense = `static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: not-an-ip, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {safe_regex: {regex: "a("}}
                route: {cluster: nobody}
              - match: {prefix: "/"}
                route: {cluster: nobody}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: up
    lb_policy: CLUSTER_PROVIDED
    load_assignment: {cluster_name: up}
`

// TestValidateBad: every mistake has a line of its own, with its place.
func TestValidateBad(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	const hcm = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config."
	for name, tc := range map[string]struct {
		text string
		want []string // beginnings of lines, after the name of the file
	}{
		"fields": {badFields, []string{
			":4:52: static_resources.listeners[0].address.socket_address.port_value: ",
			":8:9: " + hcm + "http_filters: ", ":10:11: " + hcm + "stat_prefix: ", ":11:23: " + hcm + "codec_type: ",
			":15:15: " + hcm + "route_config.virtual_hosts[0].domains: ", ":16:11: " + hcm + "http_filterss: ",
		}},
		"sense": {badSense, []string{
			":4:32: static_resources.listeners[0].address.socket_address.address: ",
			":16:38: " + hcm + "route_config.virtual_hosts[0].routes[0].match.safe_regex.regex: ",
			":17:25: " + hcm + "route_config.virtual_hosts[0].routes[0].route.cluster: ",
			":19:25: " + hcm + "route_config.virtual_hosts[0].routes[1].route.cluster: ",
			":26:5: static_resources.clusters[0].lb_policy: ",
		}},
		"both": {strings.Replace(badSense, "cluster_name: up", "cluster_name: up, cluster_namee: up", 1), []string{
			":4:32: static_resources.listeners[0].address.socket_address.address: ",
			":16:38: " + hcm + "route_config.virtual_hosts[0].routes[0].match.safe_regex.regex: ",
			":17:25: " + hcm + "route_config.virtual_hosts[0].routes[0].route.cluster: ",
			":19:25: " + hcm + "route_config.virtual_hosts[0].routes[1].route.cluster: ",
			":26:5: static_resources.clusters[0].lb_policy: ",
			":27:41: static_resources.clusters[0].load_assignment.cluster_namee: ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, filepath.Join(t.TempDir(), "bad.yaml"), tc.text)
			status, stdout, stderr := execute(t, "--mode", "validate", "-c", path)
			if status != 1 || stdout != "" {
				t.Errorf("status %d, output %q", status, stdout)
			}
			for _, want := range tc.want {
				if !strings.Contains("\n"+stderr, "\n"+path+want) {
					t.Errorf("no error begins with %q", want)
				}
			}
			lines := strings.Count(stderr, "\n")
			if lines != len(tc.want) {
				t.Errorf("%d errors, want %d", lines, len(tc.want))
			}
			var list []struct{ File, Path, Message string }
			_, stdout, _ = execute(t, "validate", "--json", "-c", path)
			if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != lines || list[0].File != path || list[0].Path == "" || list[0].Message == "" {
				t.Errorf("validate --json: %v\n%s", err, stdout)
			}
			if t.Failed() {
				t.Logf("errors:\n%s", stderr)
			}
		})
	}
}

// TestRefusals: one mistake at a time, and the line that says so.
func TestRefusals(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	busyAddress := "{socket_address: {address: 127.0.0.1, port_value: " + port + "}}"
	good := setup{listeners: front(hcm{routes: direct})}
	changed := func(old, new string) string {
		text := good.bootstrap()
		if !strings.Contains(text, old) {
			t.Fatalf("no %q to change", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, tc := range map[string]struct {
		text string
		want []string // in one line of standard error
	}{
		"busy port":           {changed("name: front, address: "+freeAddress, "name: front, address: "+busyAddress), []string{"127.0.0.1:" + port, "in use"}},
		"busy admin port":     {changed("admin: {address: "+freeAddress, "admin: {address: "+busyAddress), []string{"127.0.0.1:" + port, "in use"}},
		"not YAML":            {"a: [", []string{"b.yaml:1"}},
		"a list":              {"[1]", []string{"b.yaml:1"}},
		"unknown field":       {changed("stat_prefix: http", "stat_prefix: http, stat_prefixx: x"), []string{"b.yaml:5:", "stat_prefixx"}},
		"unknown type":        {changed("http.router.v3.Router", "http.router.v3.Rooter"), []string{"b.yaml:5:", "envoy.extensions.filters.http.router.v3.Rooter"}},
		"unknown filter":      {changed("envoy.extensions.filters.http.router.v3.Router", "envoy.config.core.v3.Node"), []string{"b.yaml:5:", "envoy.config.core.v3.Node"}},
		"wrong kind":          {changed("stat_prefix: http", "stat_prefix: [1]"), []string{"b.yaml:5:", "stat_prefix"}},
		"unimplemented field": {changed("stat_prefix: http", "stat_prefix: http, tracing: {}"), []string{"b.yaml:5:", "tracing", "not implemented"}},
		"unimplemented cluster": {strings.Replace(good.bootstrap(), "  clusters:\n", "  clusters:\n  - {name: eds, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}\n", 1),
			[]string{"b.yaml:7:", "static_resources.clusters[0].type: ", "EDS is not implemented"}},
		"no router": {changed(extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", ""), ""), []string{"b.yaml:5:", "http_filters: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, filepath.Join(t.TempDir(), "b.yaml"), tc.text)
			status, stdout, stderr := execute(t, "-c", path, "--disable-hot-restart", "--concurrency", "2")
			if status != 1 || stdout != "" {
				t.Errorf("status %d, output %q", status, stdout)
			}
			var found int
			for line := range strings.Lines(stderr) {
				if containsAll(line, tc.want) {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%d lines have %q:\n%s", found, tc.want, stderr)
			}
		})
	}
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func TestCommandLine(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string // in them
	}{
		{[]string{"--version"}, 0, "version: ", ""},
		{[]string{"--help"}, 0, "--config-path <path>", ""},
		{[]string{"--hot-restart-version", "--disable-hot-restart"}, 0, "", "disabled"},
		{[]string{"-c", missing}, 1, "", missing},
		{[]string{"--mode", "validate", "-c", missing}, 1, "", missing},
		{[]string{}, 1, "", "--config-path"},
		{[]string{"--nonsense"}, 1, "", "--nonsense"},
		{[]string{"--concurrency", "many"}, 1, "", "many"},
		{[]string{"-c", missing, "-l", "loud"}, 1, "", "loud"},
		{[]string{"demo", "--print-config"}, 0, "port_value: 10000", ""},
	} {
		status, stdout, stderr := execute(t, tc.args...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%q: status %d, output %q, errors %q", tc.args, status, clip(stdout), clip(stderr))
		}
	}
	_, stdout, _ := execute(t, "--version")
	if line := strings.Split(strings.TrimSpace(stdout), "\n")[0]; !versionLine.MatchString(line) {
		t.Errorf("version line %q", line)
	}
}

func TestInitOnly(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	s := setup{listeners: front(hcm{routes: direct})}
	path := writeFile(t, filepath.Join(t.TempDir(), "b.yaml"), s.bootstrap())
	if status, _, stderr := execute(t, "--mode", "init_only", "-c", path, "--disable-hot-restart"); status != 0 {
		t.Errorf("status %d\n%s", status, stderr)
	}
}

func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
