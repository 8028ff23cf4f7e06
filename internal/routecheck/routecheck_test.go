package routecheck

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/extension"
)

var update = flag.Bool("update", false, "write the golden files")

func in(name string) string { return filepath.Join("testdata", name) }

// TestGolden compares what is printed, of both outputs, with testdata/*.golden.
func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		ok   bool
	}{
		{"pass", Options{ConfigPath: in("routes.yaml"), TestPath: in("pass.yaml")}, true},
		{"details", Options{ConfigPath: in("routes.yaml"), TestPath: in("pass.yaml"), Details: true, DetailedCoverage: true}, true},
		{"covall", Options{ConfigPath: in("routes.yaml"), TestPath: in("pass.yaml"), CoverAll: true, FailUnder: 20}, true},
		{"under", Options{ConfigPath: in("routes.yaml"), TestPath: in("pass.yaml"), FailUnder: 99.5}, false},
		{"fail", Options{ConfigPath: in("routes.yaml"), TestPath: in("fail.yaml"), Details: true}, false},
		{"only_failures", Options{ConfigPath: in("routes.yaml"), TestPath: in("fail.yaml"), Details: true, OnlyFailures: true}, false},
		{"bootstrap", Options{ConfigPath: in("bootstrap.yaml"), RouteConfig: "one", TestPath: in("first.json")}, true},
		{"bootstrap_other", Options{ConfigPath: in("bootstrap.yaml"), RouteConfig: "two", TestPath: in("first.json")}, false},
		{"dump", Options{ConfigPath: in("dump.json"), TestPath: in("first.json")}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			ok, err := Run(tc.o, new(extension.Registry), &out, &out)
			if err != nil || ok != tc.ok {
				t.Fatalf("ok %v, error %v\n%s", ok, err, &out)
			}
			golden := in(tc.name + ".golden")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", &out, want)
			}
		})
	}
}

// TestErrors has files that cannot be used, and what is said of them.
func TestErrors(t *testing.T) {
	const route = "virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c}}]}]\n"
	const good = "tests: [{test_name: a, input: {authority: a, path: /, method: GET}, validate: {}}]\n"
	for _, tc := range []struct{ name, config, tests, want string }{
		{"empty tests", route, "tests: []\n", "tests: there must be at least one test"},
		{"missing parts", route, "tests: [{test_name: ''}]\n", "tests[0].input: must be set"},
		{"short method", route, strings.Replace(good, "GET", "GO", 1), "t.yaml:1:55: tests[0].input.method: must have at least 3 characters, is \"GO\""},
		{"unknown field", route, strings.Replace(good, "validate: {}", "validate: {cluster: x}", 1), "t.yaml:1:80: tests[0].validate.cluster: unknown field"},
		{"bad matcher", route, strings.Replace(good, "validate: {}", "validate: {request_header_matches: [{name: x, string_match: {safe_regex: {regex: '('}}}]}", 1),
			"tests[0].validate.request_header_matches[0].string_match.safe_regex.regex"},
		{"bad route", strings.Replace(route, "cluster: c", "cluster: c, timeout: x", 1), good, "virtual_hosts[0].routes[0].route.timeout: want a duration"},
		{"same domains", strings.Replace(route, "'*'", "a, A", 1), good, "c.yaml:1:40: virtual_hosts[0].domains[1]: domain \"A\" is used twice"},
		{"not a route", "tests: []\n", good, "c.yaml:1:1: tests: unknown field of envoy.config.route.v3.RouteConfiguration"},
		{"no routes", "admin: {}\n", good, "c.yaml: there is no route configuration"},
		{"which", string(must(os.ReadFile(in("bootstrap.yaml")))), good, `choose one with --route-config: "one", "two"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			config, tests := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "t.yaml")
			for name, text := range map[string]string{config: tc.config, tests: tc.tests} {
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			ok, err := Run(Options{ConfigPath: config, TestPath: tests}, new(extension.Registry), &out, &out)
			if ok || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ok %v, error %v\nwant %s", ok, err, tc.want)
			}
		})
	}
}

func must(p []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return p
}
