//go:build linux && (amd64 || arm64)

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	if s := (samples{3, 1, 2}); s.median() != 2 || s.spread() != 50 {
		t.Errorf("median %g, spread %g", s.median(), s.spread())
	}
	if s := (samples{4, 1}); s.median() != 2.5 {
		t.Errorf("median %g", s.median())
	}
	if s := (samples{}); !math.IsNaN(s.median()) || s.spread() != 0 {
		t.Errorf("of nothing: median %g, spread %g", s.median(), s.spread())
	}
}

// testReport has h1-64 with nuncio at a quarter of Envoy's CPU, half of
// HAProxy's, and twice Envoy's p99.
func testReport() *report {
	c := newCaseResult("h1-64", "test", []peer{{name: "nuncio"}, {name: "envoy"}, {name: "haproxy"}})
	for name, cpu := range map[string]time.Duration{"nuncio": 25, "envoy": 100, "haproxy": 50} {
		c.addThroughput(name, loadResult{Requests: 1000, Elapsed: time.Second, ProxyCPU: cpu * time.Millisecond, LoadCPU: time.Second / 2})
	}
	c.Rate = c.latencyRate()
	c.addLatency("nuncio", loadResult{Requests: 1, Elapsed: time.Second, P50: time.Millisecond, P99: 2 * time.Millisecond, Unfinished: 3})
	c.addLatency("envoy", loadResult{Requests: 1, Elapsed: time.Second, P50: time.Millisecond, P99: time.Millisecond})
	return &report{Cases: []*caseResult{c}}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	testReport().Cases[0].print(&out)
	for _, want := range []string{
		"req/s  CPU us/req  of envoy  of haproxy  p50 us at 500/s  p99 us  of envoy  load core %",
		"nuncio   1000        25.0      0.25        0.50             1000    2000      2.00           50",
		"haproxy   1000        50.0      0.50        1.00                                              50",
		"note: nuncio: 3 requests at the fixed rate were not answered",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}

func TestTargets(t *testing.T) {
	var out strings.Builder
	testReport().printTargets(&out)
	want := `
Targets
  reached      h1-64: cpu_us_per_request / envoy's is 0.25 (at most 0.30)
  reached      h1-64: cpu_us_per_request / haproxy's is 0.50 (at most 1.00)
  NOT REACHED  h1-64: p99_us / envoy's is 2.00 (at most 1.00)
`
	if out.String() != want {
		t.Errorf("got %s want %s", out.String(), want)
	}
	known := map[string]bool{}
	for _, s := range scenarios() {
		for _, c := range s.cases {
			known[c.name] = true
		}
	}
	for _, target := range targets() {
		if !known[target.name] || target.base != "" && !known[target.base] {
			t.Errorf("%s: no such case", target)
		}
	}
}

func TestSelectScenarios(t *testing.T) {
	got, err := selectScenarios("idle,h1-64")
	if err != nil || len(got) != 2 || got[0].name != "h1-64" || got[1].name != "idle" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = selectScenarios("memory,storm"); err != nil || len(got) != 4 || got[0].name != "storm" {
		t.Errorf("a group and a name: %v, %v", got, err)
	}
	if _, err := selectScenarios("h1-64,h9"); err == nil || !strings.Contains(err.Error(), `"h9"`) {
		t.Errorf("unknown scenario: %v", err)
	}
}

// TestConfigs writes every peer's configuration for every scenario.
func TestConfigs(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	for _, s := range scenarios() {
		for _, name := range []string{"envoy", "haproxy", "nginx"} {
			file, _, _ := peer{name: name}.program()
			path := filepath.Join(b.dir, file)
			if err := b.writeConfig(path, 12345, 23456, s); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wants := []string{"12345", "23456"}
			for _, r := range s.table {
				wants = append(wants, r.Path)
			}
			for _, want := range wants {
				if !strings.Contains(string(text), want) {
					t.Errorf("%s for %s does not contain %q", file, s.name, want)
				}
			}
		}
	}
}
