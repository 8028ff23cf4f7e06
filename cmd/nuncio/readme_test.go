package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

// An example in a README is one of these:
//   - a bootstrap, which has static_resources or admin;
//   - a route configuration, which has virtual_hosts;
//   - a part of a route, which has typed_per_filter_config or route;
//   - one filter or access logger, which begins with its name.
//
// What is not a bootstrap is put into the smallest one around it.

// aroundNetwork has a chain of network filters, and listener filters before it.
const aroundNetwork = `
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters:
      INSPECTORS
    filter_chains:
    - filters:
      FILTERS
`

const echoFilter = `- name: envoy.filters.network.echo
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}
`

// aroundHTTP has a connection manager.
const aroundHTTP = `
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          MANAGER
          access_log:
            LOGGERS
          route_config:
            TABLE
          http_filters:
            FILTERS
  clusters:
  - name: backend
    type: STATIC
    load_assignment: {cluster_name: backend}
`

// aroundRoute has a virtual host.
const aroundRoute = `virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: {prefix: /}
    route: {cluster: backend}
    ROUTE
`

const routerFilter = `- name: envoy.filters.http.router
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

// TestExamplesLoad loads every example of every README, and of docs/acme.md, into the server.
func TestExamplesLoad(t *testing.T) {
	const root = "../.."
	readmes := []string{filepath.Join(root, "README.md"), filepath.Join(root, "docs/acme.md")}
	err := filepath.WalkDir(filepath.Join(root, "extensions"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "README.md" {
			readmes = append(readmes, path)
		}
		return err
	})
	if err != nil || len(readmes) < 2 {
		t.Fatalf("%d READMEs, %v", len(readmes), err)
	}
	for _, file := range readmes {
		t.Run(filepath.Dir(strings.TrimPrefix(file, root+"/")), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := yamlBlock.FindAllStringSubmatch(string(text), -1)
			if len(found) == 0 {
				t.Error("no examples")
			}
			for _, example := range found {
				bootstrap := wrap(t, example[1])
				if err := proxymain.Check(proxymain.Config{BootstrapYAML: bootstrap, Extensions: all.Factories()}); err != nil {
					t.Errorf("%v\n%s", err, bootstrap)
				}
			}
		})
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// wrap makes a bootstrap of an example.
func wrap(t *testing.T, example string) string {
	t.Helper()
	has := func(field string) bool { return strings.Contains("\n"+example, "\n"+field+":") }
	switch {
	case has("static_resources") || has("admin"):
		return example
	case has("virtual_hosts"):
		return fill(aroundHTTP, map[string]string{"TABLE": example, "FILTERS": routerFilter})
	case has("route"):
		table := fill(strings.Replace(aroundRoute, "route: {cluster: backend}", "", 1), map[string]string{"ROUTE": example})
		return fill(aroundHTTP, map[string]string{"TABLE": table, "FILTERS": routerFilter})
	case has("original_ip_detection_extensions") || has("early_header_mutation_extensions") || has("request_id_extension"):
		return fill(aroundHTTP, map[string]string{"MANAGER": example, "TABLE": fill(aroundRoute, nil), "FILTERS": routerFilter})
	case has("http_filters"):
		list := strings.TrimPrefix(example, "http_filters:\n")
		return fill(aroundHTTP, map[string]string{"TABLE": fill(aroundRoute, nil), "FILTERS": list + routerFilter})
	case has("typed_per_filter_config"):
		table := fill(aroundRoute, map[string]string{"ROUTE": example})
		return fill(aroundHTTP, map[string]string{"TABLE": table, "FILTERS": routerFilter})
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(example, "name: "), "\n")
	for _, f := range all.Factories() {
		if f.Name() != name {
			continue
		}
		switch f := f.(type) {
		case extension.HTTPFilterFactory:
			return fill(aroundHTTP, map[string]string{"TABLE": fill(aroundRoute, nil), "FILTERS": chain(example, f.Terminal(), routerFilter)})
		case extension.NetworkFilterFactory:
			return fill(aroundNetwork, map[string]string{"FILTERS": chain(example, f.Terminal(), echoFilter)})
		case extension.ListenerFilterFactory:
			return fill(aroundNetwork, map[string]string{"INSPECTORS": chain(example, true, ""), "FILTERS": echoFilter})
		case extension.AccessLoggerFactory:
			return fill(aroundHTTP, map[string]string{"TABLE": fill(aroundRoute, nil), "LOGGERS": chain(example, true, ""), "FILTERS": routerFilter})
		}
	}
	t.Fatalf("an example is neither a bootstrap, nor a part of a route, nor an extension that is registered:\n%s", example)
	return ""
}

// chain makes a list of an example, and of what ends the list if the example does
// not.
func chain(example string, terminal bool, end string) string {
	list := "- " + strings.ReplaceAll(strings.TrimSuffix(example, "\n"), "\n", "\n  ") + "\n"
	if terminal {
		return list
	}
	return list + end
}

// fill puts each value in the place of the line of its name, indented like it;
// lines whose name has no value go.
func fill(around string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(around, func(line string) string {
		name := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(name)]
		value := strings.TrimSuffix(values[strings.TrimSuffix(name, "\n")], "\n")
		if value == "" {
			return ""
		}
		return indent + strings.ReplaceAll(value, "\n", "\n"+indent) + "\n"
	})
}

var placeholder = regexp.MustCompile(`(?m)^ +[A-Z]+\n`)
